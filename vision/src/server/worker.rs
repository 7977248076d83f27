//! Runs jobs: fetches the video, looks at it under a permit, keeps the results.

use super::{
    ServerOptions,
    jobs::{Job, Jobs, NotStarted, Page, Params, Started, State},
    wire::{self, Kind, VideoMetadata},
};
use crate::{FaceDetector, LabelDetector, VideoInfo, VisionError, faces_in_video, labels_in_video};
use media::{Cancel, Limits, MediaError};
use ports::{ObjectRef, Refusal, Store, Trouble};
use serde_json::Value;
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
    _place: SemaphorePermit<'w>,
}

#[derive(Debug)]
pub(super) struct Worker {
    options: ServerOptions,
    jobs: Jobs,
    /// Private folders of running jobs.
    scratch: PathBuf,
    fetched: Semaphore,
    /// Stops decoding, which is not asynchronous, at the next frame.
    cancel: Cancel,
    /// Stops waiting, whatever for.
    stopped: watch::Sender<bool>,
    running: Mutex<JoinSet<()>>,
    faces: Pool<FaceDetector>,
    labels: Pool<LabelDetector>,
}

/// Detectors between two jobs: as many as ever ran at once.
#[derive(Debug)]
struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn take(&self) -> Option<T> {
        locked(&self.0).pop()
    }

    fn give_back(&self, detector: T) {
        locked(&self.0).push(detector);
    }
}

impl Worker {
    /// Empties the scratch folder: what is in it is left from a run that was killed.
    pub(super) fn new(options: ServerOptions, jobs: Jobs) -> Result<Self, VisionError> {
        let scratch = options.data.join("scratch");
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
            cancel: Cancel::new(),
            stopped: watch::Sender::new(false),
            running: Mutex::new(JoinSet::new()),
            faces: Pool::new(),
            labels: Pool::new(),
        })
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.options.store.as_ref()
    }

    pub(super) fn begin(
        &self,
        params: Params,
        token: Option<String>,
    ) -> Result<Started, NotStarted> {
        self.jobs.begin(params, token, self.options.clock.now_ms())
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

    /// Stops jobs that wait at once and those that run at their next frame.
    pub(super) fn stop(&self) {
        self.cancel.cancel();
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
            Ok(video) => State::Succeeded(video),
            Err(Failure::Stopped) => return,
            Err(Failure::Video(message)) => State::Failed { message, lasting: true },
            Err(Failure::Other(message)) => State::Failed { message, lasting: false },
        };
        if let State::Failed { message, .. } = &state {
            tracing::warn!(job = job.id, key = job.params.key, message, "vision job failed");
        }
        if let Err(error) = self.jobs.finish(&job.id, state) {
            tracing::error!(job = job.id, %error, "a vision job's end was not stored; check the disk");
        }
    }

    async fn work(self: &Arc<Self>, job: &Job) -> Result<VideoMetadata, Failure> {
        let ready = tokio::select! {
            ready = self.prepare(job) => ready?,
            () = self.stopping() => return Err(Failure::Stopped),
        };
        let Ready { folder, permit, _place } = ready;
        let (worker, job) = (self.clone(), job.clone());
        let looked = spawn_blocking(move || {
            // Both live exactly as long as the work does, also when nobody waits for it.
            let (_permit, folder) = (permit, folder);
            worker.look(&job, &folder)
        });
        let info = looked.await.map_err(internal)?.map_err(|error| match error {
            VisionError::Media(MediaError::Cancelled) => Failure::Stopped,
            VisionError::Media(media) if media.blames_input() => {
                Failure::Video(format!("{}: {media}", media.reason()))
            }
            VisionError::Media(media) => Failure::Other(format!("{}: {media}", media.reason())),
            other => internal(other),
        })?;
        Ok(VideoMetadata::from(&info))
    }

    /// Brings the video to disk and waits for a permit to look at it.
    async fn prepare(&self, job: &Job) -> Result<Ready<'_>, Failure> {
        let place = self.fetched.acquire().await.map_err(internal)?;
        let folder =
            tempfile::Builder::new().prefix("job-").tempdir_in(&self.scratch).map_err(internal)?;
        self.fetch(job, &folder.path().join(VIDEO)).await?;
        let permit = self.options.permits.clone().acquire_owned().await.map_err(internal)?;
        Ok(Ready { folder, permit, _place: place })
    }

    /// Brings the video into a file, with patience where the store's trouble may pass.
    async fn fetch(&self, job: &Job, file: &Path) -> Result<(), Failure> {
        let object = ObjectRef::new(&job.params.bucket, &job.params.key);
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let trouble = match self.options.store.download(&object, file).await {
                Ok(_) => return Ok(()),
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

    /// Analyses the video in `folder` and writes the results. Blocks.
    fn look(&self, job: &Job, folder: &TempDir) -> Result<VideoInfo, VisionError> {
        let file = folder.path().join(VIDEO);
        let threads = self.options.threads.max(1);
        let limits = Limits { threads, cancel: self.cancel.clone(), ..Limits::default() };
        match job.params.kind {
            Kind::Faces => {
                let mut detector = match self.faces.take() {
                    Some(detector) => detector,
                    None => FaceDetector::new(&self.options.models, threads)?,
                };
                let threshold = self.options.face_threshold;
                let found = faces_in_video(&file, &mut detector, threshold, &limits, &mut |_| {});
                self.faces.give_back(detector);
                let found = found?;
                self.keep(job, found.samples.iter().flat_map(wire::faces))?;
                Ok(found.video)
            }
            Kind::Labels => {
                let mut detector = match self.labels.take() {
                    Some(detector) => detector,
                    None => LabelDetector::new(&self.options.models, threads)?,
                };
                let found = labels_in_video(&file, &mut detector, &limits, &mut |_| {});
                self.labels.give_back(detector);
                let found = found?;
                let min = job.params.min_confidence;
                self.keep(job, found.samples.iter().flat_map(|s| wire::labels(s, min)))?;
                Ok(found.video)
            }
        }
    }

    fn keep(&self, job: &Job, entries: impl Iterator<Item = Value>) -> Result<(), VisionError> {
        self.jobs
            .write_results(&job.id, entries)
            .map_err(|e| VisionError::io("results of a vision job", e))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
