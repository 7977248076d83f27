//! Runs jobs: fetches the video, looks at it under a permit, keeps the results.

use super::{
    ServerOptions,
    jobs::{Job, Jobs, NotStarted, Page, Params, Started, State, Success},
    looking::{Look, Seen},
    observer::{Ended, Full, Looked, Observer},
    wire::{self, VideoMetadata},
};
use crate::VisionError;
use confine::Allowance;
use ports::{ObjectRef, Refusal, Store, Trouble};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch},
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

/// Threads that decode a video, and as many that look for faces on every frame of it.
const EYES: usize = 2;
/// Videos that are on disk at once, waiting or being analysed.
const MOST_FETCHED: usize = 4;
/// How often a video is fetched where the store fails in a way that may pass.
const FETCH_TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The video's name in its private folder.
const VIDEO: &str = "video";

/// Why a job did not succeed; the message begins with its reason word.
#[derive(Debug)]
enum Failure {
    /// The video's fault.
    Video(String),
    /// Not the video's fault.
    Other(String),
    /// The server is stopping: the job stays open.
    Stopped,
}

fn internal(error: impl fmt::Display) -> Failure {
    Failure::Other(format!("internal: {error}"))
}

/// All that looking at a video takes.
#[derive(Debug)]
struct Ready<'w> {
    folder: TempDir,
    permit: OwnedSemaphorePermit,
    bytes: u64,
    _place: SemaphorePermit<'w>,
}

#[derive(Debug)]
pub(super) struct Worker {
    options: ServerOptions,
    jobs: Jobs,
    /// Private folders of running jobs.
    scratch: PathBuf,
    fetched: Semaphore,
    /// Stops waiting, whatever for.
    stopped: watch::Sender<bool>,
    running: Mutex<JoinSet<()>>,
    /// How many jobs wait, and how many are looked at.
    open: Mutex<(usize, usize)>,
}

/// A job that waits, then is looked at; until this is dropped.
struct Open<'w> {
    worker: &'w Worker,
    looked_at: bool,
}

impl<'w> Open<'w> {
    fn begin(worker: &'w Worker) -> Self {
        worker.tell(|(waiting, _)| *waiting += 1);
        Self { worker, looked_at: false }
    }

    fn is_looked_at(&mut self) {
        self.looked_at = true;
        self.worker.tell(|(waiting, running)| {
            *waiting -= 1;
            *running += 1;
        });
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let looked_at = self.looked_at;
        self.worker.tell(|(waiting, running)| {
            *(if looked_at { running } else { waiting }) -= 1;
        });
    }
}

/// Where the private folders of jobs and pictures are, below the server's data.
pub(super) fn scratch(data: &Path) -> PathBuf {
    data.join("scratch")
}

impl Worker {
    /// Empties the scratch folder: what is in it is left from a run that was killed.
    pub(super) fn new(options: ServerOptions, jobs: Jobs) -> Result<Self, VisionError> {
        let scratch = scratch(&options.data);
        let failed = |error| VisionError::io(scratch.display().to_string(), error);
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => fs::create_dir_all(&scratch).map_err(failed)?,
        }
        Ok(Self {
            options,
            jobs,
            scratch,
            fetched: Semaphore::new(MOST_FETCHED),
            stopped: watch::Sender::new(false),
            running: Mutex::new(JoinSet::new()),
            open: Mutex::default(),
        })
    }

    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        self.options.observer.clone()
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.options.store.as_ref()
    }

    pub(super) fn begin(
        &self,
        params: Params,
        token: Option<String>,
    ) -> Result<Started, NotStarted> {
        let begun = self.jobs.begin(params, token, self.options.clock.now_ms());
        if let Err(NotStarted::TooMany) = begun {
            self.options.observer.turned_away(Full::Jobs);
        }
        begun
    }

    fn tell(&self, change: impl FnOnce(&mut (usize, usize))) {
        let mut open = locked(&self.open);
        change(&mut open);
        // Under the lock, so that the last told is the last.
        self.options.observer.open(open.0, open.1);
    }

    pub(super) fn job(&self, id: &str) -> Option<Job> {
        self.jobs.get(id, self.options.clock.now_ms())
    }

    pub(super) async fn page(
        self: &Arc<Self>,
        id: &str,
        from: u64,
        most: usize,
    ) -> io::Result<Option<Page>> {
        let (worker, id) = (self.clone(), id.to_owned());
        spawn_blocking(move || worker.jobs.page(&id, from, most)).await.map_err(io::Error::other)?
    }

    /// Runs the jobs again that were open when the server last stopped.
    pub(super) fn resume(self: &Arc<Self>) {
        self.jobs.unfinished().into_iter().for_each(|job| self.spawn(job));
    }

    pub(super) fn spawn(self: &Arc<Self>, job: Job) {
        let mut running = locked(&self.running);
        while running.try_join_next().is_some() {}
        running.spawn(self.clone().run(job));
    }

    /// Stops jobs, whether they wait or run.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Waits until the server is told to stop.
    pub(super) async fn stopping(&self) {
        let mut stopped = self.stopped.subscribe();
        // The sender lives as long as `self`: there is no other way for this to end.
        drop(stopped.wait_for(|stopped| *stopped).await);
    }

    /// Waits until no job runs.
    pub(super) async fn idle(&self) {
        let mut running = std::mem::take(&mut *locked(&self.running));
        while running.join_next().await.is_some() {}
    }

    async fn run(self: Arc<Self>, job: Job) {
        let state = match self.work(&job).await {
            Ok(success) => State::Succeeded(success),
            Err(Failure::Stopped) => return,
            Err(Failure::Video(message)) => State::Failed { message, lasting: true },
            Err(Failure::Other(message)) => State::Failed { message, lasting: false },
        };
        if let State::Failed { message, .. } = &state {
            tracing::warn!(job = job.id, key = job.params.key, message, "vision job failed");
        }
        let how = match &state {
            State::Failed { lasting: true, .. } => Ended::Refused,
            State::Failed { lasting: false, .. } => Ended::Failed,
            State::Succeeded(_) | State::InProgress => Ended::Succeeded,
        };
        let how = match self.jobs.finish(&job.id, state) {
            Ok(()) => how,
            Err(error) => {
                tracing::error!(job = job.id, %error, "a vision job's end was not stored; check the disk");
                Ended::Failed
            }
        };
        self.options.observer.ended(Looked::from(job.params.kind), how);
    }

    async fn work(self: &Arc<Self>, job: &Job) -> Result<Success, Failure> {
        tokio::select! {
            done = self.fetch_and_look(job) => done,
            () = self.stopping() => Err(Failure::Stopped),
        }
    }

    async fn fetch_and_look(self: &Arc<Self>, job: &Job) -> Result<Success, Failure> {
        let mut open = Open::begin(self);
        let Ready { folder, permit, bytes, _place } = self.prepare(job).await?;
        open.is_looked_at();
        let look = Look {
            video: folder.path().join(VIDEO),
            kind: job.params.kind,
            face_threshold: self.options.face_threshold,
            profile: self.options.profile,
            threads: self.options.threads.max(1),
            runtime: self.options.models.library().to_owned(),
        };
        let allowance = Allowance::new(folder.path().to_owned(), bytes, None, EYES);
        // Both are held as long as the work lasts, also when nobody waits for it.
        let held = (permit, folder);
        let looked = self.options.helper.run(look, allowance, held).await.map_err(|failure| {
            let message = format!("{}: {failure}", failure.reason());
            match failure {
                confine::Failure::Cancelled => Failure::Stopped,
                failure if failure.blames_input() => Failure::Video(message),
                _ => Failure::Other(message),
            }
        });
        let (seen, took) = looked?;
        self.options.observer.looked(Looked::from(job.params.kind), seen.frames(), took);
        let (worker, job) = (self.clone(), job.clone());
        spawn_blocking(move || worker.keep(&job, &seen)).await.map_err(internal)?.map_err(internal)
    }

    /// Brings the video to disk and waits for a permit to look at it.
    async fn prepare(&self, job: &Job) -> Result<Ready<'_>, Failure> {
        let place = self.fetched.acquire().await.map_err(internal)?;
        let folder =
            tempfile::Builder::new().prefix("job-").tempdir_in(&self.scratch).map_err(internal)?;
        let bytes = self.fetch(job, &folder.path().join(VIDEO)).await?;
        let permit = self.options.permits.clone().acquire_owned().await.map_err(internal)?;
        Ok(Ready { folder, permit, bytes, _place: place })
    }

    /// Brings the video into a file, with patience where the store's trouble may pass.
    async fn fetch(&self, job: &Job, file: &Path) -> Result<u64, Failure> {
        let object = ObjectRef::new(&job.params.bucket, &job.params.key);
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let trouble = match self.options.store.download(&object, file).await {
                Ok(_) => return file.metadata().map(|it| it.len()).map_err(internal),
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Refused(Refusal::Poison(poison)) => {
                    return Err(Failure::Video(poison.to_string()));
                }
                Trouble::Transient { after, .. } if attempt < FETCH_TRIES => {
                    sleep(after.unwrap_or(wait)).await;
                    wait *= 2;
                    attempt += 1;
                }
                other => {
                    let message = format!("io: {object} could not be fetched: {other}");
                    return Err(Failure::Other(message));
                }
            }
        }
    }

    /// Writes the results of a look. Blocks.
    fn keep(&self, job: &Job, seen: &Seen) -> Result<Success, VisionError> {
        let min = job.params.min_confidence;
        let (video, kept) = match seen {
            Seen::Faces(found) => {
                let entries = found.samples.iter().flat_map(wire::faces);
                (&found.video, self.jobs.write_results(&job.id, entries))
            }
            Seen::Labels(found) => {
                let entries = found.samples.iter().flat_map(|sample| wire::labels(sample, min));
                (&found.video, self.jobs.write_results(&job.id, entries))
            }
        };
        kept.map_err(|e| VisionError::io("results of a vision job", e))?;
        let profile = matches!(seen, Seen::Faces(_)).then_some(self.options.profile);
        Ok(Success { video: VideoMetadata::from(video), profile })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
