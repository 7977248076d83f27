//! Looks at single photographs, one at a time.
//!
//! Pictures do not wait for the permits of videos: a call is answered while its client waits. In
//! their place stand one set of detectors and a limit on how many pictures may wait, so that memory
//! stays bounded; who comes above it is told to come again.

use super::{
    ServerOptions,
    decoding::decoded,
    fault::Fault,
    observer::{Full, Looked, Observer},
    wire::Image,
    worker::scratch,
};
use crate::{
    Embedding, FaceBox, FaceDetector, FaceEmbedder, LabelBox, LabelDetector, Models, Pose, Quality,
    RgbImage, VisionError, alignment::measure_upright, pose, quality,
};
use axum::body::Bytes;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use confine::Helper;
use ports::{ObjectRef, Store};
use std::{path::PathBuf, sync::Arc, time::Instant};
use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    task::spawn_blocking,
};

/// As at AWS: most bytes of a picture in the request, and in the store.
pub(super) const MOST_SENT: usize = 5 << 20;
const MOST_STORED: u64 = 15 << 20;
/// Pictures that are held at once, looked at or waiting.
const MOST_WAITING: usize = 16;
/// Masks want every face and pay for it with a few that are none; who is to be recognised must be
/// one. On photographs YuNet's false faces, which may be large, have up to 0.7.
const PHOTO_THRESHOLD: f32 = 0.7;
/// As at AWS: the largest faces of a picture that are looked at.
pub(super) const MOST_FACES: usize = 100;

/// All that is known of a face in a photograph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Portrait {
    pub(super) face: FaceBox,
    pub(super) pose: Option<Pose>,
    pub(super) quality: Option<Quality>,
    /// Of the box, px of the photograph.
    pub(super) shorter_side: f32,
}

/// Detectors, made when they are first needed.
#[derive(Debug, Default)]
struct Detectors {
    faces: Option<FaceDetector>,
    embedder: Option<FaceEmbedder>,
    labels: Option<LabelDetector>,
}

#[derive(Debug)]
pub(super) struct Photos {
    store: Arc<dyn Store>,
    helper: Helper,
    scratch: PathBuf,
    looking: Looking,
    places: Semaphore,
    observer: Arc<dyn Observer>,
}

/// What looking takes; goes to a blocking thread.
#[derive(Debug, Clone)]
struct Looking {
    models: Arc<Models>,
    threads: usize,
    face_threshold: f32,
    detectors: Arc<Mutex<Detectors>>,
}

impl Photos {
    pub(super) fn new(options: &ServerOptions) -> Self {
        let looking = Looking {
            models: options.models.clone(),
            threads: options.threads.max(1),
            face_threshold: options.face_threshold.max(PHOTO_THRESHOLD),
            detectors: Arc::default(),
        };
        Self {
            store: options.store.clone(),
            helper: options.helper.clone(),
            scratch: scratch(&options.data),
            looking,
            places: Semaphore::new(MOST_WAITING),
            observer: options.observer.clone(),
        }
    }

    /// To be held as long as a picture is; refused where too many are.
    pub(super) fn place(&self) -> Result<SemaphorePermit<'_>, Fault> {
        self.places.try_acquire().map_err(|_| {
            self.observer.turned_away(Full::Photos);
            let message = "too many pictures are waiting: send it again in a moment";
            Fault::new("ProvisionedThroughputExceededException", message)
        })
    }

    /// The file of a picture, from the request or the store.
    pub(super) async fn file(&self, image: Option<Image>) -> Result<Bytes, Fault> {
        let Some(image) = image else { return Err(Fault::parameter("Image is missing")) };
        match (image.bytes, image.s3_object) {
            (Some(_), Some(_)) => {
                Err(Fault::parameter("Image must have either Bytes or S3Object, not both"))
            }
            (None, None) => Err(Fault::parameter("Image must have Bytes or S3Object")),
            (Some(bytes), None) => {
                let file = BASE64_STANDARD
                    .decode(bytes)
                    .map_err(|e| Fault::parameter(format!("Image.Bytes is not base64: {e}")))?;
                match file.len() {
                    0 => Err(Fault::parameter("Image.Bytes is empty")),
                    length if length > MOST_SENT => Err(Self::too_large("Image.Bytes", "5 MB")),
                    _ => Ok(file.into()),
                }
            }
            (None, Some(object)) => {
                let object = object.accept()?;
                let info = self.store.head(&object).await;
                let info = info.map_err(|trouble| Fault::object(&object, &trouble))?;
                let bytes = info.ok_or_else(|| Fault::no_object(&object))?.bytes;
                if bytes > MOST_STORED {
                    return Err(Self::too_large(&object.to_string(), "15 MB"));
                }
                self.read(&object).await
            }
        }
    }

    async fn read(&self, object: &ObjectRef) -> Result<Bytes, Fault> {
        let file = self.store.read(object, MOST_STORED).await;
        file.map_err(|trouble| Fault::object(object, &trouble))
    }

    fn too_large(what: &str, most: &str) -> Fault {
        let message = format!("{what} is larger than {most}: send a smaller picture");
        Fault::new("ImageTooLargeException", message)
    }

    /// The largest faces of a picture, largest first.
    pub(super) async fn faces(&self, file: Bytes) -> Result<Vec<Portrait>, Fault> {
        self.look(file, |looking, detectors, picture| looking.faces(detectors, picture)).await
    }

    /// As [`Photos::faces`], with the embeddings of those that `choose` picks by their place; the
    /// places come back in its order.
    pub(super) async fn embeddings(
        &self,
        file: Bytes,
        choose: impl FnOnce(&[Portrait]) -> Vec<usize> + Send + 'static,
    ) -> Result<(Vec<Portrait>, Vec<(usize, Embedding)>), Fault> {
        self.look(file, |looking, detectors, picture| {
            let found = looking.faces(detectors, picture)?;
            let mut embeddings = Vec::new();
            for place in choose(&found) {
                let Some(portrait) = found.get(place) else { continue };
                let new = || FaceEmbedder::new(&looking.models, looking.threads);
                let embedder = made(&mut detectors.embedder, new)?;
                embeddings.push((place, embedder.embed(picture, &portrait.face.landmarks)?));
            }
            Ok((found, embeddings))
        })
        .await
    }

    pub(super) async fn labels(&self, file: Bytes) -> Result<Vec<LabelBox>, Fault> {
        self.look(file, |looking, detectors, picture| {
            let new = || LabelDetector::new(&looking.models, looking.threads);
            made(&mut detectors.labels, new)?.detect(picture)
        })
        .await
    }

    async fn look<T: Send + 'static>(
        &self,
        file: Bytes,
        see: impl FnOnce(&Looking, &mut Detectors, &RgbImage) -> Result<T, VisionError> + Send + 'static,
    ) -> Result<T, Fault> {
        let looking = self.looking.clone();
        // Held by the blocking thread, also when the client has gone: never two pictures at once.
        let mut detectors = looking.detectors.clone().lock_owned().await;
        let since = Instant::now();
        let picture = decoded(&self.helper, &self.scratch, file).await?;
        let looked =
            spawn_blocking(move || see(&looking, &mut detectors, &picture).map_err(Fault::from));
        let failed = |e| Fault::server(format!("the picture was not looked at: {e}"));
        let seen = looked.await.map_err(failed)??;
        self.observer.looked(Looked::Photo, 1, since.elapsed());
        Ok(seen)
    }
}

impl Looking {
    fn faces(
        &self,
        detectors: &mut Detectors,
        picture: &RgbImage,
    ) -> Result<Vec<Portrait>, VisionError> {
        let new = || FaceDetector::new(&self.models, self.threads);
        let detector = made(&mut detectors.faces, new)?;
        let mut found = detector.detect(picture, self.face_threshold)?;
        let area = |face: &FaceBox| face.region.width * face.region.height;
        found.sort_by(|a, b| area(b).total_cmp(&area(a)));
        found.truncate(MOST_FACES);
        for face in &mut found {
            measure_upright(detector, picture, face)?;
        }
        Ok(found.into_iter().map(|face| portrait(picture, face)).collect())
    }
}

fn portrait(picture: &RgbImage, face: FaceBox) -> Portrait {
    let width = face.region.width * picture.width as f32;
    let height = face.region.height * picture.height as f32;
    Portrait {
        pose: pose(picture, &face),
        quality: quality(picture, &face),
        shorter_side: width.min(height),
        face,
    }
}

fn made<T>(
    place: &mut Option<T>,
    new: impl FnOnce() -> Result<T, VisionError>,
) -> Result<&mut T, VisionError> {
    match place {
        Some(made) => Ok(made),
        None => Ok(place.insert(new()?)),
    }
}
