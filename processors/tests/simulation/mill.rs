//! The mill as the program composes it, and what comes to it from outside.

use crate::{
    bugs::Twisted,
    log::Opener,
    plan::{Kind, Video},
    process::EPOCH_MS,
    studio::Studio,
};
use bytes::Bytes;
use engine::{
    Pipeline,
    memory::{MemoryRegistry, MemoryStore},
};
use futures::FutureExt;
use ports::{Headers, ObjectRef, Put, Record, SchemaRegistry, Store};
use processors::{
    blur::Blur, cut::Cut, detect::Detect, index::Index, label::Label, stitch::Stitch, sweep::Sweep,
    thumbnail::Thumbnail, verify::Verify,
};
use schemas::{Event, Masking, VideoUploaded};
use std::sync::OnceLock;

pub(crate) const BUCKET: &str = "reelmill";

/// The groups of a world, in the order of the mill.
pub(crate) const GROUPS: &[&str] =
    &["cut", "detect", "label", "blur", "stitch", "verify", "thumbnail", "index", "sweep"];

/// The registry of all worlds: parsing schemas takes longer than many a world.
pub(crate) fn schemas() -> &'static MemoryRegistry {
    static SCHEMAS: OnceLock<MemoryRegistry> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let registry = MemoryRegistry::default();
        for kind in schemas::ALL {
            let examples: Vec<serde_json::Value> = serde_json::from_str(kind.examples).unwrap();
            let value = schemas::encode_json(kind.topic, &examples[0].to_string()).unwrap();
            let encoded = registry.encode(kind.topic, kind.schema, value).now_or_never();
            encoded.unwrap().unwrap();
        }
        registry
    })
}

/// Writes an object at once.
pub(crate) fn put(objects: &MemoryStore, at: &ObjectRef, text: &str) {
    let body = Bytes::from(text.to_owned());
    objects.write(at, body, Put::default()).now_or_never().unwrap().unwrap();
}

/// A video's source goes into the store, and its event is what comes of it.
pub(crate) fn upload(objects: &MemoryStore, video: &Video, again: bool) -> Record {
    let key = format!("uploads/ada/{}", video.name);
    let text = match video.kind {
        Kind::Corrupt => "noise".to_owned(),
        _ => format!("{} {}", video.name, video.clips),
    };
    if video.kind != Kind::Missing {
        put(objects, &ObjectRef::new(BUCKET, &key), &text);
    }
    let event = VideoUploaded {
        bucket: BUCKET.to_owned(),
        key,
        owner: "ada".to_owned(),
        video_id: Some(video.name.clone()),
        recorded_at_ms: Some(EPOCH_MS),
        assessment: video.name.clone(),
        title: String::new(),
        blur: "all".to_owned(),
        visibility: "private".to_owned(),
        size_bytes: None,
        replay: i32::from(again && video.kind == Kind::Replayed),
        faces_of: None,
        labels_of: None,
    };
    let value = match video.kind {
        Kind::Malformed => b"\xff\x00no event\xfe".to_vec(),
        _ => {
            let value = event.to_value().unwrap();
            let encoded = schemas().encode(VideoUploaded::TOPIC, VideoUploaded::SCHEMA, value);
            encoded.now_or_never().unwrap().unwrap()
        }
    };
    let mut headers = Headers::default().with("from", "outside");
    if video.kind == Kind::Doubled {
        headers.set("ce_id", format!("upload of {}", video.name));
    }
    Record {
        topic: VideoUploaded::TOPIC.to_owned(),
        key: Some(Bytes::from(video.name.clone())),
        value: Some(value.into()),
        headers,
        timestamp_ms: None,
        position: None,
    }
}

/// The mill, without its catalogue.
pub(crate) fn pipeline(studio: &Studio) -> Pipeline<Opener> {
    fn twist<P>(processor: P, studio: &Studio) -> Twisted<P> {
        Twisted { processor, store: studio.store.clone() }
    }
    let cut = Cut {
        allowed_buckets: vec![BUCKET.to_owned()],
        bucket: BUCKET.to_owned(),
        clip_seconds: 1.0,
        margin_seconds: 0.5,
        masking: Masking {
            blur: schemas::Blur::All,
            style: "pixelate".to_owned(),
            detector: "none".to_owned(),
            threshold: 0.5,
            verify_threshold: 0.6,
            extend_ms: 500,
        },
    };
    Pipeline::new()
        .stage(twist(cut, studio), studio.clone())
        .stage(twist(Detect, studio), studio.clone())
        .stage(twist(Label, studio), studio.clone())
        .stage(twist(Blur, studio), studio.clone())
        .stage(twist(Stitch, studio), studio.clone())
        .stage(twist(Verify, studio), studio.clone())
        .stage(twist(Thumbnail, studio), studio.clone())
        .stage(twist(Index, studio), studio.clone())
        .stage(twist(Sweep, studio), studio.clone())
}
