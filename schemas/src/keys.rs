//! Keys in the store. Nothing a user sends becomes a path: see [`safe`].

/// Where the source of a video is put by an upload.
#[must_use]
pub fn source(owner: &str, video_id: &str, extension: Option<&str>) -> String {
    let extension = extension.map(|e| format!(".{e}")).unwrap_or_default();
    format!("uploads/{}/{video_id}/source{extension}", safe(owner))
}

/// All objects of a run.
#[must_use]
pub fn run(video_id: &str, run_id: &str) -> String {
    format!("work/{video_id}/{run_id}/")
}

#[must_use]
pub fn manifest(video_id: &str, run_id: &str) -> String {
    format!("work/{video_id}/{run_id}/manifest.json")
}

#[must_use]
pub fn clip(video_id: &str, run_id: &str, index: u32) -> String {
    format!("work/{video_id}/{run_id}/clips/{index}.mp4")
}

#[must_use]
pub fn tracks(video_id: &str, run_id: &str, index: u32) -> String {
    format!("work/{video_id}/{run_id}/tracks/{index}.avro")
}

#[must_use]
pub fn labels(video_id: &str, run_id: &str, index: u32) -> String {
    format!("work/{video_id}/{run_id}/labels/{index}.avro")
}

#[must_use]
pub fn masked(video_id: &str, run_id: &str, index: u32) -> String {
    format!("work/{video_id}/{run_id}/masked/{index}.mp4")
}

#[must_use]
pub fn staged(video_id: &str, run_id: &str) -> String {
    format!("work/{video_id}/{run_id}/staged.mp4")
}

#[must_use]
pub fn claim(video_id: &str, run_id: &str, processor: &str) -> String {
    format!("work/{video_id}/{run_id}/claims/{processor}")
}

#[must_use]
pub fn tombstone(video_id: &str) -> String {
    format!("work/{video_id}/tombstone")
}

#[must_use]
pub fn recording(owner: &str, assessment: &str, start_ms: i64) -> String {
    let name = if assessment.is_empty() { "recording".to_owned() } else { safe(assessment) };
    format!("recordings/{}/{name}-{start_ms}.mp4", safe(owner))
}

#[must_use]
pub fn receipt(video_id: &str) -> String {
    format!("receipts/{video_id}.json")
}

/// User text as one harmless key segment: ASCII letters, digits, `-` and `_`, at most 40 of them,
/// never empty. What is lost is told apart by a short hash, so two names never share a segment.
#[must_use]
pub fn safe(text: &str) -> String {
    let kept: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .take(40)
        .collect();
    if kept == text && !kept.is_empty() {
        return kept;
    }
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string();
    format!("{}-{}", &kept[..kept.len().min(31)], &hash[..8])
}
