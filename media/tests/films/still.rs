//! One picture of a film: the right one, upright, in the right shape.

use crate::support::{Studio, footage};
use media::{Limits, Still, decode, probe, still};
use std::{ops::ControlFlow, path::Path};

const WITHIN: (u32, u32) = (360, 200);

fn at(film: &Path, at_ms: i64) -> Still {
    let limits = Limits::default();
    still(film, &probe(film, &limits).unwrap(), at_ms, WITHIN, &limits).unwrap()
}

/// The first frame at or after this time, found by decoding all before it.
fn by_decoding(film: &Path, at_ms: i64) -> (i64, media::RgbImage) {
    let facts = probe(film, &Limits::default()).unwrap();
    let mut found = None;
    decode(film, &Limits::default(), &mut |frame| {
        let ticks = frame.pts() - facts.start_pts;
        let ms = ticks * 1000 * i64::from(facts.time_base.num) / i64::from(facts.time_base.den);
        if ms < at_ms {
            return Ok(ControlFlow::Continue(()));
        }
        found = Some((ms, frame.rgb(at(film, at_ms).image.width)?));
        Ok(ControlFlow::Break(()))
    })
    .unwrap();
    found.unwrap()
}

#[test]
fn a_still_is_the_frame_of_its_time_in_films_of_every_kind_of_reference() {
    let studio = Studio::new();
    let source = "-f lavfi -i testsrc2=size=480x270:rate=25:duration=5 -pix_fmt yuv420p";
    let films = [
        footage("talk_360p.mp4"),
        studio.make("long.mp4", &format!("{source} -c:v libx264 -g 300 -bf 3")),
        studio.make(
            "open.mp4",
            &format!("{source} -c:v libx264 -g 25 -bf 3 -x264-params open-gop=1"),
        ),
        studio.make(
            "open265.mp4",
            &format!("{source} -c:v libx265 -x265-params log-level=none:open-gop=1:keyint=25"),
        ),
        studio.make("vp9.mp4", &format!("{source} -c:v libvpx-vp9 -deadline realtime -g 40")),
    ];
    for film in films {
        for at_ms in [0, 40, 999, 1000, 2666, 3999, 4960] {
            let found = at(&film, at_ms);
            let (ms, image) = by_decoding(&film, at_ms);
            assert_eq!(found.at_ms, ms, "{} at {at_ms} ms", film.display());
            assert!(found.image == image, "{} at {at_ms} ms", film.display());
        }
    }
}

#[test]
fn a_still_fits_keeps_its_shape_and_is_never_enlarged() {
    let studio = Studio::new();
    let make = |name: &str, size: &str, more: &str| {
        let source = format!("-f lavfi -i testsrc2=size={size}:rate=10:duration=1");
        studio.make(name, &format!("{source} -pix_fmt yuv420p -c:v libx264{more}"))
    };
    let wide = make("wide.mp4", "1280x720", "");
    let turned = studio
        .make("turned.mp4", &format!("-i {} -c copy -metadata:s:v:0 rotate=90", wide.display()));
    for (film, size) in [
        (wide, (355, 200)),
        (turned, (112, 200)),
        (make("cinema.mp4", "1000x400", ""), (360, 144)),
        (make("small.mp4", "160x120", ""), (160, 120)),
        // PAL's 16:9: pixels wider than high.
        (make("pal.mp4", "720x576", " -vf setsar=64/45"), (355, 200)),
        (make("line.mp4", "1024x16", ""), (360, 5)),
    ] {
        let image = at(&film, 333).image;
        assert_eq!((image.width, image.height), size, "{}", film.display());
        assert_eq!(image.data.len(), size.0 as usize * size.1 as usize * 3);
    }
}

#[test]
fn later_than_the_last_frame_shows_the_first() {
    let studio = Studio::new();
    let film = studio.make(
        "short.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=5:duration=1 -c:v libx264 -pix_fmt yuv420p",
    );
    for late in [801, 60_000, i64::MAX] {
        assert_eq!(at(&film, late), at(&film, 0), "{late}");
    }
    assert_eq!(at(&film, i64::MIN).at_ms, 0);
}
