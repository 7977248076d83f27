//! A source: the uploaded file in the store, with all that its event needs kept beside it.

use crate::{Cause, Services};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ports::{Fact, ObjectInfo, ObjectRef, Put, Trouble};
use schemas::{VideoUploaded, ids};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// An uploaded file and what was said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) video_id: String,
    pub(crate) object: ObjectRef,
    pub(crate) owner: String,
    pub(crate) assessment: String,
    pub(crate) title: String,
    pub(crate) blur: String,
    pub(crate) visibility: String,
    pub(crate) recorded_at_ms: i64,
}

impl Source {
    /// From an object that [`Source::put`] was written with; `None` for any other.
    pub(crate) fn of(bucket: &str, info: &ObjectInfo) -> Option<Self> {
        let text = |name: &str| {
            let value = percent_decode_str(info.metadata.get(name)?).decode_utf8().ok()?;
            Some(value.into_owned())
        };
        Some(Self {
            video_id: text("video-id").filter(|id| ids::is_uuid(id))?,
            object: ObjectRef::new(bucket, &info.key),
            owner: text("owner")?,
            assessment: text("assessment")?,
            title: text("title")?,
            blur: text("blur")?,
            visibility: text("visibility")?,
            recorded_at_ms: text("recorded-at-ms")?.parse().ok()?,
        })
    }

    /// Everything the event needs is kept with the object, so that a source whose event was lost
    /// to a crash can be announced later. Values are percent-encoded: S3 takes ASCII only.
    pub(crate) fn put(&self) -> Put {
        let recorded_at = self.recorded_at_ms.to_string();
        let metadata = [
            ("video-id", &self.video_id),
            ("owner", &self.owner),
            ("assessment", &self.assessment),
            ("title", &self.title),
            ("blur", &self.blur),
            ("visibility", &self.visibility),
            ("recorded-at-ms", &recorded_at),
        ];
        let metadata: BTreeMap<_, _> = metadata
            .into_iter()
            .map(|(name, value)| (name.to_owned(), utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .map(|(name, value)| (name, value.to_string()))
            .collect();
        let content_type = Some("application/octet-stream".to_owned());
        Put { content_type, metadata, only_if_absent: true }
    }

    /// Produces the event, under an id that is the same every time, and writes the row that it
    /// will give, so that the video can be asked for at once.
    pub(crate) async fn announce(
        &self,
        services: &Services,
        bytes: u64,
        cause: &Cause,
    ) -> Result<(), Trouble> {
        let id = ids::output(&self.video_id, "upload", 0);
        services.uploads.announce(&self.event(bytes), &id, cause).await?;
        if let Err(error) = services.catalog.record(&[self.fact(bytes)]).await {
            tracing::warn!(video = self.video_id, %error, "the row waits for the event");
        }
        Ok(())
    }

    fn event(&self, bytes: u64) -> VideoUploaded {
        VideoUploaded {
            bucket: self.object.bucket.clone(),
            key: self.object.key.clone(),
            owner: self.owner.clone(),
            video_id: Some(self.video_id.clone()),
            recorded_at_ms: Some(self.recorded_at_ms),
            assessment: self.assessment.clone(),
            title: self.title.clone(),
            blur: self.blur.clone(),
            visibility: self.visibility.clone(),
            size_bytes: i64::try_from(bytes).ok(),
            replay: 0,
            faces_of: None,
            labels_of: None,
        }
    }

    fn fact(&self, bytes: u64) -> Fact {
        Fact::Uploaded {
            video_id: self.video_id.clone(),
            owner: self.owner.clone(),
            assessment: self.assessment.clone(),
            title: self.title.clone(),
            visibility: self.visibility.clone(),
            recorded_at_ms: self.recorded_at_ms,
            uploaded_at_ms: now_ms(),
            bytes: i64::try_from(bytes).ok(),
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
