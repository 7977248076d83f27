//! What makes a recording public, and what clears up behind it.

use super::Studio;
use engine::{Connector, Refusal, Trouble, WorkingObjects};
use ports::{ObjectInfo, ObjectRef, Put, PutOutcome};
use processors::sweep::SweepRun;
use schemas::{
    Manifest,
    keys::{RUN_METADATA, VIDEO_METADATA},
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

impl Connector<SweepRun> for Studio {
    /// Removes what only the run needed. Manifest, tracks, labels and claims stay with the video.
    async fn perform(&self, effect: &SweepRun) -> Result<(), Trouble> {
        let SweepRun { bucket, video_id, run_id, .. } = effect;
        WorkingObjects { store: &*self.store, bucket, video_id, run_id }
            .sweep(&effect.gathered(), &effect.temporary())
            .await
    }
}
