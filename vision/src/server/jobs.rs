//! The jobs and their results, in memory and on disk.
//!
//! A job is a small JSON file; its results are a file of JSON lines, one entry of the answer
//! each, so that a page is read from its place without loading the rest. A job file is written
//! after its results and by renaming: what it says is there is there.

use super::wire::{Kind, VideoMetadata};
use crate::Profile;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// As many as AWS lets an account have open.
pub(super) const MOST_OPEN: usize = 20;
/// As long as AWS keeps results: seven days.
const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// What was asked for; a token stands for exactly one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Params {
    pub(super) kind: Kind,
    pub(super) bucket: String,
    pub(super) key: String,
    /// 0 to 100; labels only.
    pub(super) min_confidence: f32,
    /// Faces only. Changes no answer, but what a token stands for.
    #[serde(default)]
    pub(super) all_attributes: bool,
    pub(super) job_tag: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) token: Option<String>,
    pub(super) params: Params,
    /// Milliseconds since 1970.
    pub(super) started_ms: i64,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    InProgress,
    Succeeded(Success),
    Failed {
        message: String,
        /// The video is at fault: running it again is no use.
        lasting: bool,
    },
}

/// What a job has looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Success {
    #[serde(flatten)]
    pub(super) video: VideoMetadata,
    /// Faces only; jobs of earlier versions say nothing of it.
    #[serde(default)]
    pub(super) profile: Option<Profile>,
}

/// Why a job was not started.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// The token belongs to other parameters.
    Mismatch,
    /// [`MOST_OPEN`] are open.
    TooMany,
    Io(io::Error),
}

/// What starting a job came to.
#[derive(Debug)]
pub(super) enum Started {
    New(Job),
    /// The token's job, by id.
    Known(String),
}

/// A page of results and where the next begins.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) entries: Vec<Value>,
    pub(super) next: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Jobs {
    folder: PathBuf,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<String, Job>,
    by_token: HashMap<(Kind, String), String>,
}

impl Table {
    fn insert(&mut self, job: Job) {
        if let Some(token) = &job.token {
            self.by_token.insert((job.params.kind, token.clone()), job.id.clone());
        }
        self.by_id.insert(job.id.clone(), job);
    }

    fn remove(&mut self, id: &str) {
        self.by_id.remove(id);
        self.by_token.retain(|_, known| known != id);
    }
}

impl Jobs {
    /// Reads the jobs of an earlier run from `data`, which is created where it is missing.
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        let folder = data.join("jobs");
        fs::create_dir_all(&folder)?;
        let mut read = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            match serde_json::from_slice::<Job>(&fs::read(&path)?) {
                Ok(job) => read.push(job),
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(%path, %error, "a vision job cannot be read and is left out");
                }
            }
        }
        // Of two jobs with one token, the later one counts.
        read.sort_by_key(|job| job.started_ms);
        let mut table = Table::default();
        read.into_iter().for_each(|job| table.insert(job));
        Ok(Self { folder, table: Mutex::new(table) })
    }

    /// Starts a job, or finds the one its token stands for. A token whose job failed by no fault
    /// of the video starts a new one.
    pub(super) fn begin(
        &self,
        params: Params,
        token: Option<String>,
        now_ms: i64,
    ) -> Result<Started, NotStarted> {
        let mut table = self.table();
        self.expire(&mut table, now_ms);
        let known = token
            .as_ref()
            .and_then(|token| table.by_token.get(&(params.kind, token.clone())))
            .and_then(|id| table.by_id.get(id));
        match known {
            Some(job) if job.params != params => return Err(NotStarted::Mismatch),
            Some(Job { state: State::Failed { lasting: false, .. }, .. }) | None => {}
            Some(job) => return Ok(Started::Known(job.id.clone())),
        }
        let open = table.by_id.values().filter(|job| job.state == State::InProgress).count();
        if open >= MOST_OPEN {
            return Err(NotStarted::TooMany);
        }
        let job = Job {
            id: uuid::Uuid::new_v4().simple().to_string(),
            token,
            params,
            started_ms: now_ms,
            state: State::InProgress,
        };
        self.save(&job).map_err(NotStarted::Io)?;
        table.insert(job.clone());
        Ok(Started::New(job))
    }

    /// A job that is open or whose results are kept.
    pub(super) fn get(&self, id: &str, now_ms: i64) -> Option<Job> {
        let mut table = self.table();
        self.expire(&mut table, now_ms);
        table.by_id.get(id).cloned()
    }

    /// Jobs that an earlier run left unfinished, in the order they were started.
    pub(super) fn unfinished(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.table().by_id.values().cloned().collect();
        jobs.retain(|job| job.state == State::InProgress);
        jobs.sort_by_key(|job| job.started_ms);
        jobs
    }

    /// Ends a job. Its results must be written before.
    pub(super) fn finish(&self, id: &str, state: State) -> io::Result<()> {
        let mut table = self.table();
        let Some(job) = table.by_id.get_mut(id) else { return Ok(()) };
        job.state = state;
        self.save(job)
    }

    /// Writes the entries of a job's answer.
    pub(super) fn write_results(
        &self,
        id: &str,
        entries: impl Iterator<Item = Value>,
    ) -> io::Result<()> {
        let temporary = self.folder.join(format!("{id}.part"));
        let mut file = BufWriter::new(File::create(&temporary)?);
        for entry in entries {
            serde_json::to_writer(&mut file, &entry)?;
            file.write_all(b"\n")?;
        }
        file.into_inner().map_err(|e| e.into_error())?.sync_data()?;
        fs::rename(temporary, self.results(id))
    }

    /// Up to `most` entries from byte `from` of a finished job's results; `None` where no entry
    /// begins there.
    pub(super) fn page(&self, id: &str, from: u64, most: usize) -> io::Result<Option<Page>> {
        let mut file = File::open(self.results(id))?;
        let length = file.metadata()?.len();
        if from > length || (from > 0 && !follows_a_line(&mut file, from)?) {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(from))?;
        let mut lines = BufReader::new(file);
        let mut entries = Vec::new();
        let (mut at, mut line) = (from, String::new());
        while entries.len() < most {
            line.clear();
            let read = lines.read_line(&mut line)?;
            if read == 0 {
                break;
            }
            at += read as u64;
            entries.push(serde_json::from_str(&line)?);
        }
        Ok(Some(Page { entries, next: (at < length).then_some(at) }))
    }

    fn expire(&self, table: &mut Table, now_ms: i64) {
        let old: Vec<String> = table
            .by_id
            .values()
            .filter(|job| job.state != State::InProgress && now_ms - job.started_ms > KEPT_MS)
            .map(|job| job.id.clone())
            .collect();
        for id in old {
            table.remove(&id);
            for file in [self.results(&id), self.description(&id)] {
                match fs::remove_file(&file) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        let file = file.display();
                        tracing::warn!(%file, %error, "an old vision job was not removed");
                    }
                    _ => {}
                }
            }
        }
    }

    fn save(&self, job: &Job) -> io::Result<()> {
        let temporary = self.folder.join(format!("{}.saving", job.id));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(job)?)?;
        file.sync_data()?;
        fs::rename(temporary, self.description(&job.id))
    }

    fn description(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn results(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.jsonl"))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follows_a_line(file: &mut File, at: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(at - 1))?;
    let mut before = [0];
    file.read_exact(&mut before)?;
    Ok(before == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn params(key: &str) -> Params {
        Params {
            kind: Kind::Faces,
            bucket: "films".into(),
            key: key.into(),
            min_confidence: 0.0,
            all_attributes: false,
            job_tag: None,
        }
    }

    fn new(jobs: &Jobs, key: &str, token: Option<&str>, now_ms: i64) -> String {
        let started = jobs.begin(params(key), token.map(str::to_owned), now_ms).unwrap();
        assert!(matches!(started, Started::New(_)), "{started:?} was known");
        match started {
            Started::New(job) => job.id,
            Started::Known(id) => id,
        }
    }

    #[test]
    fn a_token_whose_job_failed_without_fault_of_the_video_starts_a_new_job() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(folder.path()).unwrap();
        let first = new(&jobs, "a.mp4", Some("t"), 1);
        let failed = |lasting| State::Failed { message: "x".into(), lasting };
        jobs.finish(&first, failed(false)).unwrap();
        let second = new(&jobs, "a.mp4", Some("t"), 2);
        jobs.finish(&second, failed(true)).unwrap();
        let again = jobs.begin(params("a.mp4"), Some("t".into()), 3).unwrap();
        assert!(matches!(again, Started::Known(id) if id == second));
        drop(jobs);
        let jobs = Jobs::open(folder.path()).unwrap();
        let after_restart = jobs.begin(params("a.mp4"), Some("t".into()), 4).unwrap();
        assert!(matches!(after_restart, Started::Known(id) if id == second));
    }

    #[test]
    fn pages_begin_at_entries_only_and_end_with_the_results() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(folder.path()).unwrap();
        let id = new(&jobs, "a.mp4", None, 1);
        jobs.write_results(&id, (0..5).map(|n| json!({ "n": n }))).unwrap();
        let first = jobs.page(&id, 0, 2).unwrap().unwrap();
        assert_eq!(first.entries, [json!({"n": 0}), json!({"n": 1})]);
        let second = jobs.page(&id, first.next.unwrap(), 3).unwrap().unwrap();
        assert_eq!(second.entries.len(), 3);
        assert_eq!(second.next, None);
        assert!(jobs.page(&id, 1, 2).unwrap().is_none());
        assert!(jobs.page(&id, 1_000_000, 2).unwrap().is_none());
    }

    #[test]
    fn no_more_jobs_are_open_than_at_aws() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(folder.path()).unwrap();
        let ids: Vec<String> =
            (0..MOST_OPEN).map(|n| new(&jobs, &n.to_string(), None, 1)).collect();
        assert!(matches!(jobs.begin(params("x"), None, 1), Err(NotStarted::TooMany)));
        jobs.finish(&ids[0], State::Failed { message: String::new(), lasting: true }).unwrap();
        new(&jobs, "x", None, 1);
    }

    #[test]
    fn finished_jobs_are_removed_after_seven_days_with_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(folder.path()).unwrap();
        let old = new(&jobs, "a.mp4", Some("t"), 0);
        jobs.write_results(&old, std::iter::empty()).unwrap();
        jobs.finish(&old, State::Failed { message: String::new(), lasting: true }).unwrap();
        assert!(jobs.get(&old, KEPT_MS).is_some());
        let later = new(&jobs, "a.mp4", Some("t"), KEPT_MS + 1);
        assert!(jobs.get(&old, KEPT_MS + 1).is_none());
        let files: Vec<_> = fs::read_dir(folder.path().join("jobs")).unwrap().collect();
        assert_eq!(files.len(), 1, "only {later} is left: {files:?}");
    }
}
