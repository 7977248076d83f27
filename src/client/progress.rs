//! Bars on a terminal, lines elsewhere.

use super::{
    Out,
    http::{Stage, Video},
    text::{plain, seconds},
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{collections::HashMap, io};

const BYTES: &str = "{prefix:.bold} {bar:24} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg}";
const TITLE: &str = "{prefix:.bold}";
const STAGE: &str = "  {prefix:8} {bar:24} {msg}";

/// Draws on standard error where that is a terminal; else tells each change once, as a line.
#[derive(Debug)]
pub(crate) struct Progress {
    bars: MultiProgress,
    quiet: bool,
    /// By video and stage, with what was last said; a video's title has no stage.
    stages: HashMap<(String, String), (ProgressBar, String)>,
    /// The lowest bar of each video; its next stage goes below.
    lowest: HashMap<String, ProgressBar>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bars = MultiProgress::with_draw_target(target);
        Self { bars, quiet, stages: HashMap::new(), lowest: HashMap::new() }
    }

    /// A bar of bytes; without a total where the length is unknown.
    pub(crate) fn bytes(&self, name: &str, total: Option<u64>) -> ProgressBar {
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        self.bars.add(bar.with_style(style(BYTES)).with_prefix(plain(name)))
    }

    /// A line that stays, above all bars.
    pub(crate) fn say(&self, out: Out<'_>, line: &str) -> io::Result<()> {
        self.bars.suspend(|| {
            writeln!(out, "{line}")?;
            out.flush()
        })
    }

    /// Shows how far a video is.
    pub(crate) fn video(&mut self, out: Out<'_>, video: &Video) -> io::Result<()> {
        let title = (video.video_id.clone(), String::new());
        self.stages.entry(title).or_insert_with(|| {
            let bar = ProgressBar::no_length().with_style(style(TITLE));
            let bar = self.bars.add(bar.with_prefix(plain(&video.title)));
            bar.tick();
            self.lowest.insert(video.video_id.clone(), bar.clone());
            (bar, String::new())
        });
        for stage in &video.stages {
            self.stage(&mut *out, video, stage)?;
        }
        Ok(())
    }

    /// Takes the bars of a video away.
    pub(crate) fn finish(&mut self, video_id: &str) {
        self.lowest.remove(video_id);
        self.stages.retain(|(id, _), (bar, _)| {
            let of_video = id == video_id;
            if of_video {
                bar.finish_and_clear();
            }
            !of_video
        });
    }

    fn stage(&mut self, out: Out<'_>, video: &Video, stage: &Stage) -> io::Result<()> {
        let line = describe(stage);
        let key = (video.video_id.clone(), stage.stage.clone());
        let total = stage.total.unwrap_or(1).max(1);
        let (bar, said) = self.stages.entry(key).or_insert_with(|| {
            let bar = ProgressBar::new(total).with_style(style(STAGE));
            let bar = bar.with_prefix(plain(&stage.stage));
            let bar = match self.lowest.get(&video.video_id) {
                Some(lowest) => self.bars.insert_after(lowest, bar),
                None => self.bars.add(bar),
            };
            self.lowest.insert(video.video_id.clone(), bar.clone());
            (bar, String::new())
        });
        bar.set_length(total);
        bar.set_position(stage.done);
        bar.set_message(line.clone());
        if *said != line {
            said.clone_from(&line);
            if self.bars.is_hidden() && !self.quiet {
                let name = plain(&video.title);
                writeln!(out, "{name}: {} {line}", plain(&stage.stage))?;
                out.flush()?;
            }
        }
        Ok(())
    }
}

/// How far a stage is, e.g. `2/3 clips, 600 frames, 12.1 s`.
pub(crate) fn describe(stage: &Stage) -> String {
    let total = stage.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
    let mut text = match stage.total {
        Some(1) if stage.done == 1 => "done".to_owned(),
        Some(1) => "waiting".to_owned(),
        // Whether it works on clips or on the whole is not told before there are clips.
        None if stage.done == 0 => "waiting".to_owned(),
        _ => format!("{}/{total} clips", stage.done),
    };
    if stage.frames > 0 {
        text = format!("{text}, {} frames", stage.frames);
    }
    if let (Some(first), Some(last)) = (stage.first_at_ms, stage.last_at_ms)
        && last > first
    {
        text = format!("{text}, {}", seconds(last - first));
    }
    text
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file, and a test reads them.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_of_the_bars_can_be_read() {
        assert!([BYTES, TITLE, STAGE].iter().all(|t| ProgressStyle::with_template(t).is_ok()));
    }

    #[test]
    fn a_stage_tells_clips_frames_and_seconds() {
        let mut stage = Stage {
            stage: "detect".to_owned(),
            done: 2,
            total: Some(3),
            frames: 600,
            first_at_ms: Some(1000),
            last_at_ms: Some(13_100),
        };
        assert_eq!(describe(&stage), "2/3 clips, 600 frames, 12.1 s");
        stage.total = None;
        assert_eq!(describe(&stage), "2/? clips, 600 frames, 12.1 s");
        (stage.done, stage.frames, stage.last_at_ms) = (0, 0, None);
        assert_eq!(describe(&stage), "waiting");
    }
}
