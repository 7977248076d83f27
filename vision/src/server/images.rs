//! Single photographs: DetectFaces and DetectLabels.

use super::{
    Services,
    fault::Fault,
    wire::{Image, face_detail, named_labels, within},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// AWS's default for labels of a photograph, percent.
const MIN_CONFIDENCE: f32 = 55.0;
/// Most names in one filter of labels, as at AWS.
const MOST_FILTERS: usize = 100;
/// What may be asked of a face. Those we cannot compute are left out of the answer.
const ATTRIBUTES: [&str; 14] = [
    "DEFAULT",
    "ALL",
    "AGE_RANGE",
    "BEARD",
    "EMOTIONS",
    "EYE_DIRECTION",
    "EYEGLASSES",
    "EYES_OPEN",
    "GENDER",
    "MOUTH_OPEN",
    "MUSTACHE",
    "FACE_OCCLUDED",
    "SMILE",
    "SUNGLASSES",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DetectFaces {
    image: Option<Image>,
    attributes: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DetectLabels {
    image: Option<Image>,
    max_labels: Option<usize>,
    min_confidence: Option<f32>,
    features: Option<Vec<String>>,
    settings: Option<LabelSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LabelSettings {
    general_labels: Option<LabelFilters>,
    image_properties: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LabelFilters {
    label_inclusion_filters: Vec<String>,
    label_exclusion_filters: Vec<String>,
    label_category_inclusion_filters: Vec<String>,
    label_category_exclusion_filters: Vec<String>,
}

impl LabelFilters {
    fn accept(self) -> Result<Self, Fault> {
        let lists = [&self.label_inclusion_filters, &self.label_exclusion_filters];
        if lists.iter().any(|list| list.len() > MOST_FILTERS) {
            return Err(Fault::parameter("a filter has at most 100 names"));
        }
        let categories =
            [&self.label_category_inclusion_filters, &self.label_category_exclusion_filters];
        if categories.iter().any(|list| !list.is_empty()) {
            return Err(Fault::parameter("labels have no categories here: filter by name"));
        }
        Ok(self)
    }

    fn lets_pass(&self, name: &str) -> bool {
        let included = &self.label_inclusion_filters;
        (included.is_empty() || included.iter().any(|n| n == name))
            && !self.label_exclusion_filters.iter().any(|n| n == name)
    }
}

pub(super) async fn detect_faces(
    services: &Services,
    request: DetectFaces,
) -> Result<Value, Fault> {
    accept_attributes("Attributes", request.attributes.as_deref())?;
    let file = services.photos.file(request.image).await?;
    let faces = services.photos.faces(file).await?;
    Ok(json!({ "FaceDetails": faces.iter().map(face_detail).collect::<Vec<_>>() }))
}

pub(super) async fn detect_labels(
    services: &Services,
    request: DetectLabels,
) -> Result<Value, Fault> {
    if request.features.unwrap_or_default().iter().any(|f| f != "GENERAL_LABELS") {
        return Err(Fault::parameter("Features must be GENERAL_LABELS here"));
    }
    let settings = request.settings;
    if settings.as_ref().is_some_and(|s| s.image_properties.is_some()) {
        return Err(Fault::parameter("ImageProperties is not served here: leave it out"));
    }
    let filters = settings.and_then(|s| s.general_labels).unwrap_or_default().accept()?;
    let min = within("MinConfidence", request.min_confidence, MIN_CONFIDENCE, 0.0, 100.0)?;
    let file = services.photos.file(request.image).await?;
    let mut found = services.photos.labels(file).await?;
    found.retain(|label| filters.lets_pass(label.name));
    let mut labels = named_labels(&found, min);
    labels.truncate(request.max_labels.unwrap_or(usize::MAX));
    Ok(json!({ "Labels": labels, "LabelModelVersion": crate::LABELLER }))
}

/// Checks a list of attributes that a request asks for.
pub(super) fn accept_attributes(name: &str, asked: Option<&[String]>) -> Result<(), Fault> {
    let unknown = asked.unwrap_or_default().iter().find(|a| !ATTRIBUTES.contains(&a.as_str()));
    match unknown {
        Some(unknown) => Err(Fault::parameter(format!("{name} has no {unknown:?}"))),
        None => Ok(()),
    }
}
