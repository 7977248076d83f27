//! Files that are not what they seem: each is refused with its reason, none makes FFmpeg open
//! another file.

use std::ops::ControlFlow;
use std::path::Path;

use media::{Cancel, Limits, MediaError, decode, plan_cut, probe};

use crate::support::{Studio, footage, nothing, quick};

fn reason(path: &Path) -> &'static str {
    let error = probe(path, &Limits::default()).unwrap_err();
    assert!(error.blames_input(), "{error}");
    error.reason()
}

#[test]
fn an_empty_file_is_empty() {
    assert_eq!(reason(&Studio::new().write("empty.mp4", b"")), "empty");
}

#[test]
fn text_is_not_media() {
    let studio = Studio::new();
    assert_eq!(reason(&studio.write("text.mp4", b"a shopping list\nmilk\n")), "not_media");
    assert_eq!(reason(&studio.write("short.mp4", b"x")), "not_media");
    assert_eq!(
        reason(&studio.write("noise.mp4", &[0xff, 0x13, 0, 7, 0x80, 1, 2, 3, 4])),
        "not_media"
    );
}

#[test]
fn scripts_that_name_other_files_are_refused_under_any_name() {
    let studio = Studio::new();
    let secret = footage("head-pose-two.mp4");
    let secret = secret.display();
    let bodies = [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n"),
        format!("\u{feff}\r\n#EXTM3U\r\n#EXTINF:5,\r\n{secret}\r\n"),
        format!("ffconcat version 1.0\nfile '{secret}'\n"),
        format!("<?xml version=\"1.0\"?><MPD><BaseURL>{secret}</BaseURL></MPD>"),
    ];
    for body in bodies {
        for name in ["film.mp4", "film.mkv", "film.m3u8"] {
            assert_eq!(reason(&studio.write(name, body.as_bytes())), "playlist", "{body}");
        }
    }
}

#[test]
fn a_script_with_the_first_bytes_of_a_film_opens_no_other_file() {
    let studio = Studio::new();
    let secret = footage("head-pose-two.mp4");
    for head in [&b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2"[..], b"\x1a\x45\xdf\xa3\x80"] {
        let mut body = head.to_vec();
        body.extend(format!("\n#EXTM3U\n#EXTINF:5,\n{}\n", secret.display()).bytes());
        let word = reason(&studio.write("disguised.mp4", &body));
        assert!(["truncated", "broken"].contains(&word), "{word}");
    }
}

#[test]
fn a_film_cut_short_is_truncated() {
    let studio = Studio::new();
    let index_last = std::fs::read(footage("talk_360p.mp4")).unwrap();
    let half = &index_last[..index_last.len() / 2];
    assert_eq!(reason(&studio.write("half.mp4", half)), "truncated");
    let whole = footage("talk_360p.mp4");
    let index_first =
        studio.make("first.mp4", &format!("-i {} -c copy -movflags +faststart", whole.display()));
    let bytes = std::fs::read(index_first).unwrap();
    let cut = studio.write("cut.mp4", &bytes[..bytes.len() * 2 / 3]);
    assert_eq!(reason(&cut), "truncated");
    let matroska = std::fs::read(footage("signing-again.mkv")).unwrap();
    let cut = studio.write("cut.mkv", &matroska[..matroska.len() * 2 / 3]);
    assert_eq!(reason(&cut), "truncated");
}

#[test]
fn sound_alone_is_no_video() {
    let studio = Studio::new();
    let tone = "-f lavfi -i sine=duration=2";
    for (name, codec) in [("tone.mp4", "aac"), ("tone.mkv", "libopus"), ("tone.wav", "pcm_s16le")] {
        assert_eq!(reason(&studio.make(name, &format!("{tone} -c:a {codec}"))), "no_video");
    }
}

#[test]
fn a_cover_picture_is_no_video() {
    let studio = Studio::new();
    let cover = studio.make("cover.png", "-f lavfi -i color=red:size=64x64 -frames:v 1");
    let song = studio.make(
        "song.mp4",
        &format!(
            "-f lavfi -i sine=duration=2 -i {} -map 0 -map 1 -c:a aac -c:v png \
             -disposition:v:0 attached_pic",
            cover.display()
        ),
    );
    assert_eq!(reason(&song), "no_video");
}

#[test]
fn one_frame_is_a_film() {
    let studio = Studio::new();
    let source = studio.make(
        "one.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 1 -c:v libx264 -pix_fmt yuv420p",
    );
    let film = studio.whole_way(&source, 60.0, &quick(), &nothing);
    assert_eq!(film.plan.clips.len(), 1);
    assert_eq!((film.report.frames, film.report.duration_ms), (1, 40));
}

#[test]
fn names_with_spaces_colons_and_unicode_are_files() {
    let studio = Studio::new();
    for name in ["my film.mp4", "concat:a|b.mp4", "Ünïcode ✓.mp4", "%03d.mp4"] {
        let path = studio.path(name);
        std::fs::copy(footage("head-pose-two.mp4"), &path).unwrap();
        assert_eq!(probe(&path, &Limits::default()).unwrap().frames, 56, "{name}");
    }
}

#[test]
fn other_containers_are_named() {
    let studio = Studio::new();
    let source = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=1";
    for (name, word, codec) in [("a.flv", "FLV", "flv"), ("a.mpg", "program", "mpeg2video")] {
        let path = studio.make(name, &format!("{source} -c:v {codec}"));
        let error = probe(&path, &Limits::default()).unwrap_err();
        assert_eq!(error.reason(), "unsupported");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_damaged_film_is_never_decoded_in_part() {
    let studio = Studio::new();
    let mut bytes = std::fs::read(footage("talk_360p.mp4")).unwrap();
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..middle + 6000] {
        *byte = byte.wrapping_mul(31).wrapping_add(7);
    }
    let path = studio.write("damaged.mp4", &bytes);
    let error =
        decode(&path, &Limits::default(), &mut |_| Ok(ControlFlow::Continue(()))).unwrap_err();
    assert_eq!(error.reason(), "broken", "{error}");
}

#[test]
fn limits_hold_before_anything_is_decoded() {
    let source = footage("talk_360p.mp4");
    let small = [
        Limits { max_side: 320, ..Limits::default() },
        Limits { max_pixels: 10_000, ..Limits::default() },
        Limits { max_packets: 100, ..Limits::default() },
        Limits { max_streams: 1, ..Limits::default() },
    ];
    for limits in small {
        assert_eq!(probe(&source, &limits).unwrap_err().reason(), "too_large", "{limits:?}");
    }
}

#[test]
fn a_huge_picture_in_a_small_file_is_refused() {
    let studio = Studio::new();
    let source = studio.make(
        "huge.mp4",
        "-f lavfi -i color=black:size=9000x9000:rate=1 -frames:v 1 -c:v mjpeg -pix_fmt yuvj420p",
    );
    assert_eq!(reason(&source), "too_large");
}

#[test]
fn raised_cancellation_stops_the_work() {
    let cancel = Cancel::new();
    let limits = Limits { cancel: cancel.clone(), ..Limits::default() };
    let mut seen = 0;
    let error = decode(&footage("talk_360p.mp4"), &limits, &mut |_| {
        seen += 1;
        cancel.cancel();
        Ok(ControlFlow::Continue(()))
    })
    .unwrap_err();
    assert!(matches!(error, MediaError::Cancelled) && !error.blames_input());
    assert_eq!(seen, 1);
}

#[test]
fn a_missing_file_is_not_the_uploads_fault() {
    let error = plan_cut(Path::new("gone.mp4"), 10.0, 1.0, &Limits::default()).unwrap_err();
    assert!(!error.blames_input());
    assert_eq!(error.reason(), "io");
}
