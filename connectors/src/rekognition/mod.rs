//! Amazon Rekognition's stored-video jobs, and servers that speak its protocol.

mod blame;
mod look;
mod patience;

use crate::{
    aws::{self, Access, Failure},
    calls::Calls,
    studio::footage,
};
use aws_sdk_rekognition::{
    Client,
    types::{self, S3Object, Video, VideoJobStatus, VideoMetadata},
};
use blame::{blame, failed, garbled};
use engine::{Connector, Metrics, Service};
use patience::Patience;
use ports::{ObjectRef, Trouble};
use processors::{
    detect::{FindFaces, FoundFaces, SeenFace, SeenFaces},
    label::{FindLabels, FoundLabels, SeenLabel},
};
use schemas::BoundingBox;
use std::{fmt, time::Duration};
use tokio::time::sleep;

/// Results a page holds at most.
const PAGE: i32 = 1000;

/// Where the service is and who we are to it.
#[derive(Clone, PartialEq, Eq)]
pub struct RekognitionConfig {
    /// Absent: AWS itself.
    pub endpoint: Option<String>,
    pub region: String,
    /// With [`RekognitionConfig::secret_key`]; without both, AWS's default chain is asked.
    pub access_key: Option<String>,
    pub secret_key: Option<String>,
    /// The longest pause between two looks at a job; the first pauses are shorter.
    pub poll: Duration,
}

impl Default for RekognitionConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            access_key: None,
            secret_key: None,
            poll: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for RekognitionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RekognitionConfig")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .field("secret_key", &self.secret_key.as_ref().map(|_| "…"))
            .field("poll", &self.poll)
            .finish()
    }
}

/// Finds faces and labels. Asking twice with one token is one job, paid once.
#[derive(Debug, Clone)]
pub struct Rekognition {
    client: Client,
    poll: Duration,
    calls: Calls,
    /// Where footage is counted, if anywhere.
    metrics: Option<Metrics>,
}

impl Rekognition {
    /// Connects nothing yet. Fatal where no credentials can be found.
    pub async fn new(config: RekognitionConfig) -> Result<Self, Trouble> {
        let sdk = aws::sdk_config(Access {
            endpoint: config.endpoint.as_deref(),
            region: &config.region,
            access_key: config.access_key.as_deref(),
            secret_key: config.secret_key.as_deref(),
        })
        .await?;
        let client = Client::new(&sdk);
        Ok(Self { client, poll: config.poll, calls: Calls::default(), metrics: None })
    }

    /// The same; what is asked, and the footage that was looked at, is counted.
    #[must_use]
    pub fn counting(self, metrics: &Metrics) -> Self {
        let calls = Calls::to(Service::Detector, metrics);
        Self { calls, metrics: Some(metrics.clone()), ..self }
    }

    fn count_footage(&self, processor: &'static str, seen: Option<&VideoMetadata>) {
        let length = seen.and_then(|video| video.duration_millis);
        if let (Some(metrics), Some(ms)) = (&self.metrics, length) {
            metrics.count_media(processor, footage(ms));
        }
    }

    async fn start_faces(&self, clip: &ObjectRef, token: &str) -> Result<String, Trouble> {
        let started = self
            .client
            .start_face_detection()
            .video(video(clip))
            .client_request_token(token)
            .send()
            .await
            .map_err(|e| blame(clip, &Failure::from(e)))?;
        started.job_id.ok_or_else(|| garbled(clip, "a job without an id"))
    }

    async fn start_labels(&self, clip: &ObjectRef, token: &str) -> Result<String, Trouble> {
        let started = self
            .client
            .start_label_detection()
            .video(video(clip))
            .client_request_token(token)
            .send()
            .await
            .map_err(|e| blame(clip, &Failure::from(e)))?;
        started.job_id.ok_or_else(|| garbled(clip, "a job without an id"))
    }
}

impl Connector<FindFaces> for Rekognition {
    async fn perform(&self, effect: &FindFaces) -> Result<FoundFaces, Trouble> {
        let clip = &effect.clip;
        let started = self.start_faces(clip, &effect.token);
        let job = self.calls.count("start_face_detection", started).await?;
        let mut patience = Patience::new(self.poll);
        let mut next: Option<String> = None;
        let (mut faces, mut looked) = (Vec::new(), Some(0));
        loop {
            let look = self
                .client
                .get_face_detection()
                .job_id(&job)
                .max_results(PAGE)
                .set_next_token(next.clone());
            let page = async { look.send().await.map_err(|e| blame(clip, &Failure::from(e))) };
            let page = match self.calls.count("get_face_detection", page).await {
                Ok(page) => page,
                Err(trouble) => {
                    sleep(patience.failed(trouble)?).await;
                    continue;
                }
            };
            if !done(clip, page.job_status.as_ref(), page.status_message.as_deref())? {
                sleep(patience.running(clip)?).await;
                continue;
            }
            let told = page.status_message.as_deref().and_then(vision::Profile::pause_told);
            looked = looked.zip(told).map(|(before, told)| before.max(told));
            for seen in page.faces.into_iter().flatten() {
                faces.push(face(&seen).ok_or_else(|| garbled(clip, "a face without a box"))?);
            }
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                self.count_footage("detect", page.video_metadata.as_ref());
                return Ok(FoundFaces::Seen(SeenFaces { faces, looked_every_ms: looked }));
            }
        }
    }
}

impl Connector<FindLabels> for Rekognition {
    async fn perform(&self, effect: &FindLabels) -> Result<FoundLabels, Trouble> {
        let clip = &effect.clip;
        let started = self.start_labels(clip, &effect.token);
        let job = self.calls.count("start_label_detection", started).await?;
        let mut patience = Patience::new(self.poll);
        let mut next: Option<String> = None;
        let mut labels = Vec::new();
        loop {
            let look = self
                .client
                .get_label_detection()
                .job_id(&job)
                .max_results(PAGE)
                .set_next_token(next.clone());
            let page = async { look.send().await.map_err(|e| blame(clip, &Failure::from(e))) };
            let page = match self.calls.count("get_label_detection", page).await {
                Ok(page) => page,
                Err(trouble) => {
                    sleep(patience.failed(trouble)?).await;
                    continue;
                }
            };
            if !done(clip, page.job_status.as_ref(), page.status_message.as_deref())? {
                sleep(patience.running(clip)?).await;
                continue;
            }
            for seen in page.labels.into_iter().flatten() {
                labels.push(label(seen).ok_or_else(|| garbled(clip, "a label without a name"))?);
            }
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                self.count_footage("label", page.video_metadata.as_ref());
                return Ok(FoundLabels::Seen(labels));
            }
        }
    }
}

/// Whether the job's results can be read; a failed job is an error.
fn done(
    clip: &ObjectRef,
    status: Option<&VideoJobStatus>,
    message: Option<&str>,
) -> Result<bool, Trouble> {
    match status {
        Some(VideoJobStatus::Succeeded) => Ok(true),
        Some(VideoJobStatus::InProgress) => Ok(false),
        Some(VideoJobStatus::Failed) => Err(failed(clip, message.unwrap_or_default())),
        other => Err(garbled(clip, &format!("a job in state {other:?}"))),
    }
}

fn video(clip: &ObjectRef) -> Video {
    let object = S3Object::builder().bucket(&clip.bucket).name(&clip.key).build();
    Video::builder().s3_object(object).build()
}

fn face(seen: &types::FaceDetection) -> Option<SeenFace> {
    let face = seen.face.as_ref()?;
    Some(SeenFace {
        at_ms: seen.timestamp,
        region: region(face.bounding_box.as_ref()?)?,
        confidence: face.confidence?,
    })
}

fn label(seen: types::LabelDetection) -> Option<SeenLabel> {
    let label = seen.label?;
    let parents = label.parents.into_iter().flatten().filter_map(|parent| parent.name);
    let instances = label.instances.into_iter().flatten();
    Some(SeenLabel {
        at_ms: seen.timestamp,
        name: label.name?,
        parents: parents.collect(),
        confidence: label.confidence?,
        regions: instances.filter_map(|instance| region(&instance.bounding_box?)).collect(),
    })
}

fn region(found: &types::BoundingBox) -> Option<BoundingBox> {
    Some(BoundingBox {
        left: found.left?,
        top: found.top?,
        width: found.width?,
        height: found.height?,
    })
}
