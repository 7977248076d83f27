//! Faces and labels that an older run of a video has found already.

use engine::{Connector, Trouble};
use ports::{ObjectRef, Store};
use processors::{
    detect::{FindFaces, FoundFaces},
    label::{FindLabels, FoundLabels},
};
use schemas::{Labels, Tracks};
use std::sync::Arc;

/// The findings of a clip in a crowded hour are some megabytes.
const MOST_BYTES: u64 = 256 << 20;

/// Takes what is known from the store, and asks `eyes` for all else.
#[derive(Debug, Clone)]
pub struct Known<Eyes> {
    pub eyes: Eyes,
    pub store: Arc<dyn Store>,
}

impl<Eyes> Known<Eyes> {
    async fn read(&self, at: &ObjectRef) -> Result<bytes::Bytes, Trouble> {
        self.store.read(at, MOST_BYTES).await
    }
}

impl<Eyes: Connector<FindFaces>> Connector<FindFaces> for Known<Eyes> {
    async fn perform(&self, effect: &FindFaces) -> Result<FoundFaces, Trouble> {
        match &effect.known {
            Some(at) => Ok(FoundFaces::Known(Tracks::from_avro(&self.read(at).await?)?)),
            None => self.eyes.perform(effect).await,
        }
    }
}

impl<Eyes: Connector<FindLabels>> Connector<FindLabels> for Known<Eyes> {
    async fn perform(&self, effect: &FindLabels) -> Result<FoundLabels, Trouble> {
        match &effect.known {
            Some(at) => Ok(FoundLabels::Known(Labels::from_avro(&self.read(at).await?)?)),
            None => self.eyes.perform(effect).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Refusal, memory::MemoryStore};
    use futures::FutureExt;
    use ports::Put;
    use processors::detect::SeenFaces;
    use schemas::TimeBase;

    /// Sees nothing, and says so.
    #[derive(Debug, Clone)]
    struct Open;

    impl Connector<FindFaces> for Open {
        async fn perform(&self, _: &FindFaces) -> Result<FoundFaces, Trouble> {
            Ok(FoundFaces::Seen(SeenFaces::default()))
        }
    }

    impl Connector<FindLabels> for Open {
        async fn perform(&self, _: &FindLabels) -> Result<FoundLabels, Trouble> {
            Ok(FoundLabels::Seen(Vec::new()))
        }
    }

    fn known(objects: &[(&str, Vec<u8>)]) -> Known<Open> {
        let store = MemoryStore::default();
        for (key, body) in objects {
            let body = body.clone().into();
            let at = ObjectRef::new("b", *key);
            let written = store.write(&at, body, Put::default());
            written.now_or_never().unwrap().unwrap();
        }
        Known { eyes: Open, store: Arc::new(store) }
    }

    fn faces(known: Option<&str>) -> FindFaces {
        let known = known.map(|key| ObjectRef::new("b", key));
        FindFaces { clip: ObjectRef::new("b", "clip"), token: "t".to_owned(), known }
    }

    fn labels(known: Option<&str>) -> FindLabels {
        let known = known.map(|key| ObjectRef::new("b", key));
        FindLabels { clip: ObjectRef::new("b", "clip"), token: "t".to_owned(), known }
    }

    #[tokio::test]
    async fn what_is_known_is_read_and_all_else_is_looked_for() {
        let time_base = TimeBase { num: 1, den: 25 };
        let (video_id, run_id) = ("v".to_owned(), "r".to_owned());
        let tracks = Tracks {
            video_id: video_id.clone(),
            run_id: run_id.clone(),
            index: 3,
            time_base,
            frame_ticks: 1,
            looked_every_ms: Some(0),
            tracks: vec![],
        };
        let found = Labels { video_id, run_id, index: 3, labels: vec![] };
        let known = known(&[("t", tracks.to_avro().unwrap()), ("l", found.to_avro().unwrap())]);
        assert_eq!(known.perform(&faces(None)).await, Ok(FoundFaces::Seen(SeenFaces::default())));
        assert_eq!(known.perform(&faces(Some("t"))).await, Ok(FoundFaces::Known(tracks)));
        assert_eq!(known.perform(&labels(None)).await, Ok(FoundLabels::Seen(Vec::new())));
        assert_eq!(known.perform(&labels(Some("l"))).await, Ok(FoundLabels::Known(found)));
    }

    #[tokio::test]
    async fn what_was_known_and_is_gone_or_unreadable_is_the_events_fault() {
        let known = known(&[("t", b"no tracks".to_vec())]);
        for (key, expected) in [("gone", "missing_object"), ("t", "malformed_event")] {
            let refused = known.perform(&faces(Some(key))).await;
            assert!(
                matches!(&refused, Err(Trouble::Refused(Refusal::Poison(p))) if p.reason == expected),
                "{refused:?}"
            );
        }
    }
}
