//! Collections of faces: whose face is it?

use super::{
    Services,
    face_store::{Collection, Face},
    fault::Fault,
    images::accept_attributes,
    photos::{MOST_FACES, Portrait},
    quality_bar::QualityBar,
    wire::{FACE_MODEL, Image, bounding_box, face_detail, kept_face, within, word},
};
use crate::{Embedding, SAME_PERSON};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// There are no regions and no accounts here; clients want to see both in a name.
const ARN: &str = "aws:rekognition:us-east-1:000000000000:collection/";
const MOST_RESULTS: usize = 4096;
const DEFAULT_RESULTS: usize = 1000;
/// AWS's default, percent.
const MATCH_THRESHOLD: f32 = 80.0;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateCollection {
    collection_id: Option<String>,
    tags: Option<serde_json::Map<String, Value>>,
}

/// DescribeCollection and DeleteCollection.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OneCollection {
    collection_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListCollections {
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct IndexFaces {
    collection_id: Option<String>,
    image: Option<Image>,
    external_image_id: Option<String>,
    detection_attributes: Option<Vec<String>>,
    max_faces: Option<usize>,
    quality_filter: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SearchFacesByImage {
    collection_id: Option<String>,
    image: Option<Image>,
    max_faces: Option<usize>,
    face_match_threshold: Option<f32>,
    quality_filter: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SearchFaces {
    collection_id: Option<String>,
    face_id: Option<String>,
    max_faces: Option<usize>,
    face_match_threshold: Option<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListFaces {
    collection_id: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
    user_id: Option<String>,
    face_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteFaces {
    collection_id: Option<String>,
    face_ids: Option<Vec<String>>,
}

pub(super) async fn create(services: &Services, request: CreateCollection) -> Result<Value, Fault> {
    let id = name(request.collection_id)?;
    if request.tags.is_some_and(|tags| !tags.is_empty()) {
        return Err(Fault::parameter("Tags are not kept here: leave them out"));
    }
    if !services.faces.create(&id, services.clock.now_ms()).await.map_err(unkept)? {
        let message = format!("there is a collection {id:?} already");
        return Err(Fault::new("ResourceAlreadyExistsException", message));
    }
    Ok(json!({
        "StatusCode": 200,
        "CollectionArn": format!("{ARN}{id}"),
        "FaceModelVersion": FACE_MODEL,
    }))
}

pub(super) async fn describe(services: &Services, request: OneCollection) -> Result<Value, Fault> {
    let collection = known(services, request.collection_id).await?;
    let count = services.faces.count(&collection).await.map_err(unkept)?;
    Ok(json!({
        "FaceCount": count,
        "UserCount": 0,
        "FaceModelVersion": FACE_MODEL,
        "CollectionARN": format!("arn:{ARN}{}", collection.id),
        "CreationTimestamp": collection.created_ms as f64 / 1000.0,
    }))
}

pub(super) async fn list(services: &Services, request: ListCollections) -> Result<Value, Fault> {
    let most = page_size(request.max_results)?;
    let after = row(request.next_token.as_deref(), "collections")?;
    let part = services.faces.collections(after, most).await.map_err(unkept)?;
    let ids: Vec<&str> = part.items.iter().map(|collection| collection.id.as_str()).collect();
    let mut answer = json!({
        "CollectionIds": ids,
        "FaceModelVersions": vec![FACE_MODEL; ids.len()],
    });
    if let Some(next) = part.next {
        answer["NextToken"] = json!(format!("collections.{next}"));
    }
    Ok(answer)
}

pub(super) async fn delete(services: &Services, request: OneCollection) -> Result<Value, Fault> {
    let id = name(request.collection_id)?;
    match services.faces.delete(&id).await.map_err(unkept)? {
        true => Ok(json!({ "StatusCode": 200 })),
        false => Err(unknown(&id)),
    }
}

/// The same picture with the same external id changes nothing: ids are derived from both.
pub(super) async fn index_faces(services: &Services, request: IndexFaces) -> Result<Value, Fault> {
    accept_attributes("DetectionAttributes", request.detection_attributes.as_deref())?;
    if let Some(external) = &request.external_image_id {
        word("ExternalImageId", external, 255, "_.-:")?;
    }
    let most = within("MaxFaces", request.max_faces, MOST_FACES, 1, usize::MAX)?;
    let bar = QualityBar::named(request.quality_filter.as_deref(), "AUTO")?;
    let collection = known(services, request.collection_id).await?;
    let file = services.photos.file(request.image).await?;
    let image_id = image_id(&collection, &file, request.external_image_id.as_deref());
    let choose = move |found: &[Portrait]| chosen(found, bar).take(most).collect();
    let (found, embeddings) = services.photos.embeddings(file, choose).await?;

    let mut faces = Vec::new();
    let mut records = Vec::new();
    for (place, embedding) in &embeddings {
        let portrait = &found[*place];
        let face = Face {
            id: face_id(&image_id, portrait),
            image_id: image_id.to_string(),
            external_image_id: request.external_image_id.clone(),
            region: portrait.face.region,
            confidence: portrait.face.confidence,
        };
        records.push(json!({ "Face": kept_face(&face), "FaceDetail": face_detail(portrait) }));
        faces.push((face, *embedding));
    }
    let indexed = |place: usize| embeddings.iter().any(|(indexed, _)| *indexed == place);
    let left_out: Vec<Value> = found
        .iter()
        .enumerate()
        .filter(|(place, _)| !indexed(*place))
        .map(|(_, portrait)| {
            let mut reasons = bar.lacks(portrait);
            if reasons.is_empty() {
                reasons.push("EXCEEDS_MAX_FACES");
            }
            json!({ "Reasons": reasons, "FaceDetail": face_detail(portrait) })
        })
        .collect();
    if !services.faces.add(&collection, &faces).await.map_err(unkept)? {
        return Err(unknown(&collection.id));
    }
    Ok(json!({
        "FaceRecords": records,
        "FaceModelVersion": FACE_MODEL,
        "UnindexedFaces": left_out,
    }))
}

pub(super) async fn search_by_image(
    services: &Services,
    request: SearchFacesByImage,
) -> Result<Value, Fault> {
    let wanted = Wanted::accept(request.max_faces, request.face_match_threshold)?;
    let bar = QualityBar::named(request.quality_filter.as_deref(), "NONE")?;
    let collection = known(services, request.collection_id).await?;
    let file = services.photos.file(request.image).await?;
    let choose = move |found: &[Portrait]| chosen(found, bar).take(1).collect();
    let (found, embeddings) = services.photos.embeddings(file, choose).await?;
    let largest = embeddings.first().and_then(|(place, of)| Some((found.get(*place)?, of)));
    let Some((portrait, embedding)) = largest else {
        let message = "there is no face in the picture that is good enough: it needs one";
        return Err(Fault::parameter(message));
    };
    let mut answer = matches(services, &collection, embedding, &wanted, None).await?;
    answer["SearchedFaceBoundingBox"] = bounding_box(&portrait.face.region);
    answer["SearchedFaceConfidence"] = json!(portrait.face.confidence);
    Ok(answer)
}

pub(super) async fn search(services: &Services, request: SearchFaces) -> Result<Value, Fault> {
    let wanted = Wanted::accept(request.max_faces, request.face_match_threshold)?;
    let id = request.face_id.ok_or_else(|| Fault::parameter("FaceId is missing"))?;
    accept_face_id(&id)?;
    let collection = known(services, request.collection_id).await?;
    let embedding = services.faces.embedding(&collection, &id).await.map_err(unkept)?;
    let embedding = embedding.ok_or_else(|| {
        Fault::parameter(format!("faceId {id} was not found in the collection {}", collection.id))
    })?;
    let mut answer = matches(services, &collection, &embedding, &wanted, Some(&id)).await?;
    answer["SearchedFaceId"] = json!(id);
    Ok(answer)
}

pub(super) async fn list_faces(services: &Services, request: ListFaces) -> Result<Value, Fault> {
    if request.user_id.is_some() {
        return Err(Fault::parameter("UserId is not served here: leave it out"));
    }
    if request.face_ids.is_some() {
        accept_face_ids(request.face_ids.as_deref())?;
    }
    let most = page_size(request.max_results)?;
    let collection = known(services, request.collection_id).await?;
    let mine = format!("faces.{}", collection.n());
    let after = row(request.next_token.as_deref(), &mine)?;
    let ids = request.face_ids.as_deref();
    let part = services.faces.faces(&collection, ids, after, most).await.map_err(unkept)?;
    let faces: Vec<Value> = part.items.iter().map(kept_face).collect();
    let mut answer = json!({ "Faces": faces, "FaceModelVersion": FACE_MODEL });
    if let Some(next) = part.next {
        answer["NextToken"] = json!(format!("{mine}.{next}"));
    }
    Ok(answer)
}

pub(super) async fn delete_faces(
    services: &Services,
    request: DeleteFaces,
) -> Result<Value, Fault> {
    let mut ids = accept_face_ids(request.face_ids.as_deref())?.to_vec();
    ids.sort();
    ids.dedup();
    let collection = known(services, request.collection_id).await?;
    let deleted = services.faces.delete_faces(&collection, &ids).await.map_err(unkept)?;
    let missing: Vec<Value> = ids
        .iter()
        .filter(|id| !deleted.contains(id))
        .map(|id| json!({ "FaceId": id, "Reasons": ["FACE_NOT_FOUND"] }))
        .collect();
    Ok(json!({ "DeletedFaces": deleted, "UnsuccessfulFaceDeletions": missing }))
}

/// What a search asks for.
#[derive(Debug)]
struct Wanted {
    most: usize,
    /// 0 to 100.
    least_similarity: f32,
}

impl Wanted {
    fn accept(most: Option<usize>, threshold: Option<f32>) -> Result<Self, Fault> {
        Ok(Self {
            most: within("MaxFaces", most, MOST_RESULTS, 1, MOST_RESULTS)?,
            least_similarity: within("FaceMatchThreshold", threshold, MATCH_THRESHOLD, 0.0, 100.0)?,
        })
    }
}

async fn matches(
    services: &Services,
    collection: &Collection,
    to: &Embedding,
    wanted: &Wanted,
    but: Option<&str>,
) -> Result<Value, Fault> {
    let Wanted { most, least_similarity } = *wanted;
    let near = services
        .faces
        .nearest(collection, to, most, but, |apart| similarity(apart) >= least_similarity);
    let near = near.await.map_err(unkept)?;
    let matches: Vec<Value> = near
        .iter()
        .map(|(apart, face)| json!({ "Similarity": similarity(*apart), "Face": kept_face(face) }))
        .collect();
    Ok(json!({ "FaceMatches": matches, "FaceModelVersion": FACE_MODEL }))
}

/// A distance of embeddings as a percentage: 100 for none, 80 where one person ends
/// ([`SAME_PERSON`], 0.6), which is Rekognition's default threshold, and steep there:
/// `100 / (1 + (distance / 0.6)^8 / 4)`. 0.45 is 98, 0.7 is 54, 0.9 is 14.
fn similarity(apart: f32) -> f32 {
    100.0 / (1.0 + (apart / SAME_PERSON).powi(8) / 4.0)
}

/// The places of faces that are good enough, largest first.
fn chosen(found: &[Portrait], bar: QualityBar) -> impl Iterator<Item = usize> + '_ {
    let good = move |(_, portrait): &(usize, &Portrait)| bar.lacks(portrait).is_empty();
    found.iter().enumerate().filter(good).map(|(place, _)| place)
}

fn image_id(collection: &Collection, file: &[u8], external: Option<&str>) -> Uuid {
    let mut name = Sha256::digest(file).to_vec();
    name.extend_from_slice(external.unwrap_or_default().as_bytes());
    Uuid::new_v5(&collection.namespace, &name)
}

/// To a ten-thousandth of the picture: a face is found in the same place again.
fn face_id(image: &Uuid, portrait: &Portrait) -> String {
    let region = portrait.face.region;
    let sides = [region.left, region.top, region.width, region.height];
    let name: Vec<u8> =
        sides.iter().flat_map(|side| ((side * 10_000.0).round() as i32).to_le_bytes()).collect();
    Uuid::new_v5(image, &name).to_string()
}

fn name(id: Option<String>) -> Result<String, Fault> {
    let id = id.ok_or_else(|| Fault::parameter("CollectionId is missing"))?;
    word("CollectionId", &id, 255, "_.-")?;
    Ok(id)
}

async fn known(services: &Services, id: Option<String>) -> Result<Collection, Fault> {
    let id = name(id)?;
    let found = services.faces.collection(&id).await.map_err(unkept)?;
    found.ok_or_else(|| unknown(&id))
}

fn unknown(id: &str) -> Fault {
    Fault::not_found(format!("the collection id {id} does not exist"))
}

fn unkept(error: sqlx::Error) -> Fault {
    tracing::error!(%error, "the faces' file failed; check the disk");
    Fault::server(format!("the faces' file failed: {error}"))
}

/// 0 asks for the default, as at AWS.
fn page_size(asked: Option<usize>) -> Result<usize, Fault> {
    let most = within("MaxResults", asked, DEFAULT_RESULTS, 0, MOST_RESULTS)?;
    Ok(if most == 0 { DEFAULT_RESULTS } else { most })
}

/// The row a token of this list points at; the first where there is none.
fn row(token: Option<&str>, list: &str) -> Result<i64, Fault> {
    let Some(token) = token else { return Ok(0) };
    let row = token.strip_prefix(list).and_then(|rest| rest.strip_prefix('.')?.parse().ok());
    row.filter(|row| *row > 0).ok_or_else(|| Fault::page("NextToken is not of this list"))
}

fn accept_face_ids(ids: Option<&[String]>) -> Result<&[String], Fault> {
    let ids = ids.ok_or_else(|| Fault::parameter("FaceIds is missing"))?;
    within("the number of FaceIds", Some(ids.len()), 1, 1, MOST_RESULTS)?;
    ids.iter().try_for_each(|id| accept_face_id(id))?;
    Ok(ids)
}

/// The one form that ids are given out in.
fn accept_face_id(id: &str) -> Result<(), Fault> {
    match Uuid::try_parse(id) {
        Ok(uuid) if uuid.to_string() == id => Ok(()),
        _ => Err(Fault::parameter(format!("{id:?} is not a face id"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_falls_with_distance_and_is_80_where_one_person_ends() {
        let all: Vec<f32> = (0..200).map(|n| similarity(n as f32 / 100.0)).collect();
        assert_eq!(all[0], 100.0);
        assert!((similarity(SAME_PERSON) - 80.0).abs() < 1e-3);
        assert!(all.is_sorted_by(|a, b| a >= b), "never rises");
        assert!(all.iter().all(|s| (0.0..=100.0).contains(s)));
        assert!(similarity(0.45) > 97.0 && similarity(0.7) < 55.0 && similarity(0.9) < 15.0);
    }
}
