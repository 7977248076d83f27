//! Looking at parts of films: what is copied is decoded once, what nobody wants not at all.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use media::{
    CompareReport, Inspector, Limits, MediaError, Region, Render, RenderMode, decode, decode_part,
    decode_some, parts,
};

use crate::support::{Film, Studio, ffprobe, footage};

/// 25 frames a second, in mp4 ticks.
const TICKS: i64 = 512;
const FACE: Region = Region { left: 0.3, top: 0.25, width: 0.2, height: 0.4 };

/// Groups of uneven length with B-frames in a pyramid: they begin at frames 0, 25, 35, 75, 100, 125,
/// 126, 155 and 175 of 200.
fn groups(studio: &Studio) -> PathBuf {
    studio.make(
        "groups.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=8 -pix_fmt yuv420p -c:v libx264 -bf 4 \
         -force_key_frames 0,1,1.4,3,4,5,5.04,6.2,7 -g 250 -sc_threshold 0",
    )
}

/// Groups whose first pictures need the group before, 200 frames.
fn open_groups(studio: &Studio) -> PathBuf {
    studio.make(
        "open.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=8 -pix_fmt yuv420p -c:v libx264 -g 25 \
         -bf 3 -x264-params open-gop=1:b-adapt=0",
    )
}

fn masked(studio: &Studio, source: &Path, frames: &[i64]) -> Film {
    let render = Render { mode: RenderMode::Smart, ..Render::default() };
    studio.whole_way(source, 4.0, &render, &|pts| match frames.contains(&(pts / TICKS)) {
        true => vec![FACE],
        false => Vec::new(),
    })
}

/// The frames whose source is shown too; checks that all come, in order.
fn shown_twice(
    source: &Path,
    output: &Path,
    is_clear: &dyn Fn(i64) -> bool,
) -> Result<Vec<i64>, MediaError> {
    let (mut shown, mut next) = (Vec::new(), 0);
    let visit = &mut |moment: &mut media::Inspected<'_>| {
        assert_eq!(moment.pts, next * TICKS);
        if let Some(source) = &moment.source {
            assert_eq!(source.pts(), moment.pts);
            shown.push(next);
        }
        next += 1;
        Ok(())
    };
    let limits = Limits::default();
    let inspector = Inspector::open(source, output, &limits, &|pts| is_clear(pts / TICKS))?;
    let report = inspector.inspect(&inspector.parts()[0], &limits, visit)?;
    assert_eq!(report, CompareReport { frames: u32::try_from(next).unwrap() });
    Ok(shown)
}

#[test]
fn copied_groups_are_decoded_once_but_the_first_and_those_that_should_have_masks() {
    let studio = Studio::new();
    let source = groups(&studio);
    let film = masked(&studio, &source, &[60, 130]);
    let anew: Vec<i64> = (0..25).chain(35..75).chain(126..155).collect();
    assert_eq!(shown_twice(&source, &film.path, &|_| true).unwrap(), anew);
    let with_another = (0..25).chain(35..100).chain(126..155).collect::<Vec<_>>();
    assert_eq!(shown_twice(&source, &film.path, &|frame| frame != 80).unwrap(), with_another);
    let all: Vec<i64> = (0..200).collect();
    assert_eq!(shown_twice(&source, &film.path, &|_| false).unwrap(), all);
}

#[test]
fn what_is_no_copy_or_may_mean_something_else_is_compared() {
    let studio = Studio::new();
    let source = groups(&studio);
    let all: Vec<i64> = (0..200).collect();
    for (what, how) in [
        ("encoded", "-c:v libx264 -bf 4 -sc_threshold 0 -crf 30 -g 50"),
        ("another header", "-c copy -bsf:v h264_metadata=video_full_range_flag=1"),
    ] {
        let output = studio.make("output.mp4", &format!("-i {} {how}", source.display()));
        let shown = shown_twice(&source, &output, &|_| true);
        assert_eq!(shown.unwrap_or_else(|error| panic!("{what}: {error}")), all, "{what}");
    }
    let open = open_groups(&studio);
    assert_eq!(shown_twice(&open, &open, &|_| true).unwrap(), all);
}

#[test]
fn packets_that_differ_are_compared_though_they_show_the_same() {
    let studio = Studio::new();
    let source = groups(&studio);
    let words = "086f3693-b7b3-4f2c-9653-21492feee5b8+words";
    let call =
        format!("-i {} -c copy -bsf:v h264_metadata=sei_user_data={words}", source.display());
    let output = studio.make("words.mp4", &call);
    // A key frame of every group.
    let all: Vec<i64> = (0..200).collect();
    assert_eq!(shown_twice(&source, &output, &|_| true).unwrap(), all);
}

#[test]
fn films_that_are_displayed_in_another_way_are_compared() {
    let studio = Studio::new();
    let source = groups(&studio);
    let all: Vec<i64> = (0..200).collect();
    for how in ["-metadata:s:v rotate=180", "-aspect 4:3"] {
        let call = format!("-i {} -c copy {how}", source.display());
        let output = studio.make("displayed.mp4", &call);
        assert_eq!(shown_twice(&source, &output, &|_| true).unwrap(), all, "{how}");
    }
}

/// A film whose last chunks are described by the header of another film, which hides half of the picture.
fn with_a_second_header(studio: &Studio) -> PathBuf {
    let input = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=8 -f lavfi -i sine=d=8";
    let encode = "-pix_fmt yuv420p -c:v libx264 -g 25 -c:a aac";
    let film = studio.make("one.mp4", &format!("{input} {encode}"));
    let cropped = format!("-i {} -c copy -bsf:v h264_metadata=crop_right=160", film.display());
    let other = std::fs::read(studio.make("cropped.mp4", &cropped)).unwrap();
    let mut bytes = std::fs::read(&film).unwrap();
    let number = |bytes: &[u8], at: usize| {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let find = |bytes: &[u8], name: &[u8], from: usize| {
        from + bytes[from..].windows(4).position(|word| word == name).unwrap()
    };
    // Behind a box's name: version, how many entries, the first entry.
    let entry = |bytes: &[u8]| {
        let start = find(bytes, b"stsd", find(bytes, b"moov", 0)) + 12;
        start..start + number(bytes, start)
    };
    let (first, second) = (entry(&bytes), other[entry(&other)].to_vec());
    let mut at = 0;
    for name in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"] {
        at = find(&bytes, name, at);
        let longer = number(&bytes, at - 4) + second.len();
        bytes[at - 4..at].copy_from_slice(&u32::try_from(longer).unwrap().to_be_bytes());
    }
    bytes[at + 8..at + 12].copy_from_slice(&2u32.to_be_bytes());
    bytes.splice(first.end..first.end, second);
    let chunks = find(&bytes, b"stsc", at);
    let runs = number(&bytes, chunks + 8);
    assert!(runs > 1, "all pictures lie alike");
    let last = chunks + 12 * runs;
    bytes[last + 8..last + 12].copy_from_slice(&2u32.to_be_bytes());
    studio.write("two.mp4", &bytes)
}

#[test]
fn a_film_whose_header_changes_on_the_way_is_not_taken_for_its_packets() {
    let studio = Studio::new();
    let source = with_a_second_header(&studio);
    let packets = ffprobe(&source, "v:0", "packet=pts:packet_side_data=side_data_type");
    assert!(packets.contains("New Extradata"), "{packets}");
    let found = media::probe(&source, &Limits::default()).unwrap();
    assert!(!found.smart_ok, "{found:?}");
    let output = studio.make("copied.mp4", &format!("-i {} -c copy", source.display()));
    let all: Vec<i64> = (0..200).collect();
    assert_eq!(shown_twice(&source, &output, &|_| true).unwrap(), all);
}

#[test]
fn frames_that_are_missing_or_too_many_are_told() {
    let studio = Studio::new();
    let source = groups(&studio);
    for (from, to) in [(5, 7), (7, 5)] {
        let part = |name: &str, seconds: i32| {
            studio.make(name, &format!("-i {} -c copy -t {seconds}", source.display()))
        };
        let (source, output) = (part("source.mp4", from), part("part.mp4", to));
        let error = shown_twice(&source, &output, &|_| true).unwrap_err();
        assert_eq!(error.reason(), "broken", "{error}");
    }
}

/// Place and size of the packet of a frame in a file.
fn packet_at(film: &Path, frame: i64) -> (usize, usize) {
    let packets = ffprobe(film, "v:0", "packet=pts,size,pos");
    let fields = |line: &str| -> Vec<i64> {
        line.split(',').filter_map(|field| field.parse().ok()).collect()
    };
    let found = packets.lines().map(fields).find(|it| it[0] == frame * TICKS).unwrap();
    (usize::try_from(found[2]).unwrap(), usize::try_from(found[1]).unwrap())
}

/// The pictures of the frames that are chosen by their numbers.
fn some_of(film: &Path, ticks: i64, wanted: &[i64]) -> Result<BTreeMap<i64, Vec<u8>>, MediaError> {
    let mut pictures = BTreeMap::new();
    let choose = &mut |pts: i64| wanted.contains(&(pts / ticks));
    let report = decode_some(film, &Limits::default(), choose, &mut |frame| {
        pictures.insert(frame.pts() / ticks, frame.luma()?.data);
        Ok(())
    })?;
    assert_eq!(report.frames as usize, pictures.len());
    Ok(pictures)
}

#[test]
fn frames_that_are_chosen_look_as_in_the_whole_film() {
    let studio = Studio::new();
    let films = [
        (groups(&studio), TICKS),
        (footage("talk_360p.mp4"), TICKS),
        (open_groups(&studio), TICKS),
        (
            studio.make(
                "other.mkv",
                "-f lavfi -i testsrc2=size=320x180:rate=25:duration=8 -c:v mpeg2video -g 12 -bf 2",
            ),
            40,
        ),
    ];
    for (film, ticks) in films {
        let mut whole = BTreeMap::new();
        decode(&film, &Limits::default(), &mut |frame| {
            whole.insert(frame.pts() / ticks, frame.luma()?.data);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        for wanted in [vec![], vec![0], vec![199], vec![33, 34], (0..200).step_by(7).collect()] {
            let found = some_of(&film, ticks, &wanted).unwrap();
            assert!(found.keys().eq(wanted.iter()), "{}: {:?}", film.display(), found.keys());
            for (frame, picture) in found {
                assert!(picture == whole[&frame], "{}: frame {frame}", film.display());
            }
        }
    }
}

#[test]
fn groups_without_a_frame_that_is_chosen_are_not_decoded() {
    let studio = Studio::new();
    let source = groups(&studio);
    let mut bytes = std::fs::read(&source).unwrap();
    for (at, size) in (76..100).map(|frame| packet_at(&source, frame)) {
        bytes[at + 8..at + size].fill(0);
    }
    let damaged = studio.write("damaged.mp4", &bytes);
    assert_eq!(some_of(&damaged, TICKS, &[0, 74, 75, 100, 199]).unwrap().len(), 5);
    for frame in [76, 80, 99] {
        let error = some_of(&damaged, TICKS, &[0, frame]).map(|found| found.len()).unwrap_err();
        assert_eq!(error.reason(), "broken", "{error}");
    }
}

/// The frames of each part: their times, and what they show.
fn in_parts(film: &Path, count: usize) -> Vec<Vec<(i64, Vec<u8>)>> {
    let limits = Limits::default();
    let mut before = None;
    let parts = parts(film, &limits, count).unwrap().into_iter().map(|part| {
        assert_eq!(part.before, before);
        let mut shown = Vec::new();
        let report = decode_part(film, &part, &limits, &mut |frame| {
            shown.push((frame.pts(), frame.luma()?.data));
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!(report.unwrap().frames as usize, shown.len());
        before = shown.last().map(|(pts, _)| *pts);
        shown
    });
    parts.collect()
}

/// 26 s of groups of 40 pictures.
fn long(studio: &Studio) -> PathBuf {
    studio.make(
        "long.mp4",
        "-f lavfi -i testsrc2=size=160x90:rate=25:duration=26 -pix_fmt yuv420p -c:v libx264 -bf 4 -g 40",
    )
}

#[test]
fn parts_of_closed_groups_show_together_what_the_film_shows() {
    let studio = Studio::new();
    let film = long(&studio);
    let whole = in_parts(&film, 1).concat();
    assert_eq!(whole.len(), 650);
    for (count, lengths) in [(2, vec![320, 330]), (3, vec![200, 240, 210]), (9, vec![160; 3])] {
        let parts = in_parts(&film, count);
        assert!(parts.concat() == whole, "{count}");
        let found: Vec<_> = parts.iter().map(Vec::len).collect();
        assert!(found.starts_with(&lengths), "{count}: {found:?}");
    }
    let open = open_groups(&studio);
    let broken = studio.make("half.ts", &format!("-i {} -c copy", film.display()));
    for one in [&open, &broken] {
        assert_eq!(in_parts(one, 2).len(), 1, "{}", one.display());
    }
}

/// A frame of a film: its time in the source, what it shows, and what the source does where that was decoded.
type Beside = (i64, Vec<u8>, Option<Vec<u8>>);

/// The frames of each part of a film beside its source.
fn beside(source: &Path, output: &Path, count: usize) -> Result<Vec<Vec<Beside>>, MediaError> {
    let limits = Limits { threads: count, ..Limits::default() };
    let inspector = Inspector::open(source, output, &limits, &|_| true)?;
    let mut before = None;
    let parts = inspector.parts().iter().map(|part| {
        assert_eq!(part.before(), before);
        let mut shown = Vec::new();
        let report = inspector.inspect(part, &limits, &mut |moment| {
            let clear = moment.source.as_mut().map(|source| source.luma()).transpose()?;
            let (pts, luma) = (moment.pts, moment.output.luma()?.data);
            shown.push((pts, luma, clear.map(|luma| luma.data)));
            Ok(())
        })?;
        assert_eq!(report.frames as usize, shown.len());
        before = shown.last().map(|(pts, ..)| *pts);
        Ok(shown)
    });
    parts.collect()
}

#[test]
fn parts_of_a_film_and_its_source_show_together_what_both_show() {
    let studio = Studio::new();
    let source = long(&studio);
    // Where the film was encoded anew its groups are others, and parts take longer.
    for (masks, halves, thirds) in [
        (0..0, [280, 370], [160, 240, 250]),
        (60..61, [240, 410], [160, 200, 290]),
        (100..500, [320, 330], [200, 200, 250]),
        (0..650, [320, 330], [200, 200, 250]),
    ] {
        let film = masked(&studio, &source, &masks.clone().collect::<Vec<_>>());
        let whole = beside(&source, &film.path, 1).unwrap().concat();
        assert_eq!(whole.len(), 650);
        for lengths in [&halves[..], &thirds[..]] {
            let parts = beside(&source, &film.path, lengths.len()).unwrap();
            assert!(parts.concat() == whole, "{masks:?} {lengths:?}");
            assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), lengths, "{masks:?}");
        }
    }
    let open = open_groups(&studio);
    assert_eq!(beside(&open, &open, 2).unwrap().len(), 1);
    let call = format!(
        "-i {} -c:v libx264 -g 40 -bf 3 -x264-params open-gop=1:b-adapt=0",
        source.display()
    );
    let opened = studio.make("opened.mp4", &call);
    assert_eq!(beside(&source, &opened, 2).unwrap().len(), 1);
}

#[test]
fn a_part_that_has_more_or_fewer_frames_than_its_source_is_found_out() {
    let studio = Studio::new();
    let film = long(&studio);
    let first = studio.make("first.mp4", &format!("-i {} -c copy -t 14.4", film.display()));
    let second = studio.make("second.mp4", &format!("-ss 14.4 -i {} -c copy", film.display()));
    let list = studio.write(
        "list.txt",
        format!("file {}\nduration 14.36\nfile {}\n", first.display(), second.display()).as_bytes(),
    );
    let shifted =
        studio.make("shifted.mp4", &format!("-f concat -safe 0 -i {} -c copy", list.display()));
    for (what, source, output) in [
        ("less", &film, &first),
        ("more", &first, &film),
        ("late", &film, &second),
        ("shifted", &film, &shifted),
    ] {
        for count in [1, 2, 3] {
            let parts = beside(source, output, count);
            let error = parts.map(|parts| parts.len()).unwrap_err();
            assert_eq!(error.reason(), "broken", "{what}: {error}");
        }
    }
}
