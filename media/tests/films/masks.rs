//! What is inside a mask is hidden, what is outside stays as it was.

use std::path::Path;

use media::{
    Limits, MaskEvidence, MaskStyle, Region, Render, compare, decode, difference_outside,
    mask_coverage, mask_evidence,
};

use crate::support::{Studio, footage, quick};

/// The right-hand face of head-pose-two.mp4.
const FACE: Region = Region { left: 0.58, top: 0.2, width: 0.18, height: 0.35 };

/// Evidence of every frame: with the style it was rendered with.
fn evidence(source: &Path, output: &Path, style: MaskStyle) -> Vec<MaskEvidence> {
    let mut found = Vec::new();
    compare(source, output, &Limits::default(), &mut |pair| {
        found.extend(mask_evidence(&mut pair.source, &mut pair.output, &[FACE], style)?);
        Ok(())
    })
    .unwrap();
    found
}

fn worst_outside(source: &Path, output: &Path) -> f32 {
    let mut worst = 0.0f32;
    compare(source, output, &Limits::default(), &mut |pair| {
        let found = difference_outside(&pair.source.rgb(640)?, &pair.output.rgb(640)?, &[FACE]);
        worst = worst.max(found);
        Ok(())
    })
    .unwrap();
    worst
}

#[test]
fn every_style_hides_the_face_and_nothing_else() {
    for style in [MaskStyle::Pixelate, MaskStyle::Gaussian, MaskStyle::Solid] {
        let studio = Studio::new();
        let source = footage("head-pose-two.mp4");
        let render = Render { style, ..Render::default() };
        let film = studio.whole_way(&source, 2.0, &render, &|_| vec![FACE]);
        assert_eq!(film.masked.iter().map(|part| part.masked_frames).sum::<u32>(), 56);
        for found in evidence(&source, &film.path, style) {
            assert!(found.is_masked(), "{style:?} {found:?}");
            assert!(found.to_expected < 6.0 && found.contrast > 7.0, "{style:?} {found:?}");
        }
        let worst = worst_outside(&source, &film.path);
        assert!(worst < 16.0, "{style:?} {worst}");
    }
}

#[test]
fn another_picture_is_told_apart_even_in_one_corner() {
    let studio = Studio::new();
    let picture = "-f lavfi -i testsrc2=size=640x360:rate=25:duration=1 -pix_fmt yuv420p";
    let source = studio.make("source.mp4", &format!("{picture} -c:v libx264"));
    for (name, filter, is_other) in [
        ("same.mp4", "null", false),
        ("corner.mp4", "drawbox=x=600:y=320:w=40:h=40:c=white:t=fill", true),
        ("moved.mp4", "hflip", true),
        ("grey.mp4", "hue=s=0", true),
    ] {
        let other = studio.make(name, &format!("{picture} -vf {filter} -c:v libx264 -crf 30"));
        let worst = worst_outside(&source, &other);
        assert_eq!(worst > 40.0, is_other, "{name}: {worst}");
    }
}

#[test]
fn a_clear_face_is_seen_as_clear() {
    let studio = Studio::new();
    let source = footage("head-pose-two.mp4");
    let film = studio.whole_way(&source, 10.0, &quick(), &|_| Vec::new());
    for style in [MaskStyle::Pixelate, MaskStyle::Gaussian, MaskStyle::Solid] {
        assert!(evidence(&source, &film.path, style).iter().all(|found| !found.is_masked()));
    }
}

#[test]
fn masked_and_clear_are_told_apart_under_strong_compression() {
    for (regions, is_masked) in [(vec![FACE], true), (Vec::new(), false)] {
        let studio = Studio::new();
        let source = footage("head-pose-two.mp4");
        let render = Render { crf: 38, ..Render::default() };
        let film = studio.whole_way(&source, 10.0, &render, &|_| regions.clone());
        for found in evidence(&source, &film.path, MaskStyle::Pixelate) {
            assert_eq!(found.is_masked(), is_masked, "{found:?}");
        }
    }
}

#[test]
fn a_region_without_contrast_counts_as_masked() {
    let studio = Studio::new();
    let source = studio.make(
        "flat.mp4",
        "-f lavfi -i color=gray:size=320x180:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p",
    );
    for regions in [vec![FACE], Vec::new()] {
        let film = studio.whole_way(&source, 10.0, &quick(), &|_| regions.clone());
        let found = evidence(&source, &film.path, MaskStyle::Pixelate);
        assert!(found.iter().all(|found| found.contrast < 1.0 && found.is_masked()));
    }
}

#[test]
fn tiny_pictures_are_masked_without_harm() {
    let studio = Studio::new();
    let source = studio.make(
        "tiny.mp4",
        "-f lavfi -i testsrc2=size=16x16:rate=5:duration=1 -c:v libx264 -pix_fmt yuv420p",
    );
    for style in [MaskStyle::Pixelate, MaskStyle::Gaussian, MaskStyle::Solid] {
        let render = Render { style, ..quick() };
        let film = studio.whole_way(&source, 10.0, &render, &|_| vec![FACE]);
        assert_eq!(film.report.frames, 5);
    }
}

#[test]
fn regions_are_asked_for_by_source_time() {
    let studio = Studio::new();
    let source = studio.make(
        "busy.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=6 -c:v libx264 -g 25 -pix_fmt yuv420p",
    );
    // Frames last 512 ticks.
    let film = studio.whole_way(&source, 2.0, &quick(), &|pts| {
        if pts == 77 * 512 { vec![FACE] } else { Vec::new() }
    });
    assert_eq!(film.masked.iter().map(|part| part.masked_frames).collect::<Vec<_>>(), [0, 1, 0]);
    let masked: Vec<usize> = evidence(&source, &film.path, MaskStyle::Pixelate)
        .iter()
        .enumerate()
        .filter(|(_, found)| found.is_masked())
        .map(|(index, _)| index)
        .collect();
    assert_eq!(masked, [77]);
}

#[test]
fn masks_follow_the_displayed_picture_of_a_rotated_film() {
    let studio = Studio::new();
    let flat = studio.make(
        "flat.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25:duration=2 -c:v libx264 -g 25 -pix_fmt yuv420p",
    );
    for turn in [90, 180, 270] {
        let source = studio.make(
            "turned.mp4",
            &format!("-i {} -c copy -metadata:s:v:0 rotate={turn}", flat.display()),
        );
        // What the ffmpeg command line shows after turning the picture itself.
        let upright = studio.make("upright.mp4", &format!("-i {} -crf 10", source.display()));
        // The grid of pixelation starts at another corner in a turned picture; black does not.
        let render = Render { style: MaskStyle::Solid, ..quick() };
        let film = studio.whole_way(&source, 10.0, &render, &|_| vec![FACE]);
        for found in evidence(&upright, &film.path, MaskStyle::Solid) {
            assert!(found.is_masked(), "{turn} degrees: {found:?}");
        }
        assert!(worst_outside(&upright, &film.path) < 16.0, "{turn} degrees");
    }
}

#[test]
fn pictures_are_shown_upright() {
    let studio = Studio::new();
    let flat = studio.make(
        "flat.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 1 -c:v libx264 -crf 5 \
         -pix_fmt yuv420p",
    );
    let source = studio
        .make("turned.mp4", &format!("-i {} -c copy -metadata:s:v:0 rotate=90", flat.display()));
    let raw = studio.make(
        "upright.rgb",
        &format!("-i {} -vf scale=90:160:flags=area -pix_fmt rgb24 -f rawvideo", source.display()),
    );
    let expected = std::fs::read(raw).unwrap();
    decode(&source, &Limits::default(), &mut |frame| {
        assert_eq!((frame.width(), frame.height()), (180, 320));
        let picture = frame.rgb(90)?;
        assert_eq!((picture.width, picture.height), (90, 160));
        let sum: u64 =
            picture.data.iter().zip(&expected).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = sum as f64 / expected.len() as f64;
        assert!(mean < 4.0, "differs by {mean} levels from the command line's picture");
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
}

#[test]
fn boxes_at_and_beyond_the_border_are_masked() {
    let studio = Studio::new();
    let source = footage("head-pose-two.mp4");
    let corners = vec![
        Region { left: -0.2, top: -0.3, width: 0.5, height: 0.6 },
        Region { left: 0.9, top: 0.8, width: 0.4, height: 0.9 },
        Region { left: 1.2, top: 0.5, width: 0.2, height: 0.2 },
        Region { left: 0.5, top: 0.5, width: 0.0001, height: 0.0001 },
    ];
    let film = studio.whole_way(&source, 10.0, &quick(), &|_| corners.clone());
    let mut frames = 0;
    compare(&source, &film.path, &Limits::default(), &mut |pair| {
        let style = MaskStyle::Pixelate;
        let found = mask_evidence(&mut pair.source, &mut pair.output, &corners[..2], style)?;
        assert!(found.iter().all(MaskEvidence::is_masked), "{found:?}");
        frames += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(frames, 56);
    for corner in &corners {
        assert!(mask_coverage(corner, &corners) >= 0.95);
    }
}

#[test]
fn a_mask_covers_its_box_and_not_that_of_a_neighbour() {
    assert!(mask_coverage(&FACE, &[FACE]) > 0.97);
    let shifted = Region { left: FACE.left + FACE.width / 2.0, ..FACE };
    let half = mask_coverage(&shifted, &[FACE]);
    assert!((0.4..0.8).contains(&half), "{half}");
    assert_eq!(mask_coverage(&FACE, &[]), 0.0);
    assert_eq!(mask_coverage(&Region { left: 2.0, ..FACE }, &[]), 1.0);
}

#[test]
fn pixelation_leaves_at_most_6_blocks_across_a_face() {
    let studio = Studio::new();
    let source = studio.make(
        "noise.mp4",
        "-f lavfi -i nullsrc=size=640x360:rate=5:duration=1,geq=random(1)*255:128:128 \
         -c:v libx264 -crf 5 -pix_fmt yuv420p",
    );
    decode(&source, &Limits::default(), &mut |frame| {
        frame.draw(&[FACE], MaskStyle::Pixelate)?;
        let picture = frame.luma()?;
        let width = picture.width as usize;
        let row = &picture.data[130 * width..131 * width];
        let across = &row[(FACE.left * 640.0) as usize..][..(FACE.width * 640.0) as usize];
        let blocks = 1 + across.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(blocks <= 6, "{blocks} blocks across");
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
}
