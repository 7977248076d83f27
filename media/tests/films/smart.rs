//! Render mode `smart`: groups of pictures without faces pass bit for bit between re-encoded ones.

use std::ops::{Range, RangeFrom};
use std::path::Path;

use media::{Limits, MaskReport, Region, Render, RenderMode, compare, difference_outside, probe};

use crate::support::{
    Film, Studio, ffprobe, footage, frame_times, nothing, packet_hashes, strict_decode,
};

/// What encoding changes in the worst square of a picture of coloured noise, levels.
const ENCODED: f32 = 24.0;
const FACE: Region = Region { left: 0.3, top: 0.25, width: 0.2, height: 0.4 };

fn smart() -> Render {
    Render { mode: RenderMode::Smart, ..Render::default() }
}

/// Frames that were copied, of each clip.
fn copied(film: &Film) -> Vec<u32> {
    film.masked.iter().map(|part| part.copied_frames).collect()
}

/// The picture that a player shows after a seek to a frame.
fn after_seek(studio: &Studio, film: &Path, frame: usize) -> Vec<u8> {
    let at = (frame as f64 - 0.25).max(0.0) / 25.0;
    let call = format!("-xerror -err_detect explode -ss {at} -i {}", film.display());
    let picture = studio.make("seek.yuv", &format!("{call} -frames:v 1 -f rawvideo"));
    std::fs::read(picture).unwrap()
}

#[test]
fn only_groups_with_a_face_are_encoded() {
    let studio = Studio::new();
    // Groups of uneven length with B-frames in a pyramid.
    let source = studio.make(
        "groups.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=8 -pix_fmt yuv420p -c:v libx264 -bf 4 \
         -force_key_frames 0,1,1.4,3,4,5,5.04,6.2,7 -g 250 -sc_threshold 0",
    );
    let masked = [60, 125, 130, 156];
    let anew = [35..75, 125..175];
    let is_anew = |frame: usize| anew.iter().any(|frames| frames.contains(&frame));
    let regions = |pts: i64| if masked.contains(&(pts / 512)) { vec![FACE] } else { Vec::new() };
    for (clip_seconds, kept) in [(60.0, vec![110]), (4.0, vec![60, 50])] {
        let film = studio.whole_way(&source, clip_seconds, &smart(), &regions);
        let told: Vec<_> = film.masked.iter().flat_map(|part| part.encoded.clone()).collect();
        assert_eq!(told, [35 * 512..75 * 512, 125 * 512..175 * 512]);
        assert_eq!(copied(&film), kept);
        assert_eq!(film.masked.iter().map(|part| part.masked_frames).sum::<u32>(), 4);
        assert_eq!(strict_decode(&film.path), "");
        assert_eq!(frame_times(&source), frame_times(&film.path));
        // In decoding order, where groups lie in the same places.
        let hashes = packet_hashes(&source, "v").into_iter().zip(packet_hashes(&film.path, "v"));
        for (place, (before, after)) in hashes.enumerate() {
            assert_eq!(before == after, !is_anew(place), "packet {place}");
        }
        let mut index = 0;
        compare(&source, &film.path, &Limits::default(), &mut |pair| {
            let (before, after) = (pair.source.rgb(640)?, pair.output.rgb(640)?);
            let faces: &[Region] = if masked.contains(&index) { &[FACE] } else { &[] };
            let most = if is_anew(index as usize) { ENCODED } else { 0.0 };
            let difference = difference_outside(&before, &after, faces);
            assert!(difference <= most, "frame {index}: {difference}");
            let hidden = difference_outside(&before, &after, &[]);
            assert_eq!(hidden > ENCODED, !faces.is_empty(), "frame {index}: {hidden}");
            index += 1;
            Ok(())
        })
        .unwrap();
        for frame in [0, 24, 34, 35, 74, 75, 100, 124, 125, 126, 155, 174, 175, 199] {
            let (before, after) =
                (after_seek(&studio, &source, frame), after_seek(&studio, &film.path, frame));
            assert_eq!((before.len(), after.len()), (320 * 180 * 3 / 2, 320 * 180 * 3 / 2));
            assert_eq!(before == after, !is_anew(frame), "frame {frame}");
            let apart = before.iter().zip(&after).map(|(a, b)| u64::from(a.abs_diff(*b)));
            let mean = apart.sum::<u64>() as f32 / before.len() as f32;
            assert!(mean < ENCODED / 2.0, "frame {frame}: {mean}");
        }
    }
}

#[test]
fn more_threads_make_the_film_that_one_makes() {
    let studio = Studio::new();
    let masked = |frames: Range<i64>| {
        move |pts: i64| if frames.contains(&(pts / 512)) { vec![FACE] } else { Vec::new() }
    };
    for groups in [20, 250] {
        let call = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=30 -pix_fmt yuv420p -c:v libx264 -bf 3";
        let source = studio.make("source.mp4", &format!("{call} -g {groups} -sc_threshold 0"));
        for frames in [0..750, 260..700, 300..301] {
            let regions = masked(frames.clone());
            let film = |threads: u32| {
                let render = Render { threads, ..smart() };
                let film = studio.whole_way(&source, 60.0, &render, &regions);
                let path = studio.path(&format!("film-{threads}.mp4"));
                std::fs::rename(&film.path, &path).unwrap();
                (film.masked, path)
            };
            let (told, alone) = film(1);
            for threads in [2, 3] {
                let (told_too, together) = film(threads);
                let figures = |parts: &[MaskReport]| {
                    let figures = |p: &MaskReport| {
                        (p.frames, p.masked_frames, p.copied_frames, p.encoded.clone())
                    };
                    parts.iter().map(figures).collect::<Vec<_>>()
                };
                assert_eq!(figures(&told_too), figures(&told));
                assert_eq!(strict_decode(&together), "");
                let pairs = compare(&alone, &together, &Limits::default(), &mut |pair| {
                    let (one, other) = (pair.source.rgb(320)?, pair.output.rgb(320)?);
                    let difference = difference_outside(&one, &other, &[]);
                    assert!(difference < ENCODED, "{groups} {frames:?}: {difference}");
                    Ok(())
                });
                assert_eq!(pairs.unwrap().frames, 750);
            }
        }
    }
}

#[test]
fn a_group_that_is_damaged_gives_no_film_where_it_has_a_face() {
    let studio = Studio::new();
    let source = studio.make(
        "damaged.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=8 -pix_fmt yuv420p -c:v libx264 -g 25 \
         -bf 0",
    );
    // The slice of one picture in the second group.
    let at = ffprobe(&source, "v:0", "packet=pos,size").lines().nth(30).map(|line| {
        let mut numbers = line.split(',').map(|number| number.parse::<usize>().unwrap());
        let (size, pos) = (numbers.next().unwrap(), numbers.next().unwrap());
        pos + 8..pos + size
    });
    let mut bytes = std::fs::read(&source).unwrap();
    bytes[at.unwrap()].fill(0);
    let source = studio.write("damaged.mp4", &bytes);
    let mask =
        |masked: i64| move |pts: i64| if pts / 512 == masked { vec![FACE] } else { Vec::new() };
    for masked in [25, 49] {
        let error = studio.try_whole_way(&source, 60.0, &smart(), &mask(masked)).err().unwrap();
        assert_eq!(error.reason(), "broken", "{error}");
    }
    for threads in [2, 3] {
        let render = Render { threads, ..smart() };
        let error = studio.try_whole_way(&source, 60.0, &render, &|_| vec![FACE]).err().unwrap();
        assert_eq!(error.reason(), "broken", "{threads}: {error}");
    }
    // Elsewhere what is damaged is carried over as it is.
    let film = studio.whole_way(&source, 60.0, &smart(), &mask(60));
    assert_eq!(copied(&film), [175]);
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
    assert_eq!(copied(&film), [0, 250, 0]);
    assert_eq!(strict_decode(&film.path), "");
    assert_eq!(frame_times(&source), frame_times(&film.path));
    let (before, after) = (packet_hashes(&source, "v"), packet_hashes(&film.path, "v"));
    assert_eq!(before[250..500], after[250..500]);
    assert_ne!(before[..250], after[..250]);
    assert_ne!(before[500..], after[500..]);
    let mut index = 0;
    compare(&source, &film.path, &Limits::default(), &mut |pair| {
        let difference =
            difference_outside(&pair.source.rgb(640)?, &pair.output.rgb(640)?, &[FACE]);
        let is_copied = (250..500).contains(&index);
        let most = if is_copied { 0.0 } else { 16.0 };
        assert!(difference <= most, "frame {index}: {difference}");
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
    assert_eq!(copied(&film), [0, 50, 50]);
    assert_eq!(strict_decode(&film.path), "");
    assert_eq!(frame_times(&source), frame_times(&film.path));
}

#[test]
fn a_film_without_any_face_is_the_source() {
    let studio = Studio::new();
    let source = footage("talk_360p.mp4");
    let film = studio.whole_way(&source, 4.5, &smart(), &nothing);
    assert!(film.masked.iter().all(|part| part.copied_frames == part.frames));
    assert_eq!(packet_hashes(&source, "v"), packet_hashes(&film.path, "v"));
    assert_eq!(packet_hashes(&source, "a"), packet_hashes(&film.path, "a"));
}

#[test]
fn what_is_not_safe_to_copy_is_encoded_in_full() {
    let studio = Studio::new();
    let input = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -pix_fmt";
    let words = format!(
        "yuv420p -c:v libx264 -g 25 -bsf:v h264_metadata=sei_user_data=\
         086f3693-b7b3-4f2c-9653-21492feee5b8+{}",
        "words".repeat(1000)
    );
    let unsafe_ones = [
        ("cropped.mp4", "yuv420p -c:v libx264 -g 25 -bsf:v h264_metadata=crop_right=64"),
        ("words.mp4", words.as_str()),
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
        assert_eq!(copied(&film), [0, 0], "{name}: {}", found.smart_reason);
    }
}

#[test]
fn a_packet_with_several_slices_is_safe_to_copy_and_one_with_several_pictures_is_not() {
    let studio = Studio::new();
    let input =
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -pix_fmt yuv420p -c:v libx264";
    for settings in ["-slices 4", "-slices 4 -bf 3 -coder 0", "-tune zerolatency -threads 4"] {
        let source = studio.make("slices.mp4", &format!("{input} -g 25 {settings}"));
        let found = probe(&source, &Limits::default()).unwrap();
        assert!(found.smart_ok, "{settings}: {}", found.smart_reason);
    }
    // The second of two pictures has slices from the first block on, or, of a number of its own, from a later one.
    for (slices, kept) in [(1, 0..), (4, 1..)] {
        let settings = format!("{input} -g 25 -bf 0 -slices {slices}");
        let source = studio.make("pictures.mp4", &settings);
        let joined = studio.path("joined.mp4");
        join_pictures(&source, &joined, kept);
        let found = probe(&joined, &Limits::default()).unwrap();
        assert_eq!(
            (found.smart_ok, found.smart_reason.as_str()),
            (false, "packets may hold more than one picture")
        );
    }
}

/// A copy whose third packet also holds the slices of the fourth one's picture, which is taken out: those that are `kept`.
fn join_pictures(source: &Path, out: &Path, kept: RangeFrom<usize>) {
    use ffmpeg_next as ff;
    let mut input = ff::format::input(source).unwrap();
    let mut output = ff::format::output(out).unwrap();
    let mut stream = output.add_stream(ff::codec::Id::None).unwrap();
    stream.set_parameters(input.stream(0).unwrap().parameters());
    let time_base = input.stream(0).unwrap().time_base();
    output.write_header().unwrap();
    let to = output.stream(0).unwrap().time_base();
    let mut packets: Vec<ff::Packet> = input.packets().map(|(_, packet)| packet).collect();
    let fourth = packets.remove(3);
    let third = &packets[2];
    let mut bytes = third.data().unwrap().to_vec();
    for slice in units(fourth.data().unwrap()).get(kept).unwrap() {
        bytes.extend(*slice);
    }
    let mut both = ff::Packet::copy(&bytes);
    both.set_pts(third.pts());
    both.set_dts(third.dts());
    both.set_duration(third.duration() + fourth.duration());
    packets[2] = both;
    for mut packet in packets {
        packet.set_stream(0);
        packet.rescale_ts(time_base, to);
        packet.write_interleaved(&mut output).unwrap();
    }
    output.write_trailer().unwrap();
}

/// NAL units with their lengths of 4 bytes.
fn units(mut packet: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let Some(length) = packet.first_chunk::<4>() {
        let (unit, rest) = packet.split_at(4 + u32::from_be_bytes(*length) as usize);
        units.push(unit);
        packet = rest;
    }
    units
}

#[test]
fn what_a_header_hides_is_not_in_the_film() {
    let studio = Studio::new();
    let source = studio.make(
        "cropped.mp4",
        "-f lavfi -i testsrc2=size=320x176:rate=25:duration=4 -pix_fmt yuv420p -c:v libx264 -g 25 \
         -bsf:v h264_metadata=crop_right=64",
    );
    let opened = |film: &Path| {
        let calls = format!("-i {} -c copy -bsf:v h264_metadata=crop_right=0", film.display());
        ffprobe(&studio.make("opened.mp4", &calls), "v:0", "stream=width")
    };
    assert_eq!(
        (ffprobe(&source, "v:0", "stream=width"), opened(&source)),
        ("256".into(), "320".into())
    );
    let film = studio.whole_way(&source, 2.0, &smart(), &nothing);
    assert_eq!(opened(&film.path), "256");
}

#[test]
fn rows_that_fill_up_the_last_macroblock_hide_nothing() {
    let studio = Studio::new();
    for height in [180, 178, 162] {
        let source = studio.make(
            "rows.mp4",
            &format!(
                "-f lavfi -i testsrc2=size=320x{height}:rate=25:duration=1 -pix_fmt yuv420p \
                 -c:v libx264"
            ),
        );
        let found = probe(&source, &Limits::default()).unwrap();
        assert!(found.smart_ok, "{height}: {}", found.smart_reason);
    }
}

#[test]
fn the_reason_is_told() {
    let found = probe(&footage("talk_360p.mp4"), &Limits::default()).unwrap();
    assert!(found.smart_ok, "{}", found.smart_reason);
}
