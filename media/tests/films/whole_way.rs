//! Cut, mask, stitch: every frame arrives, at its time, with its sound.

use crate::support::{
    Film, Studio, assert_gapless, ffprobe, footage, frame_times, nothing, packet_hashes, quick,
    strict_decode,
};
use std::ops::ControlFlow;

use media::{
    AudioOutcome, Limits, Track, compare, copy_all, decode, difference_outside, elementary_sha256,
    probe,
};

const CLOSED: &str = "-c:v libx264 -preset veryfast -g 30 -pix_fmt yuv420p";

/// Sends a source through in clips of `seconds` and checks what no film may lose.
fn assert_complete(studio: &Studio, source: &std::path::Path, seconds: f64) -> Film {
    let film = studio.whole_way(source, seconds, &quick(), &nothing);
    assert_gapless(&film.plan);
    for (span, clip) in film.plan.clips.iter().zip(&film.clips) {
        let go_on = |_: &mut media::Frame<'_>| Ok(ControlFlow::Continue(()));
        let seen = decode(clip, &Limits::default(), &mut { go_on }).unwrap();
        assert_eq!(seen.frames, span.frames, "clip {}", span.index);
    }
    let (before, after) = (frame_times(source), frame_times(&film.path));
    assert_eq!(before.len(), after.len());
    assert_eq!(before.len() as i64, film.plan.probe.frames);
    // ffprobe prints microseconds, so two clocks may round one apart.
    let worst = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).max();
    assert!(worst <= Some(1), "a frame moved by {worst:?} us\n{before:?}\n{after:?}");
    assert_eq!(strict_decode(&film.path), "");
    let pairs = compare(source, &film.path, &Limits::default(), &mut |_| Ok(())).unwrap();
    assert_eq!(i64::from(pairs.frames), film.plan.probe.frames);
    film
}

fn seconds(path: &std::path::Path, stream: &str) -> f64 {
    ffprobe(path, stream, "stream=duration").parse().unwrap()
}

#[test]
fn talk_comes_out_complete_in_1_3_and_7_clips() {
    for (clips, length) in [(1, 60.0), (3, 10.0), (7, 4.5)] {
        let studio = Studio::new();
        let source = footage("talk_360p.mp4");
        let film = assert_complete(&studio, &source, length);
        assert_eq!(film.plan.clips.len(), clips);
        assert_eq!(packet_hashes(&source, "a"), packet_hashes(&film.path, "a"));
        assert_eq!(film.report.audio, AudioOutcome::Copied);
        assert_eq!(seconds(&film.path, "v:0"), 30.0);
        assert!((seconds(&film.path, "a:0") - seconds(&source, "a:0")).abs() < 0.001);
        let sound = elementary_sha256(&source, Track::Audio, &Limits::default()).unwrap();
        assert_eq!(sound.sha256, film.report.audio_sha256);
        assert_eq!(sound.packets, film.report.audio_packets);
    }
}

#[test]
fn film_rate_keeps_its_times() {
    let studio = Studio::new();
    let source = studio.make(
        "ntsc.mp4",
        &format!("-f lavfi -i testsrc2=size=320x180:rate=30000/1001:duration=7 {CLOSED}"),
    );
    let film = assert_complete(&studio, &source, 2.0);
    assert!(film.plan.clips.len() > 2);
    assert_eq!(film.report.audio, AudioOutcome::None);
}

#[test]
fn a_variable_frame_rate_keeps_its_times() {
    let studio = Studio::new();
    let source = studio.make(
        "vfr.mp4",
        &format!(
            "-f lavfi -i testsrc2=size=320x180:rate=30:duration=8 \
             -vf select=not(mod(n\\,3))+gt(mod(n\\,50)\\,30) -vsync vfr {CLOSED} \
             -video_track_timescale 90000"
        ),
    );
    let times = frame_times(&source);
    let steps: std::collections::BTreeSet<i64> =
        times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.len() > 1, "the source must be variable: {steps:?}");
    assert_complete(&studio, &source, 2.0);
}

#[test]
fn many_b_frames_and_a_pyramid_keep_their_times() {
    let studio = Studio::new();
    let source = studio.make(
        "b.mp4",
        &format!(
            "-f lavfi -i testsrc2=size=320x180:rate=25:duration=6 {CLOSED} -bf 7 \
             -x264-params b-pyramid=normal:b-adapt=0"
        ),
    );
    assert_complete(&studio, &source, 2.0);
}

#[test]
fn open_groups_of_pictures_lose_no_frame_at_a_border() {
    let studio = Studio::new();
    let source = studio.make(
        "open.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=8 -c:v libx264 -g 20 -bf 3 \
         -x264-params open-gop=1:b-adapt=0 -pix_fmt yuv420p",
    );
    let film = assert_complete(&studio, &source, 2.0);
    assert!(film.plan.clips.len() > 2);
    assert!(!film.plan.probe.smart_ok);
}

#[test]
fn a_start_that_is_not_0_and_an_offset_of_the_sound_are_kept() {
    let studio = Studio::new();
    let source = studio.make(
        "late.mp4",
        &format!(
            "-itsoffset 0.7 -f lavfi -i testsrc2=size=320x180:rate=24:duration=5 \
             -itsoffset 0.25 -f lavfi -i sine=duration=5 -vsync passthrough {CLOSED} -c:a aac \
             -movie_timescale 12288"
        ),
    );
    let film = assert_complete(&studio, &source, 2.0);
    let start = |path, stream| ffprobe(path, stream, "stream=start_time").parse::<f64>().unwrap();
    for stream in ["v:0", "a:0"] {
        let (before, after) = (start(&source, stream), start(&film.path, stream));
        assert!((before - after).abs() < 0.002, "{stream}: {before} {after}");
    }
    assert_eq!(packet_hashes(&source, "a"), packet_hashes(&film.path, "a"));
}

#[test]
fn an_edit_list_that_hides_the_first_frames_still_hides_them() {
    let studio = Studio::new();
    let whole = studio.make(
        "whole.mp4",
        &format!("-f lavfi -i testsrc2=size=320x180:rate=25:duration=6 {CLOSED}"),
    );
    let trimmed = studio.make("trimmed.mp4", &format!("-ss 0.5 -i {} -c copy", whole.display()));
    assert!(frame_times(&trimmed).len() < frame_times(&whole).len());
    assert_complete(&studio, &trimmed, 2.0);
}

#[test]
fn a_rotated_film_stays_rotated() {
    let studio = Studio::new();
    let upright = studio.make(
        "upright.mp4",
        &format!("-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 {CLOSED}"),
    );
    let source = studio
        .make("turned.mp4", &format!("-i {} -c copy -metadata:s:v:0 rotate=90", upright.display()));
    let film = assert_complete(&studio, &source, 2.0);
    let probe = &film.plan.probe;
    assert_eq!((probe.width, probe.height, probe.coded_width), (180, 320, 320));
    assert!(matches!(probe.rotation, 90 | 270));
    let matrix = "stream_side_data=displaymatrix";
    assert_eq!(ffprobe(&source, "v:0", matrix), ffprobe(&film.path, "v:0", matrix));
    assert!(!ffprobe(&film.path, "v:0", matrix).is_empty());
}

#[test]
fn opus_in_matroska_is_transcoded_once_and_keeps_its_length() {
    let studio = Studio::new();
    let source = studio.make(
        "opus.mkv",
        &format!(
            "-f lavfi -i testsrc2=size=320x180:rate=30:duration=6 -f lavfi -i sine=duration=6 \
             {CLOSED} -c:a libopus"
        ),
    );
    let film = assert_complete(&studio, &source, 2.0);
    assert_eq!(film.report.audio, AudioOutcome::Transcoded);
    assert_eq!(ffprobe(&film.path, "a:0", "stream=codec_name"), "aac");
    assert!((seconds(&film.path, "a:0") - 6.0).abs() < 0.03, "{}", seconds(&film.path, "a:0"));
}

#[test]
fn pcm_in_mov_is_transcoded_and_its_tone_survives() {
    let studio = Studio::new();
    let source = studio.make(
        "pcm.mov",
        &format!(
            "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 \
             -f lavfi -i sine=frequency=1000:sample_rate=44100:duration=4 \
             {CLOSED} -c:a pcm_s16le -ac 2"
        ),
    );
    let film = assert_complete(&studio, &source, 2.0);
    assert_eq!(film.report.audio, AudioOutcome::Transcoded);
    let loudness = |path: &std::path::Path| loudness(path, "bandpass=f=1000:w=50,");
    assert!((loudness(&source) - loudness(&film.path)).abs() < 0.5);
    assert!((seconds(&film.path, "a:0") - 4.0).abs() < 0.03);
}

#[test]
fn a_gap_in_the_sound_becomes_silence_of_the_same_length() {
    let studio = Studio::new();
    let source = studio.make(
        "gap.mkv",
        &format!(
            "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -f lavfi -i sine=duration=4 \
             -af aselect=lt(t\\,1)+gt(t\\,2) {CLOSED} -c:a pcm_s16le"
        ),
    );
    let film = assert_complete(&studio, &source, 2.0);
    let within = |from: f64, to: f64| loudness(&film.path, &format!("atrim={from}:{to},"));
    assert!(within(0.1, 0.9) > -30.0 && within(2.2, 3.9) > -30.0);
    assert!(within(1.1, 1.9) < -80.0, "{}", within(1.1, 1.9));
    assert!((seconds(&film.path, "a:0") - 4.0).abs() < 0.05);
}

/// Mean volume in dB behind an audio filter, as the ffmpeg command line measures it.
fn loudness(path: &std::path::Path, filter: &str) -> f64 {
    let run = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-i"])
        .arg(path)
        .args(["-vn", "-af", &format!("{filter}volumedetect"), "-f", "null", "-"])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&run.stderr).into_owned();
    let mean = log.split("mean_volume: ").nth(1).unwrap();
    mean.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_film_from_a_browser_without_lengths_comes_out_complete() {
    let studio = Studio::new();
    let source = studio.make(
        "call.webm",
        "-f lavfi -i testsrc2=size=320x180:rate=30:duration=5 -f lavfi -i sine=duration=5 \
         -c:v libvpx -b:v 400k -g 30 -deadline realtime -cpu-used 8 -c:a libopus -live 1",
    );
    let film = assert_complete(&studio, &source, 2.0);
    assert_eq!(film.plan.probe.video_codec, "vp8");
    assert!(!film.plan.probe.copyable);
}

#[test]
fn an_odd_sized_film_gains_one_column_and_row() {
    let studio = Studio::new();
    let source = studio.make(
        "odd.webm",
        "-f lavfi -i testsrc=size=321x181:rate=25:duration=3 -pix_fmt yuv420p -c:v libvpx -b:v 400k -g 25 \
         -deadline realtime -cpu-used 8",
    );
    let film = assert_complete(&studio, &source, 2.0);
    assert_eq!(ffprobe(&film.path, "v:0", "stream=width,height"), "322,182");
}

#[test]
fn an_odd_sized_film_lies_over_its_source_wherever_they_are_compared() {
    let studio = Studio::new();
    let source = studio.make(
        "stripes.webm",
        "-f lavfi -i color=gray:size=853x479:rate=25:duration=1,format=yuv420p,geq=lum='255*lt(mod(X+Y,4),2)':cb=128:cr=128 \
         -c:v libvpx -b:v 8M -g 25 -deadline realtime -cpu-used 8",
    );
    let film = studio.whole_way(&source, 2.0, &quick(), &nothing);
    let mut worst = 0.0_f32;
    compare(&source, &film.path, &Limits::default(), &mut |pair| {
        let (source, output) = (pair.source.rgb(640)?, pair.output.rgb(640)?);
        worst = worst.max(difference_outside(&source, &output, &[]));
        Ok(())
    })
    .unwrap();
    assert!(worst < 16.0, "{worst}");
}

#[test]
fn ten_bit_film_comes_out_in_eight() {
    let studio = Studio::new();
    let source = studio.make(
        "ten.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -c:v libx264 -preset veryfast -g 25 \
         -pix_fmt yuv422p10le",
    );
    let film = assert_complete(&studio, &source, 2.0);
    assert_eq!(ffprobe(&film.path, "v:0", "stream=pix_fmt"), "yuv420p");
    assert!(!film.plan.probe.smart_ok);
}

#[test]
fn clips_have_a_second_of_margin_and_start_at_0() {
    let studio = Studio::new();
    let film = studio.whole_way(&footage("talk_360p.mp4"), 10.0, &quick(), &nothing);
    let second = i64::from(film.plan.probe.time_base.den);
    let middle = &film.plan.clips[1];
    assert!(middle.core_start - middle.margin_start >= second);
    assert!(middle.margin_end - middle.core_end >= second);
    let times = frame_times(&film.clips[1]);
    assert_eq!(times.len(), middle.frames as usize);
    assert_eq!(times[0], 0);
}

#[test]
fn without_blur_all_packets_are_copied() {
    let studio = Studio::new();
    for name in ["talk_360p.mp4", "signing-again.mkv"] {
        let source = footage(name);
        let found = probe(&source, &Limits::default()).unwrap();
        let out = studio.path("copy.mp4");
        copy_all(&source, &found, &out, &Limits::default()).unwrap();
        let hash = |path| elementary_sha256(path, Track::Video, &Limits::default()).unwrap();
        assert_eq!(hash(&source), hash(&out));
        assert_eq!(frame_times(&source), frame_times(&out));
        assert_eq!(strict_decode(&out), "");
    }
}

#[test]
fn real_footage_comes_out_complete() {
    for name in ["head-pose-two.mp4", "signing-again.mkv"] {
        assert_complete(&Studio::new(), &footage(name), 1.0);
    }
}

#[test]
fn nothing_but_the_results_is_left_in_the_folder() {
    let studio = Studio::new();
    studio.whole_way(&footage("head-pose-two.mp4"), 10.0, &quick(), &nothing);
    let mut names: Vec<_> = std::fs::read_dir(studio.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["clip-0.mp4", "film.mp4", "part-0.mp4"]);
}

#[test]
fn every_codec_that_is_let_in_comes_out_complete() {
    let films = [
        ("hevc.mp4", "libx265 -preset ultrafast -x265-params log-level=none:keyint=25 -c:a aac"),
        (
            "vp9.webm",
            "libvpx-vp9 -b:v 300k -g 25 -deadline good -cpu-used 8 -lag-in-frames 12 -auto-alt-ref 1 -c:a libopus",
        ),
        ("vp8.mkv", "libvpx -b:v 300k -g 25 -lag-in-frames 12 -auto-alt-ref 1 -c:a libvorbis"),
        ("asp.mp4", "mpeg4 -bf 2 -g 25 -c:a libmp3lame"),
        ("mpeg2.mkv", "mpeg2video -bf 2 -g 12 -c:a ac3"),
        ("mjpeg.mov", "mjpeg -pix_fmt yuvj422p -c:a pcm_u8 -ar 22050 -ac 1"),
        ("prores.mov", "prores_ks -profile:v 0 -c:a pcm_s24le -ac 6"),
        ("av1.mp4", "libaom-av1 -cpu-used 8 -usage realtime -g 25 -b:v 200k -c:a aac -ac 6"),
        ("fragments.mp4", "libx264 -g 25 -movflags +frag_keyframe+empty_moov -c:a aac"),
        ("full.mp4", "libx264 -g 25 -pix_fmt yuvj420p -c:a flac -strict -2"),
        ("fine.mp4", "libx264 -g 25 -pix_fmt yuv444p -c:a aac -ar 96000"),
    ];
    for (name, codecs) in films {
        let studio = Studio::new();
        let source = studio.make(
            name,
            &format!(
                "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 \
                 -f lavfi -i sine=duration=4 -pix_fmt yuv420p -c:v {codecs}"
            ),
        );
        println!("{name}");
        let film = assert_complete(&studio, &source, 2.0);
        let length = seconds(&film.path, "a:0");
        let stated = film.plan.probe.audio.map_or(0, |audio| audio.duration_ms) as f64 / 1000.0;
        assert!((length - stated).abs() < 0.06, "{name}: {length} s of sound, were {stated}");
    }
}

#[test]
fn a_full_range_film_keeps_its_brightness() {
    let studio = Studio::new();
    let source = studio.make(
        "full.mov",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=1 -c:v mjpeg -pix_fmt yuvj444p -q:v 2",
    );
    let film = studio.whole_way(&source, 2.0, &media::Render::default(), &nothing);
    assert_eq!(ffprobe(&film.path, "v:0", "stream=color_range"), "pc");
    compare(&source, &film.path, &Limits::default(), &mut |pair| {
        let (source, output) = (pair.source.rgb(640)?, pair.output.rgb(640)?);
        let difference = media::difference_outside(&source, &output, &[]);
        assert!(difference < 16.0, "{difference}");
        Ok(())
    })
    .unwrap();
}
