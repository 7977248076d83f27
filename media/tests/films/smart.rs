//! Render mode `smart`: clips without faces pass bit for bit between re-encoded ones.

use media::{Limits, Region, Render, RenderMode, compare, difference_outside, probe};

use crate::support::{
    Studio, ffprobe, footage, frame_times, nothing, packet_hashes, strict_decode,
};

const FACE: Region = Region { left: 0.3, top: 0.25, width: 0.2, height: 0.4 };

fn smart() -> Render {
    Render { mode: RenderMode::Smart, ..Render::default() }
}

#[test]
fn clear_clips_are_copied_bit_for_bit_and_the_film_decodes_without_complaint() {
    let studio = Studio::new();
    let source = footage("talk_360p.mp4");
    // Masks in the first and the last of three clips; frames last 512 ticks.
    let film = studio.whole_way(&source, 10.0, &smart(), &|pts| {
        let frame = pts / 512;
        if (250..500).contains(&frame) { Vec::new() } else { vec![FACE] }
    });
    let copied: Vec<bool> = film.masked.iter().map(|part| part.copied).collect();
    assert_eq!(copied, [false, true, false]);
    assert_eq!(strict_decode(&film.path), "");
    assert_eq!(frame_times(&source), frame_times(&film.path));
    let (before, after) = (packet_hashes(&source, "v"), packet_hashes(&film.path, "v"));
    assert_eq!(before[250..500], after[250..500]);
    assert_ne!(before[..250], after[..250]);
    assert_ne!(before[500..], after[500..]);
    let mut index = 0;
    compare(&source, &film.path, &Limits::default(), &mut |pair| {
        let difference = difference_outside(&mut pair.source, &mut pair.output, &[FACE])?;
        let is_copied = (250..500).contains(&index);
        assert!(if is_copied { difference == 0.0 } else { difference < 4.0 }, "frame {index}");
        index += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(ffprobe(&film.path, "v:0", "stream=codec_tag_string,nb_frames"), "avc1,750");
}

#[test]
fn a_source_whose_parameter_sets_have_the_id_1_is_not_confused() {
    let studio = Studio::new();
    let source = studio.make(
        "one.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=6 -c:v libx264 -g 25 \
         -x264-params sps-id=1 -pix_fmt yuv420p",
    );
    let film = studio.whole_way(&source, 2.0, &smart(), &|pts| {
        if pts < 512 * 50 { vec![FACE] } else { Vec::new() }
    });
    assert_eq!(film.masked.iter().map(|part| part.copied).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(strict_decode(&film.path), "");
    assert_eq!(frame_times(&source), frame_times(&film.path));
}

#[test]
fn a_film_without_any_face_is_the_source() {
    let studio = Studio::new();
    let source = footage("talk_360p.mp4");
    let film = studio.whole_way(&source, 4.5, &smart(), &nothing);
    assert!(film.masked.iter().all(|part| part.copied));
    assert_eq!(packet_hashes(&source, "v"), packet_hashes(&film.path, "v"));
    assert_eq!(packet_hashes(&source, "a"), packet_hashes(&film.path, "a"));
}

#[test]
fn what_is_not_safe_to_copy_is_encoded_in_full() {
    let studio = Studio::new();
    let input = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -pix_fmt";
    let unsafe_ones = [
        ("open.mp4", "yuv420p -c:v libx264 -g 25 -bf 3 -x264-params open-gop=1:b-adapt=0"),
        ("interlaced.mp4", "yuv420p -c:v libx264 -g 25 -flags +ilme+ildct -x264-params tff=1"),
        ("ten.mp4", "yuv420p10le -c:v libx264 -g 25"),
        ("other.mp4", "yuv420p -c:v mpeg4 -g 25"),
    ];
    for (name, settings) in unsafe_ones {
        let source = studio.make(name, &format!("{input} {settings}"));
        let found = probe(&source, &Limits::default()).unwrap();
        assert!(!found.smart_ok, "{name}");
        let film = studio.whole_way(&source, 2.0, &smart(), &nothing);
        assert!(film.masked.iter().all(|part| !part.copied), "{name}: {}", found.smart_reason);
    }
}

#[test]
fn the_reason_is_told() {
    let found = probe(&footage("talk_360p.mp4"), &Limits::default()).unwrap();
    assert!(found.smart_ok, "{}", found.smart_reason);
}
