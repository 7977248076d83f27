//! Sources without an event: a mill that was killed between storing an upload and announcing it
//! leaves one behind.

use crate::{
    Cause, Services,
    source::{Source, now_ms},
};
use bytes::Bytes;
use ports::{ObjectInfo, ObjectRef, Put, PutOutcome, Trouble, Viewer};
use schemas::keys;
use std::time::Duration;

/// Announces the sources that are older than `age` and unknown to the catalogue, under the ids
/// their uploads would have had. Returns how many. Several processes may do this at once: each
/// source is announced by one of them.
///
/// `age` must be longer than an event takes to reach the catalogue.
pub async fn announce_orphans(services: &Services, age: Duration) -> Result<usize, Trouble> {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX).max(1);
    let (bucket, now) = (&services.bucket, now_ms());
    let mut announced = 0;
    for info in services.store.list(bucket, "uploads/").await? {
        let Some(video_id) = video_of(&info) else { continue };
        if now - info.modified_ms < age_ms
            || services.catalog.video(&Viewer::Local, video_id).await?.is_some()
        {
            continue;
        }
        let object = ObjectRef::new(bucket, &info.key);
        let Some(info) = services.store.head(&object).await? else { continue };
        let Some(source) = Source::of(bucket, &info).filter(|s| s.video_id == video_id) else {
            continue;
        };
        // Whoever dies between claim and event leaves the next turn to others.
        let turn = ObjectRef::new(bucket, keys::announced(video_id, now / age_ms));
        let claim = Put { only_if_absent: true, ..Put::default() };
        if services.store.write(&turn, Bytes::new(), claim).await? == PutOutcome::Exists {
            continue;
        }
        source.announce(services, info.bytes, &Cause::own()).await?;
        tracing::warn!(
            video = source.video_id,
            "an upload had been stored and never announced: it is now"
        );
        announced += 1;
    }
    Ok(announced)
}

/// The video of `uploads/{owner}/{video}/source[.ext]`.
fn video_of(info: &ObjectInfo) -> Option<&str> {
    let mut parts = info.key.split('/').skip(2);
    let (video, name) = (parts.next()?, parts.next()?);
    let is_source = name == "source" || name.starts_with("source.");
    (is_source && parts.next().is_none()).then_some(video)
}
