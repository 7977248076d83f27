//! Films made by the ffmpeg command line, and the whole way through this crate.

use std::path::{Path, PathBuf};
use std::process::Command;

use media::{
    ClipSpan, CutPlan, Limits, MaskJob, MaskReport, MediaError, Region, Render, Stitch,
    StitchReport, mask_clip, plan_cut, stitch, write_clip,
};
use tempfile::TempDir;

/// A folder that goes with the test.
pub(crate) struct Studio {
    folder: TempDir,
}

/// A film that went the whole way.
pub(crate) struct Film {
    pub(crate) path: PathBuf,
    pub(crate) plan: CutPlan,
    pub(crate) masked: Vec<MaskReport>,
    pub(crate) clips: Vec<PathBuf>,
    pub(crate) report: StitchReport,
}

impl Studio {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs ffmpeg with `arguments` (split at spaces) and `name` as its output.
    pub(crate) fn make(&self, name: &str, arguments: &str) -> PathBuf {
        let out = self.path(name);
        let run = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments.split(' '))
            .arg(&out)
            .output()
            .unwrap();
        assert!(
            run.status.success(),
            "ffmpeg {arguments}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
        out
    }

    /// As [`make`](Self::make) inside the folder; the last word is the output, and `words` stand
    /// for longer arguments.
    pub(crate) fn make_spelled(&self, call: &str, words: &[(&str, &str)]) -> PathBuf {
        let mut arguments: Vec<&str> = call
            .split(' ')
            .flat_map(|word| {
                let meaning = words.iter().find(|(name, _)| *name == word).map(|found| found.1);
                meaning.unwrap_or(word).split(' ')
            })
            .collect();
        let name = arguments.pop().unwrap();
        let run = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments)
            .arg(name)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(run.status.success(), "ffmpeg {call}: {}", String::from_utf8_lossy(&run.stderr));
        self.path(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let out = self.path(name);
        std::fs::write(&out, bytes).unwrap();
        out
    }

    /// Cuts, masks the regions that `regions_at` names (by source PTS), stitches.
    pub(crate) fn whole_way(
        &self,
        source: &Path,
        clip_seconds: f64,
        render: &Render,
        regions_at: &dyn Fn(i64) -> Vec<Region>,
    ) -> Film {
        self.try_whole_way(source, clip_seconds, render, regions_at)
            .unwrap_or_else(|error| panic!("{}: {error}", source.display()))
    }

    /// As [`whole_way`](Self::whole_way), to the first error. As many threads render as encode.
    pub(crate) fn try_whole_way(
        &self,
        source: &Path,
        clip_seconds: f64,
        render: &Render,
        regions_at: &dyn Fn(i64) -> Vec<Region>,
    ) -> Result<Film, MediaError> {
        let limits = Limits { threads: render.threads as usize, ..Limits::default() };
        let plan = plan_cut(source, clip_seconds, 1.0, &limits)?;
        let (mut parts, mut clips, mut masked) = (Vec::new(), Vec::new(), Vec::new());
        for span in &plan.clips {
            let clip = self.path(&format!("clip-{}.mp4", span.index));
            let part = self.path(&format!("part-{}.mp4", span.index));
            write_clip(source, &plan, span.index, &clip, &limits)?;
            let job = MaskJob {
                clip: &clip,
                span,
                probe: &plan.probe,
                render,
                out: &part,
                limits: &limits,
            };
            masked.push(mask_clip(&job, regions_at, &mut |_| {})?);
            clips.push(clip);
            parts.push(part);
        }
        let path = self.path("film.mp4");
        let report = stitch(&Stitch {
            parts: &parts,
            spans: &plan.clips,
            probe: &plan.probe,
            source,
            out: &path,
            limits: &limits,
        })?;
        Ok(Film { path, plan, masked, clips, report })
    }
}

pub(crate) fn footage(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/footage").join(name)
}

pub(crate) fn nothing(_: i64) -> Vec<Region> {
    Vec::new()
}

pub(crate) fn quick() -> Render {
    Render { preset: "ultrafast".to_owned(), ..Render::default() }
}

/// Presentation times of all displayed frames in microseconds, as ffprobe sees them.
pub(crate) fn frame_times(path: &Path) -> Vec<i64> {
    ffprobe(path, "v:0", "frame=pts_time")
        .lines()
        // Side data is printed as an empty value.
        .filter(|line| !line.is_empty())
        .map(|line| (line.trim_end_matches(',').parse::<f64>().unwrap() * 1e6).round() as i64)
        .collect()
}

/// What ffprobe says about one stream, one value a line.
pub(crate) fn ffprobe(path: &Path, stream: &str, entries: &str) -> String {
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_entries", entries])
        .args(["-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

/// A strict decode of the whole file by the ffmpeg command line; answers its complaints.
pub(crate) fn strict_decode(path: &Path) -> String {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-xerror", "-err_detect", "explode", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&run.stderr).into_owned();
    if run.status.success() { complaints } else { format!("failed: {complaints}") }
}

/// SHA-256 of every packet of a stream, one a line, as the ffmpeg command line sees them.
pub(crate) fn packet_hashes(path: &Path, stream: &str) -> Vec<String> {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-map", &format!("0:{stream}"), "-c", "copy"])
        .args(["-f", "framehash", "-hash", "sha256", "-"])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

/// The spans lie side by side and hold every frame.
pub(crate) fn assert_gapless(plan: &CutPlan) {
    let spans: &[ClipSpan] = &plan.clips;
    assert_eq!(spans[0].core_start, plan.probe.start_pts);
    let end = plan.probe.start_pts + plan.probe.duration_ticks;
    assert_eq!(spans.last().unwrap().core_end, end);
    assert!(spans.windows(2).all(|pair| pair[0].core_end == pair[1].core_start));
    assert!(spans.iter().all(|span| span.core_frames > 0));
    let frames: i64 = spans.iter().map(|span| i64::from(span.core_frames)).sum();
    assert_eq!(frames, plan.probe.frames);
}
