//! Hostile files go through the program's own confined helper, under strace: each is refused with a
//! reason within seconds, within memory, opens nothing and contacts nobody, and an ordinary film
//! works right after. The table is `docs/hostile-inputs.md`; `REELMILL_WRITE_TABLES=1` writes it.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod avis;
mod bits;
mod boxes;
mod corpus;
mod matroska;
mod measured;
mod packed;
mod pictures;
mod running;
mod trace;
#[path = "../mill/tracing.rs"]
mod tracing;
mod transport_streams;

use confine::{Allowance, Failure, Helper, Usage, Work};
use corpus::Maker;
use measured::{Measured, complaints, mebibytes, table};
use media::{Limits, MediaError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use trace::Seen;
use tracing::can_trace;

const TABLE: &str = "docs/hostile-inputs.md";

/// The helper's first work on an upload, as this side knows it.
#[derive(Serialize, Deserialize)]
struct PlanClips {
    source: PathBuf,
    clip_seconds: f64,
    margin_seconds: f64,
}

/// Its first work that decodes.
#[derive(Serialize, Deserialize)]
struct Look {
    video: PathBuf,
    kind: String,
    face_threshold: f32,
    profile: vision::Profile,
    threads: usize,
    runtime: PathBuf,
}

/// Its work on a photograph.
#[derive(Serialize, Deserialize)]
struct DecodePhoto {
    photo: PathBuf,
    pixels: PathBuf,
}

fn elsewhere() -> Result<Value, MediaError> {
    Err(MediaError::Internal("only the program does this".to_owned()))
}

impl Work for PlanClips {
    const NAME: &'static str = "plan-clips";
    type Output = Value;
    fn run(self, _: &Limits) -> Result<Value, MediaError> {
        elsewhere()
    }
}

impl Work for Look {
    const NAME: &'static str = "look-at-video";
    type Output = Value;
    fn run(self, _: &Limits) -> Result<Value, MediaError> {
        elsewhere()
    }
}

impl Work for DecodePhoto {
    const NAME: &'static str = "decode-photo";
    type Output = Value;
    fn run(self, _: &Limits) -> Result<Value, MediaError> {
        elsewhere()
    }
}

/// Where files are looked at, with what nobody may touch beside it.
struct Place {
    dir: TempDir,
    listener: TcpListener,
    runtime: PathBuf,
}

/// What became of a file.
#[derive(Debug)]
struct Fate {
    reason: String,
    usage: Usage,
    seen: Vec<Seen>,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("job")).unwrap();
        std::fs::create_dir(dir.path().join("made")).unwrap();
        std::fs::write(dir.path().join("canary.ts"), [0x47; 188]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = vision::Models::find(None).unwrap().library().to_owned();
        Self { dir, listener, runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Has one work done, traced.
    fn work<W: Work>(
        &self,
        work: W,
        allowance: Allowance,
    ) -> (Result<W::Output, Failure>, Usage, Seen) {
        let log = self.path("trace");
        let mut arguments = trace::traced(&log);
        arguments.extend([env!("CARGO_BIN_EXE_reelmill").to_owned(), "media-job".to_owned()]);
        let helper = Helper::program("/usr/bin/strace", arguments);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (result, usage) = runtime.block_on(helper.measured(work, allowance, ()));
        (result, usage, trace::read(&log, &self.path("job"), true))
    }

    /// Plans the clips of a file and looks for faces in it, as `cut` and `detect` do.
    fn fate(&self, bytes: &[u8]) -> Fate {
        let video = self.path("job/source");
        std::fs::write(&video, bytes).unwrap();
        let plan = PlanClips { source: video.clone(), clip_seconds: 60.0, margin_seconds: 1.0 };
        let (planned, mut usage, seen) =
            self.work(plan, Allowance::reading(self.path("job"), bytes.len() as u64));
        let mut fate = Fate { reason: "plays".to_owned(), usage, seen: vec![seen] };
        if let Err(failure) = planned {
            fate.reason = told(&failure);
            return fate;
        }
        let look = Look {
            video,
            kind: "faces".to_owned(),
            face_threshold: 0.5,
            profile: vision::Profile::Careful,
            threads: 1,
            runtime: self.runtime.clone(),
        };
        let (looked, more, seen) =
            self.work(look, Allowance::new(self.path("job"), bytes.len() as u64, None, 1));
        let memory = usage.memory.zip(more.memory).map(|(one, other)| one.max(other));
        usage = Usage { memory, time: usage.time + more.time };
        fate.usage = usage;
        fate.seen.push(seen);
        if let Err(failure) = looked {
            fate.reason = told(&failure);
        }
        fate
    }

    /// Since it was last asked.
    fn connections(&self) -> usize {
        std::iter::from_fn(|| self.listener.accept().ok()).count()
    }
}

fn told(failure: &Failure) -> String {
    assert!(failure.blames_input(), "{failure}");
    eprintln!("  {failure}");
    failure.reason().to_owned()
}

#[test]
fn hostile_files_are_refused_in_seconds_and_open_nothing() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let canary = place.path("canary.ts");
    let address = place.listener.local_addr().unwrap().to_string();
    let maker = Maker { folder: &place.path("made"), canary: &canary, address };
    let ordinary = maker.ordinary();
    let mut rows = Vec::new();
    let mut wrong = String::new();
    for row in Maker::GROUPS.iter().flat_map(|group| group(&maker)) {
        let fate = place.fate(&row.bytes);
        eprintln!(
            "{}: {} {:?} {} MiB",
            row.name,
            fate.reason,
            fate.usage.time,
            mebibytes(fate.usage)
        );
        let connections = place.connections();
        wrong += &complaints(&row, &fate, connections);
        rows.push(Measured::new(&row, &fate, connections));
        let plan =
            PlanClips { source: place.path("job/source"), clip_seconds: 60.0, margin_seconds: 1.0 };
        std::fs::write(place.path("job/source"), &ordinary).unwrap();
        let (planned, ..) =
            place.work(plan, Allowance::reading(place.path("job"), ordinary.len() as u64));
        assert!(planned.is_ok(), "an ordinary film after {}: {planned:?}", row.name);
    }
    assert!(wrong.is_empty(), "{wrong}");

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    if std::env::var_os("REELMILL_WRITE_TABLES").is_some() {
        std::fs::write(&file, table(&rows)).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let old = "is old: run with REELMILL_WRITE_TABLES=1";
    assert!(written.starts_with(&table(&[])), "{TABLE} {old}");
    let told: Vec<_> = written.lines().filter_map(Measured::read).collect();
    assert_eq!(told.len(), rows.len(), "{TABLE} {old}");
    for (measured, told) in rows.iter().zip(&told) {
        assert!(measured.is_told_by(told), "{TABLE} {old}: {told:?}, and now {measured:?}");
    }
}

#[test]
fn photographs_are_decoded_behind_the_fence() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let path = place.path("job/photo");
    let obama = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/footage/obama.jpg");
    let jpeg = std::fs::read(obama).unwrap();
    let playlist = format!("#EXTM3U\n#EXTINF:1,\n{}\n", place.path("canary.ts").display());
    let short = jpeg[..20].to_vec();
    for (file, is_picture) in [(jpeg, true), (playlist.into_bytes(), false), (short, false)] {
        std::fs::write(&path, &file).unwrap();
        let work = DecodePhoto { photo: path.clone(), pixels: place.path("job/pixels") };
        let allowance = Allowance::reading(place.path("job"), file.len() as u64);
        let (decoded, usage, seen) = place.work(work, allowance);
        let decoded = decoded.unwrap();
        eprintln!("{decoded} {usage:?}");
        assert_eq!(decoded.get("Ok").is_some(), is_picture, "{decoded}");
        assert!(usage.memory.is_some_and(|memory| memory < 256 << 20), "{usage:?}");
        let outside = [&seen.opened[..], &seen.network].concat();
        assert_eq!((outside, seen.named), (Vec::new(), Vec::new()));
        assert!(seen.own > 0, "the photograph was not opened");
    }
    let pixels = std::fs::metadata(place.path("job/pixels")).unwrap().len();
    assert!(pixels > 100_000, "{pixels} bytes");
}

#[test]
fn the_trace_would_show_a_file_that_is_opened() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let canary = place.path("canary.ts");
    let film = place.path("job/film.mp4");
    let playlist = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        canary.display()
    );
    std::fs::write(&film, playlist).unwrap();
    let log = place.path("trace");
    // What FFmpeg does when it guesses.
    let run = Command::new("/usr/bin/strace")
        .args(trace::traced(&log))
        .args(["ffmpeg", "-v", "quiet", "-nostdin", "-allowed_extensions", "ALL"])
        .arg("-i")
        .arg(&film)
        .args(["-f", "null", "-"])
        .output();
    assert!(run.is_ok());
    let seen = trace::read(&log, &place.path("job"), false);
    assert!(seen.opened.iter().any(|call| call.contains("canary.ts")), "{:?}", seen.opened);
}
