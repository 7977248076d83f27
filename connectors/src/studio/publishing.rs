//! What makes a recording public, and what clears up behind it.

use super::Studio;
use bytes::Bytes;
use engine::{Connector, Refusal, Trouble};
use ports::{ObjectInfo, ObjectRef, Put, PutOutcome};
use processors::sweep::SweepRun;
use schemas::{
    Manifest,
    keys::{self, RUN_METADATA, VIDEO_METADATA},
};
use std::{collections::BTreeMap, path::Path};

/// Orders the runs of a video: a newer one is never replaced by an older one that came late.
const ORDER: &str = "reelmill-run-order";

impl Studio {
    /// Puts a verified film under `recordings/`: where nothing is, or over the same video.
    ///
    /// A retry of the same run finds its own object and is done. Two videos that want one name
    /// are `name_taken`, whichever came second.
    pub(super) async fn publish(
        &self,
        film: &Path,
        to: &ObjectRef,
        manifest: &Manifest,
    ) -> Result<(), Trouble> {
        let put = |only_if_absent| Put {
            content_type: Some("video/mp4".to_owned()),
            metadata: {
                let mut metadata = of_run(&manifest.video_id, &manifest.run_id);
                metadata.insert(ORDER.to_owned(), manifest.run_order.to_string());
                metadata
            },
            only_if_absent,
        };
        if let PutOutcome::Written { .. } = self.store.upload(film, to, put(true)).await? {
            return Ok(());
        }
        let Some(there) = self.store.head(to).await? else {
            return Err(Trouble::transient("recording_moved", format!("{to} has just gone")));
        };
        if !owned_by(&there, &manifest.video_id) {
            return Err(Trouble::poison(
                "name_taken",
                format!(
                    "{to} is the recording of another video: upload again with another assessment or recording time"
                ),
            ));
        }
        let order = there.metadata.get(ORDER).and_then(|order| order.parse::<i64>().ok());
        if order.is_some_and(|order| order > manifest.run_order) {
            return Err(Refusal::Skip("superseded").into());
        }
        self.store.upload(film, to, put(false)).await.map(drop)
    }
}

/// Metadata that says whose an object is.
pub(super) fn of_run(video_id: &str, run_id: &str) -> BTreeMap<String, String> {
    [(VIDEO_METADATA, video_id), (RUN_METADATA, run_id)]
        .map(|(name, id)| (name.to_owned(), id.to_owned()))
        .into()
}

pub(super) fn is_of_run(object: &ObjectInfo, video_id: &str, run_id: &str) -> bool {
    owned_by(object, video_id) && object.metadata.get(RUN_METADATA).is_some_and(|run| run == run_id)
}

fn owned_by(object: &ObjectInfo, video_id: &str) -> bool {
    object.metadata.get(VIDEO_METADATA).is_some_and(|owner| owner == video_id)
}

impl Studio {
    /// To be called after temporary objects were written. Where the run was swept in the meantime
    /// (this process had lost its partitions, or works on a second copy of an event), they would
    /// stay for ever: removes them, and there was nothing to do.
    pub(super) async fn unless_swept(
        &self,
        bucket: &str,
        video_id: &str,
        run_id: &str,
        written: &[String],
    ) -> Result<(), Trouble> {
        let swept = ObjectRef::new(bucket, keys::swept(video_id, run_id));
        if self.store.head(&swept).await?.is_none() {
            return Ok(());
        }
        self.store.delete(bucket, written).await?;
        Err(Refusal::Skip("already_done").into())
    }

    /// An object of a run that is done is missing because it was swept: a second copy of an event
    /// came after the end, and there is nothing to do, but for what an earlier try may have written
    /// (`writes`).
    pub(super) async fn or_swept<T>(
        &self,
        result: Result<T, Trouble>,
        (bucket, manifest_key): (&str, &str),
        writes: &[String],
    ) -> Result<T, Trouble> {
        if let Err(Trouble::Refused(Refusal::Poison(poison))) = &result
            && poison.reason == "missing_object"
        {
            let Manifest { video_id, run_id, .. } = self.manifest(bucket, manifest_key).await?;
            self.unless_swept(bucket, &video_id, &run_id, writes).await?;
        }
        result
    }
}

impl Connector<SweepRun> for Studio {
    /// Removes what only the run needed. Manifest, tracks, labels and claims stay with the video.
    async fn perform(&self, effect: &SweepRun) -> Result<(), Trouble> {
        let SweepRun { bucket, video_id, run_id, count } = effect;
        // A part may be there, and the run be done, while the event that made it is not settled
        // and will come again: `blur` and `label` then need the clip once more, and `blur` writes
        // its part once more. Only what the gathering processors have seen is settled.
        // Of a deleted video no more events are worked on, and nothing of it is to stay.
        let tombstone = ObjectRef::new(bucket, keys::tombstone(video_id));
        let is_deleted = self.store.head(&tombstone).await?.is_some();
        let due = [("stitch", *count), ("index", 2 * count)];
        for (processor, events) in due.into_iter().filter(|_| !is_deleted) {
            let seen = self.store.list(bucket, &keys::seen(video_id, run_id, processor)).await?;
            if seen.len() < events as usize {
                return Err(Trouble::transient(
                    "waiting_for_stragglers",
                    format!(
                        "{processor} has seen {} of {events} events; the clips stay until then",
                        seen.len()
                    ),
                ));
            }
        }
        let swept = ObjectRef::new(bucket, keys::swept(video_id, run_id));
        self.store.write(&swept, Bytes::new(), Put::default()).await?;
        let mut gone = vec![keys::staged(video_id, run_id)];
        for index in 0..*count {
            gone.push(keys::clip(video_id, run_id, index));
            gone.push(keys::masked(video_id, run_id, index));
        }
        self.store.delete(bucket, &gone).await
    }
}
