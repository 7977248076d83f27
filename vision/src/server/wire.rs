//! Rekognition's shapes on the wire.

use super::{face_store::Face, fault::Fault, observer::Looked, photos::Portrait};
use crate::{BoundingBox, FaceBox, FaceSample, LabelBox, LabelSample, VideoInfo};
use ports::ObjectRef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The version of the faces in a collection; another network or alignment is another version.
pub(super) const FACE_MODEL: &str = "1.0";

/// What a job looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Faces,
    Labels,
}

impl From<Kind> for Looked {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Faces => Self::Faces,
            Kind::Labels => Self::Labels,
        }
    }
}

/// StartFaceDetection and StartLabelDetection.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StartRequest {
    pub(super) video: Option<Video>,
    pub(super) client_request_token: Option<String>,
    pub(super) job_tag: Option<String>,
    pub(super) notification_channel: Option<Value>,
    /// Faces only.
    pub(super) face_attributes: Option<String>,
    /// Labels only.
    pub(super) min_confidence: Option<f32>,
    /// Labels only.
    pub(super) features: Option<Vec<String>>,
    /// Labels only.
    pub(super) settings: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Video {
    pub(super) s3_object: Option<S3Object>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct S3Object {
    pub(super) bucket: Option<String>,
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
}

impl S3Object {
    pub(super) fn accept(self) -> Result<ObjectRef, Fault> {
        let bucket = self.bucket.filter(|b| (3..=255).contains(&b.len()));
        let bucket =
            bucket.ok_or_else(|| Fault::parameter("Bucket must have 3 to 255 characters"))?;
        let key = self.name.filter(|n| (1..=1024).contains(&n.len()));
        let key = key.ok_or_else(|| Fault::parameter("Name must have 1 to 1024 characters"))?;
        if self.version.is_some() {
            return Err(Fault::parameter("Version is not served here: leave it out"));
        }
        Ok(ObjectRef { bucket, key })
    }
}

/// A picture in the request, base64, or in the store.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    pub(super) bytes: Option<String>,
    pub(super) s3_object: Option<S3Object>,
}

/// Checks that a text has 1 to `most` letters, digits or any of `marks`.
pub(super) fn word(name: &str, text: &str, most: usize, marks: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    if (1..=most).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(());
    }
    let message = format!("{name} must have 1 to {most} letters, digits or any of {marks}");
    Err(Fault::parameter(message))
}

/// Checks a number, e.g. a percentage, against its bounds.
pub(super) fn within<T: PartialOrd + std::fmt::Display>(
    name: &str,
    asked: Option<T>,
    default: T,
    least: T,
    most: T,
) -> Result<T, Fault> {
    let number = asked.unwrap_or(default);
    if number >= least && number <= most {
        return Ok(number);
    }
    Err(Fault::parameter(format!("{name} must be {least} to {most}")))
}

/// GetFaceDetection and GetLabelDetection.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRequest {
    pub(super) job_id: Option<String>,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
    /// Labels only.
    pub(super) sort_by: Option<String>,
    /// Labels only.
    pub(super) aggregate_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VideoMetadata {
    codec: String,
    duration_millis: i64,
    format: String,
    frame_rate: f64,
    frame_height: u32,
    frame_width: u32,
}

impl From<&VideoInfo> for VideoMetadata {
    fn from(video: &VideoInfo) -> Self {
        let format = match video.container.as_str() {
            "mp4" => "QuickTime / MOV",
            "matroska" => "Matroska / WebM",
            "avi" => "AVI",
            "mpegts" => "MPEG-TS",
            other => other,
        };
        Self {
            codec: video.codec.clone(),
            duration_millis: video.duration_ms,
            format: format.to_owned(),
            frame_rate: video.frame_rate,
            frame_height: video.height,
            frame_width: video.width,
        }
    }
}

/// The entries of `Faces` for one frame.
pub(super) fn faces(sample: &FaceSample) -> impl Iterator<Item = Value> + '_ {
    sample.faces.iter().map(|found| json!({"Timestamp": sample.at_ms, "Face": face(found)}))
}

/// A `FaceDetail` of a photograph.
pub(super) fn face_detail(portrait: &Portrait) -> Value {
    let mut detail = face(&portrait.face);
    if let Some(pose) = portrait.pose {
        detail["Pose"] = json!({"Roll": pose.roll, "Yaw": pose.yaw, "Pitch": pose.pitch});
    }
    if let Some(quality) = portrait.quality {
        detail["Quality"] =
            json!({"Brightness": quality.brightness, "Sharpness": quality.sharpness});
    }
    detail
}

/// A `Face` of a collection.
pub(super) fn kept_face(face: &Face) -> Value {
    let mut answer = json!({
        "FaceId": face.id,
        "BoundingBox": bounding_box(&face.region),
        "ImageId": face.image_id,
        "Confidence": face.confidence,
        "IndexFacesModelVersion": FACE_MODEL,
    });
    if let Some(external) = &face.external_image_id {
        answer["ExternalImageId"] = json!(external);
    }
    answer
}

fn face(found: &FaceBox) -> Value {
    const NAMES: [&str; 5] = ["eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight"];
    let landmarks: Vec<Value> = NAMES
        .iter()
        .zip(&found.landmarks)
        .map(|(name, (x, y))| json!({"Type": name, "X": x, "Y": y}))
        .collect();
    json!({
        "BoundingBox": bounding_box(&found.region),
        "Confidence": found.confidence,
        "Landmarks": landmarks,
    })
}

/// The entries of `Labels` for one frame.
pub(super) fn labels(sample: &LabelSample, min_confidence: f32) -> Vec<Value> {
    let entry = |label| json!({"Timestamp": sample.at_ms, "Label": label});
    named_labels(&sample.labels, min_confidence).into_iter().map(entry).collect()
}

/// One label per name, with its instances, surest first.
pub(super) fn named_labels(all: &[LabelBox], min_confidence: f32) -> Vec<Value> {
    let sure = |found: &&LabelBox| found.confidence >= min_confidence;
    let mut names: Vec<&str> = Vec::new();
    for found in all.iter().filter(sure) {
        if !names.contains(&found.name) {
            names.push(found.name);
        }
    }
    let entry = |name: &str| {
        let found: Vec<&LabelBox> = all.iter().filter(sure).filter(|l| l.name == name).collect();
        let surest = found.iter().map(|l| l.confidence).fold(0.0, f32::max);
        let parents = found.first().map_or(&[][..], |l| l.parents);
        let instances: Vec<Value> = found
            .iter()
            .map(|l| json!({"BoundingBox": bounding_box(&l.region), "Confidence": l.confidence}))
            .collect();
        let parents: Vec<Value> = parents.iter().map(|p| json!({"Name": p})).collect();
        json!({
            "Name": name,
            "Confidence": surest,
            "Instances": instances,
            "Parents": parents,
        })
    };
    names.into_iter().map(entry).collect()
}

pub(super) fn bounding_box(region: &BoundingBox) -> Value {
    json!({
        "Width": region.width,
        "Height": region.height,
        "Left": region.left,
        "Top": region.top,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_gathers_its_instances_under_its_name_with_parents_and_the_surest_confidence() {
        let region = BoundingBox { left: 0.25, top: 0.5, width: 0.125, height: 0.25 };
        let thing = |name, parents, confidence| LabelBox { name, parents, confidence, region };
        let vehicle: &[&str] = &["Vehicle", "Transportation"];
        let sample = LabelSample {
            at_ms: 2000,
            labels: vec![
                thing("Car", vehicle, 75.0),
                thing("Person", &[], 62.5),
                thing("Car", vehicle, 50.0),
                thing("Tie", &[], 31.0),
            ],
        };
        let at = json!({"Left": 0.25, "Top": 0.5, "Width": 0.125, "Height": 0.25});
        let car = json!({
            "Timestamp": 2000,
            "Label": {
                "Name": "Car",
                "Confidence": 75.0,
                "Instances": [
                    {"BoundingBox": at, "Confidence": 75.0},
                    {"BoundingBox": at, "Confidence": 50.0},
                ],
                "Parents": [{"Name": "Vehicle"}, {"Name": "Transportation"}],
            },
        });
        let person = json!({
            "Timestamp": 2000,
            "Label": {
                "Name": "Person",
                "Confidence": 62.5,
                "Instances": [{"BoundingBox": at, "Confidence": 62.5}],
                "Parents": [],
            },
        });
        assert_eq!(labels(&sample, 50.0), [car, person]);
    }
}
