//! What masking a film costs.

use media::{Limits, MaskJob, Region, Render, RenderMode, mask_clip, plan_cut, write_clip};
use serde::Serialize;
use std::{error::Error, path::Path, time::Instant};
use vision::{Models, Profile, faces_in_video};

/// The face that is masked.
const FACE: Region = Region { left: 0.4, top: 0.2, width: 0.15, height: 0.3 };
/// Longer than any film that is measured.
const ONE_CLIP_SECONDS: f64 = 86_400.0;
/// As the mill has it.
const THRESHOLD: f32 = 0.15;

/// Seconds, and what they were spent on.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    frames: u32,
    copied_frames: u32,
    blur_cpu_s: f64,
    blur_wall_s: f64,
    /// 0 where nothing was looked for.
    detect_cpu_s: f64,
    detect_wall_s: f64,
    bytes: u64,
}

/// Masks a face in a share of a film's groups of pictures, spread evenly.
pub(crate) fn of_blur(
    source: &Path,
    masked: &Path,
    share: u32,
    detect: Option<Profile>,
) -> Result<Cost, Box<dyn Error>> {
    let limits = Limits { threads: 1, ..Limits::default() };
    let plan = plan_cut(source, ONE_CLIP_SECONDS, 1.0, &limits)?;
    let [span] = &plan.clips[..] else { return Err("the film does not fit into one clip".into()) };
    if !plan.probe.smart_ok {
        return Err(format!("its packets cannot be copied: {}", plan.probe.smart_reason).into());
    }
    let place = tempfile::tempdir()?;
    let clip = place.path().join("clip.mp4");
    write_clip(source, &plan, 0, &clip, &limits)?;

    let looking = Stopwatch::start();
    if let Some(profile) = detect {
        faces_in_video(&clip, &Models::find(None)?, THRESHOLD, profile, &limits, &mut |_| {})?;
    }
    let (detect_cpu_s, detect_wall_s) = looking.stop();

    let starts = group_starts(source)?;
    let has_face = |pts: i64| {
        let group = starts.partition_point(|&start| start <= pts).saturating_sub(1) as u32;
        // The groups at which the sum of shares passes the next whole number.
        (group + 1) * share / 100 > group * share / 100
    };
    let render = Render { mode: RenderMode::Smart, ..Render::default() };
    let job = MaskJob {
        clip: &clip,
        span,
        probe: &plan.probe,
        render: &render,
        out: masked,
        limits: &limits,
    };
    let masking = Stopwatch::start();
    let regions = |pts: i64| if has_face(pts) { vec![FACE] } else { Vec::new() };
    let report = mask_clip(&job, &regions, &mut |_| {})?;
    let (blur_cpu_s, blur_wall_s) = masking.stop();
    Ok(Cost {
        frames: report.frames,
        copied_frames: report.copied_frames,
        blur_cpu_s,
        blur_wall_s,
        detect_cpu_s: if detect.is_some() { detect_cpu_s } else { 0.0 },
        detect_wall_s: if detect.is_some() { detect_wall_s } else { 0.0 },
        bytes: report.bytes,
    })
}

/// When the film's groups of pictures begin, in its ticks.
fn group_starts(source: &Path) -> Result<Vec<i64>, Box<dyn Error>> {
    // As many clips as there are key frames.
    let plan = plan_cut(source, 0.001, 1.0, &Limits::default())?;
    Ok(plan.clips.iter().map(|clip| clip.core_start).collect())
}

/// CPU and wall time of this process.
struct Stopwatch {
    cpu: f64,
    wall: Instant,
}

impl Stopwatch {
    fn start() -> Self {
        Self { cpu: cpu_seconds(), wall: Instant::now() }
    }

    fn stop(&self) -> (f64, f64) {
        (cpu_seconds() - self.cpu, self.wall.elapsed().as_secs_f64())
    }
}

/// User and system seconds of all threads.
fn cpu_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
