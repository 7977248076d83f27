//! Films seen and heard by ffmpeg's own command line, not by the crate under test.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use media::{LumaImage, Probe, Region};

/// A film as ffprobe sees it.
pub(super) struct Seen {
    /// One line of output each: a word and its values.
    entries: Vec<(String, HashMap<String, String>)>,
}

impl Seen {
    /// Looks at all packets and frames.
    pub(super) fn of(path: &Path) -> Self {
        let entries = "format=start_time:\
             stream=index,codec_type,codec_name,width,height,start_time,duration,\
             sample_aspect_ratio:stream_side_data=displaymatrix:\
             packet=stream_index,pts_time,dts_time,flags:frame=stream_index,pts_time";
        let run = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", entries, "-of", "compact"])
            .arg(path)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let entries = text.lines().map(|line| {
            let mut values = line.split('|');
            let word = values.next().unwrap_or_default().to_owned();
            let pair = |value: &str| {
                value.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
            };
            (word, values.filter_map(pair).collect())
        });
        Self { entries: entries.collect() }
    }

    fn all<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a HashMap<String, String>> {
        self.entries.iter().filter(move |entry| entry.0 == word).map(|entry| &entry.1)
    }

    /// The video stream of a size, or the first; the first sound.
    fn stream(&self, kind: &str, size: Option<(u32, u32)>) -> Option<&HashMap<String, String>> {
        let streams: Vec<_> =
            self.all("stream").filter(|stream| stream["codec_type"] == kind).collect();
        let is_it = |stream: &HashMap<String, String>| {
            size.is_none_or(|(width, height)| {
                stream["width"] == width.to_string() && stream["height"] == height.to_string()
            })
        };
        streams.iter().find(|stream| is_it(stream)).or(streams.first()).copied()
    }

    fn times(&self, word: &str, key: &str, stream: &str) -> Vec<i64> {
        let of_stream =
            self.all(word).filter(|entry| entry.get("stream_index").is_some_and(|i| i == stream));
        let times = of_stream.filter_map(|entry| entry.get(key)?.parse::<f64>().ok());
        times.map(|seconds| (seconds * 1e6).round() as i64).collect()
    }

    /// Presentation times of the frames, us.
    pub(super) fn frame_times(&self) -> Vec<i64> {
        let video = self.stream("video", None).unwrap();
        self.times("frame", "pts_time", &video["index"])
    }

    /// Times at which the frames of a source are shown, us from the film's 0. What comes before
    /// the first key frame is not shown.
    pub(super) fn times_shown(&self, probe: &Probe) -> Vec<i64> {
        let video = self.stream("video", Some((probe.coded_width, probe.coded_height))).unwrap();
        let index = &video["index"];
        if probe.container == "avi" {
            // Chunks have numbers, and each non-empty one is a picture.
            return self.times("packet", "dts_time", index);
        }
        let is_key = |packet: &&HashMap<String, String>| {
            packet["stream_index"] == *index && packet["flags"].contains('K')
        };
        let first_key: f64 = self.all("packet").find(is_key).unwrap()["pts_time"].parse().unwrap();
        let first_key = (first_key * 1e6).round() as i64;
        let origin = if self.clock_runs_on(probe) { self.start() } else { 0.0 };
        let origin = (origin * 1e6).round() as i64;
        let times = self.times("frame", "pts_time", index).into_iter();
        times.filter(|&time| time >= first_key).map(|time| time - origin).collect()
    }

    /// Whether the container's clock says nothing about when the film begins.
    pub(super) fn clock_runs_on(&self, probe: &Probe) -> bool {
        match probe.container.as_str() {
            "mpegts" => true,
            "matroska" => self.start() > 1.0,
            _ => false,
        }
    }

    /// The earliest time of any stream, s.
    pub(super) fn start(&self) -> f64 {
        self.all("format").find_map(|format| format.get("start_time")?.parse().ok()).unwrap_or(0.0)
    }

    /// How long the video track is, s.
    pub(super) fn duration(&self) -> f64 {
        self.stream("video", None).unwrap()["duration"].parse().unwrap()
    }

    /// The codec of the first sound.
    pub(super) fn sound(&self) -> Option<&str> {
        self.stream("audio", None).map(|stream| stream["codec_name"].as_str())
    }

    /// When the first sound ends by what the track says, s from the start of the first stream.
    pub(super) fn end_of_sound(&self) -> f64 {
        let stream = self.stream("audio", None).unwrap();
        let value = |key: &str| stream[key].parse::<f64>().unwrap();
        value("start_time") + value("duration") - self.start()
    }

    /// Width and height of a pixel (square when the film does not say), and the display matrix.
    pub(super) fn shape(&self, size: Option<(u32, u32)>) -> (String, Option<String>) {
        let video = self.stream("video", size).unwrap();
        let pixel = match video.get("sample_aspect_ratio").map_or("", String::as_str) {
            "N/A" | "0:1" | "" => "1:1",
            other => other,
        };
        let matrix = video.iter().find(|(key, _)| key.contains("displaymatrix"));
        (pixel.to_owned(), matrix.map(|(_, matrix)| matrix.clone()))
    }
}

/// What is heard, s from the start of the first stream.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// When each beep begins.
    pub(super) beeps: Vec<f64>,
    pub(super) end: f64,
    /// What ffmpeg complains about.
    pub(super) complaints: String,
}

/// Decodes all of a film and listens to its first sound. A `strict` decoder stops at the first
/// complaint.
pub(super) fn hear(path: &Path, strict: bool) -> Heard {
    const RATE: f64 = 16_000.0;
    const LOUD: i16 = 3000;
    const PAUSE: usize = 3200;
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin"]);
    if strict {
        ffmpeg.args(["-xerror", "-err_detect", "explode"]);
    }
    // The picture is read too: without it ffmpeg would take the sound's start for the film's.
    let picture: &[&str] = if strict { &[] } else { &["-c", "copy"] };
    let filter = "aresample=16000:async=1:min_hard_comp=0.02:first_pts=0";
    let run = ffmpeg
        .arg("-i")
        .arg(path)
        .args(["-map", "0:v:0"])
        .args(picture)
        .args(["-f", "null", "/dev/null", "-map", "0:a:0?", "-af", filter])
        .args(["-ac", "1", "-f", "s16le", "-"])
        .output()
        .unwrap();
    let mut complaints = String::from_utf8_lossy(&run.stderr).into_owned();
    if !run.status.success() {
        complaints += "failed";
    }
    let mut heard = Heard { complaints, ..Heard::default() };
    let samples = run.stdout.as_chunks::<2>().0;
    let mut last_loud = None;
    for (at, sample) in samples.iter().enumerate() {
        if i16::from_le_bytes(*sample).saturating_abs() > LOUD {
            if last_loud.is_none_or(|last| at - last > PAUSE) {
                heard.beeps.push(at as f64 / RATE);
            }
            last_loud = Some(at);
        }
    }
    heard.end = samples.len() as f64 / RATE;
    heard
}

/// Likeness of two pictures outside of the masks of `regions`, dB; 99 when they are the same.
pub(super) fn psnr_outside(a: &LumaImage, b: &LumaImage, regions: &[Region]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for y in 0..a.height.min(b.height) {
        for x in 0..a.width.min(b.width) {
            if regions.iter().any(|region| is_near(region, a, x, y)) {
                continue;
            }
            let value = |image: &LumaImage| f64::from(image.data[(y * image.width + x) as usize]);
            sum += (value(a) - value(b)).powi(2);
            count += 1.0;
        }
    }
    if sum == 0.0 { 99.0 } else { 10.0 * (255.0 * 255.0 * count / sum).log10() }
}

/// Whether a pixel lies in a region or a quarter of its size beside it, where its mask reaches.
fn is_near(region: &Region, image: &LumaImage, x: u32, y: u32) -> bool {
    let x = (x as f32 + 0.5) / image.width as f32;
    let y = (y as f32 + 0.5) / image.height as f32;
    let (beside, above) = (region.width / 4.0, region.height / 4.0);
    (region.left - beside..region.left + region.width + beside).contains(&x)
        && (region.top - above..region.top + region.height + above).contains(&y)
}
