//! The end of a run's temporary objects, and what is written after it.

use crate::{Refusal, Trouble};
use bytes::Bytes;
use ports::{ObjectRef, Put, Store};
use schemas::{Manifest, keys};

/// Why a sweep waits: events of the run are not settled.
pub const WAITING_FOR_STRAGGLERS: &str = "waiting_for_stragglers";

/// The working objects of one run of a video.
///
/// A run that is done is swept: its temporary objects go, and a mark says so. Processes that write
/// later (they had lost their partitions, or work on a second copy of an event) see the mark and
/// remove what they wrote.
#[derive(Debug, Clone, Copy)]
pub struct WorkingObjects<'a> {
    pub store: &'a dyn Store,
    pub bucket: &'a str,
    pub video_id: &'a str,
    pub run_id: &'a str,
}

impl<'a> WorkingObjects<'a> {
    /// Those of the run that `manifest` describes.
    pub fn of(store: &'a dyn Store, bucket: &'a str, manifest: &'a Manifest) -> Self {
        Self { store, bucket, video_id: &manifest.video_id, run_id: &manifest.run_id }
    }

    fn mark(&self) -> ObjectRef {
        ObjectRef::new(self.bucket, keys::swept(self.video_id, self.run_id))
    }

    /// To be called after temporary objects were written. Where the run was swept in the meantime,
    /// they would stay for ever: removes them.
    ///
    /// # Errors
    ///
    /// `already_done` where the run was swept: there was nothing to do.
    pub async fn unless_swept(&self, written: &[String]) -> Result<(), Trouble> {
        if self.store.head(&self.mark()).await?.is_none() {
            return Ok(());
        }
        self.store.delete(self.bucket, written).await?;
        Err(Refusal::Skip("already_done").into())
    }

    /// An object of a run that is done is missing because it was swept: a second copy of an event
    /// came after the end, and there is nothing to do, but for what an earlier try may have
    /// `written`.
    ///
    /// # Errors
    ///
    /// `already_done` where the run was swept; what `result` says otherwise.
    pub async fn or_swept<T>(
        &self,
        result: Result<T, Trouble>,
        written: &[String],
    ) -> Result<T, Trouble> {
        if let Err(Trouble::Refused(Refusal::Poison(poison))) = &result
            && poison.reason == "missing_object"
        {
            self.unless_swept(written).await?;
        }
        result
    }

    /// Marks the run as swept and removes `temporary` objects, once each processor of `gathered`
    /// has seen as many of its events.
    ///
    /// A part may be there, and the run be done, while the event that made it is not settled and
    /// will come again: `blur` and `label` then need the clip once more, and `blur` writes its part
    /// once more. Only what the gathering processors have seen is settled. Of a deleted video no
    /// more events are worked on, and nothing of it is to stay.
    ///
    /// # Errors
    ///
    /// [`WAITING_FOR_STRAGGLERS`], and what the store says.
    pub async fn sweep(
        &self,
        gathered: &[(&str, u32)],
        temporary: &[String],
    ) -> Result<(), Trouble> {
        let tombstone = ObjectRef::new(self.bucket, keys::tombstone(self.video_id));
        if self.store.head(&tombstone).await?.is_none() {
            for (processor, events) in gathered {
                let seen = keys::seen(self.video_id, self.run_id, processor);
                let seen = self.store.list(self.bucket, &seen).await?.len();
                if seen < *events as usize {
                    return Err(Trouble::away(
                        WAITING_FOR_STRAGGLERS,
                        format!(
                            "{processor} has seen {seen} of {events} events; the clips stay until then"
                        ),
                    ));
                }
            }
        }
        self.store.write(&self.mark(), Bytes::new(), Put::default()).await?;
        self.store.delete(self.bucket, temporary).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    fn working(store: &MemoryStore) -> WorkingObjects<'_> {
        WorkingObjects { store, bucket: "b", video_id: "v", run_id: "r" }
    }

    async fn put(store: &MemoryStore, key: &str) {
        store.write(&ObjectRef::new("b", key), Bytes::new(), Put::default()).await.unwrap();
    }

    async fn is_there(store: &MemoryStore, key: &str) -> bool {
        store.head(&ObjectRef::new("b", key)).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn a_sweep_waits_for_all_events_and_takes_what_is_temporary() {
        let store = MemoryStore::default();
        let (masked, tracks) = (keys::masked("v", "r", 0), keys::tracks("v", "r", 0));
        put(&store, &masked).await;
        put(&store, &tracks).await;
        let due = [("stitch", 2)];
        let temporary = [masked.clone()];
        put(&store, &(keys::seen("v", "r", "stitch") + "one")).await;
        let waits = working(&store).sweep(&due, &temporary).await;
        assert!(matches!(waits, Err(Trouble::Transient { reason: WAITING_FOR_STRAGGLERS, .. })));
        assert!(is_there(&store, &masked).await);
        put(&store, &(keys::seen("v", "r", "stitch") + "two")).await;
        working(&store).sweep(&due, &temporary).await.unwrap();
        assert!(!is_there(&store, &masked).await);
        assert!(is_there(&store, &tracks).await);
    }

    #[tokio::test]
    async fn a_deleted_video_is_swept_at_once() {
        let store = MemoryStore::default();
        put(&store, &keys::tombstone("v")).await;
        working(&store).sweep(&[("stitch", 2)], &[]).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_written_after_the_sweep_goes_again() {
        let store = MemoryStore::default();
        let masked = [keys::masked("v", "r", 0)];
        put(&store, &masked[0]).await;
        working(&store).unless_swept(&masked).await.unwrap();
        assert!(is_there(&store, &masked[0]).await);
        working(&store).sweep(&[], &[]).await.unwrap();
        let done = working(&store).unless_swept(&masked).await;
        assert!(matches!(done, Err(Trouble::Refused(Refusal::Skip("already_done")))));
        assert!(!is_there(&store, &masked[0]).await);
    }

    #[tokio::test]
    async fn a_missing_object_is_no_fault_of_a_run_that_was_swept_and_others_are() {
        let store = MemoryStore::default();
        let missing = || Err::<(), _>(Trouble::poison("missing_object", "it is gone"));
        let before = working(&store).or_swept(missing(), &[]).await;
        assert!(matches!(before, Err(Trouble::Refused(Refusal::Poison(_)))));
        working(&store).sweep(&[], &[]).await.unwrap();
        let after = working(&store).or_swept(missing(), &[]).await;
        assert!(matches!(after, Err(Trouble::Refused(Refusal::Skip("already_done")))));
        let other = Err::<(), _>(Trouble::poison("no_video", "it is text"));
        let other = working(&store).or_swept(other, &[]).await;
        assert!(
            matches!(other, Err(Trouble::Refused(Refusal::Poison(p))) if p.reason == "no_video")
        );
    }
}
