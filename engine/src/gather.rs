//! The join without a database: are all parts there, and is it ours to put them together?

use crate::{Gather, Refusal, Trouble};
use bytes::Bytes;
use ports::{ObjectRef, Put, PutOutcome, Store};
use schemas::keys;
use std::collections::HashSet;

/// Registers hold a word or an event's id.
const REGISTER_BYTES: u64 = 4096;

/// What an event says about its run, once and for all its deliveries.
const PASSES: &[u8] = b"passes";
const CLAIMS: &[u8] = b"claims";

/// Passes when all parts of the run are stored and `input_id` holds `processor`'s claim on it.
///
/// Parts are written before their event commits, so whoever comes last sees all. A crash brings
/// the claimant's event back, and with it the same id.
///
/// An event may be under way twice, here and with a member that has lost its partition and does
/// not know yet. Would one delivery pass (and commit that) and the other claim, then nobody would
/// do the work: so each event first writes down which of the two it does, and all its deliveries
/// keep to it.
pub(crate) async fn claim(
    store: &dyn Store,
    gather: &Gather,
    processor: &str,
    input_id: &str,
) -> Result<(), Trouble> {
    let stored = store.list(&gather.bucket, &keys::run(&gather.video_id, &gather.run_id)).await?;
    let stored: HashSet<&str> = stored.iter().map(|object| object.key.as_str()).collect();
    let complete = gather.parts.iter().all(|part| stored.contains(part.as_str()));

    let seen = keys::seen(&gather.video_id, &gather.run_id, processor);
    let of_event = ObjectRef::new(&gather.bucket, seen + &keys::safe(input_id));
    let word = first(store, &of_event, if complete { CLAIMS } else { PASSES }).await?;
    if word != CLAIMS {
        return Err(Refusal::Skip("waiting_for_parts").into());
    }
    let claim = keys::claim(&gather.video_id, &gather.run_id, processor);
    let of_run = ObjectRef::new(&gather.bucket, claim);
    let holder = first(store, &of_run, input_id.as_bytes()).await?;
    if holder == input_id.as_bytes() { Ok(()) } else { Err(Refusal::Skip("claimed").into()) }
}

/// A register that keeps the first value written: writes, and returns what it holds.
async fn first(store: &dyn Store, register: &ObjectRef, value: &[u8]) -> Result<Bytes, Trouble> {
    let body = Bytes::copy_from_slice(value);
    let put = Put { only_if_absent: true, ..Put::default() };
    if let PutOutcome::Written { .. } = store.write(register, body.clone(), put).await? {
        return Ok(body);
    }
    match store.read(register, REGISTER_BYTES).await {
        Err(Trouble::Refused(Refusal::Poison(poison))) if poison.reason == "missing_object" => {
            // Removed since we were told it exists; the next try finds out by whom.
            Err(Trouble::transient("claim_vanished", poison.detail))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;
    use std::sync::Arc;

    fn gather() -> Gather {
        Gather {
            bucket: "b".to_owned(),
            video_id: "v".to_owned(),
            run_id: "r".to_owned(),
            parts: vec![keys::masked("v", "r", 0), keys::masked("v", "r", 1)],
        }
    }

    async fn store(parts: u32) -> MemoryStore {
        let store = MemoryStore::default();
        for index in 0..parts {
            let part = ObjectRef::new("b", keys::masked("v", "r", index));
            store.write(&part, Bytes::new(), Put::default()).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn a_missing_part_means_waiting_and_no_claim() {
        let store = store(1).await;
        let refused = claim(&store, &gather(), "stitch", "one").await.unwrap_err();
        assert_eq!(refused, Refusal::Skip("waiting_for_parts").into());
        assert!(store.get(&ObjectRef::new("b", keys::claim("v", "r", "stitch"))).is_none());
    }

    #[tokio::test]
    async fn an_event_that_passed_never_claims_in_another_delivery() {
        let store = store(1).await;
        assert!(claim(&store, &gather(), "stitch", "first").await.is_err());
        let part = ObjectRef::new("b", keys::masked("v", "r", 1));
        store.write(&part, Bytes::new(), Put::default()).await.unwrap();
        // A delivery of the first to a member that has lost its partition comes late.
        let zombie = claim(&store, &gather(), "stitch", "first").await.unwrap_err();
        assert_eq!(zombie, Refusal::Skip("waiting_for_parts").into());
        claim(&store, &gather(), "stitch", "last").await.unwrap();
    }

    #[tokio::test]
    async fn an_event_that_claimed_never_passes_in_another_delivery() {
        let store = store(2).await;
        claim(&store, &gather(), "stitch", "last").await.unwrap();
        // Another delivery of it had listed the parts when one was still missing.
        store.delete("b", &[keys::masked("v", "r", 1)]).await.unwrap();
        claim(&store, &gather(), "stitch", "last").await.unwrap();
        assert!(claim(&store, &gather(), "stitch", "first").await.is_err());
    }

    #[tokio::test]
    async fn the_claimant_may_come_back_and_nobody_else_may() {
        let store = store(2).await;
        claim(&store, &gather(), "stitch", "one").await.unwrap();
        claim(&store, &gather(), "stitch", "one").await.unwrap();
        let refused = claim(&store, &gather(), "stitch", "two").await.unwrap_err();
        assert_eq!(refused, Refusal::Skip("claimed").into());
        claim(&store, &gather(), "index", "two").await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_fifty_writers_on_one_claim_one_wins() {
        let store = Arc::new(store(2).await);
        let gate = Arc::new(tokio::sync::Barrier::new(50));
        let writers: Vec<_> = (0..50)
            .map(|n| {
                let (store, gate) = (store.clone(), gate.clone());
                tokio::spawn(async move {
                    gate.wait().await;
                    claim(&*store, &gather(), "stitch", &n.to_string()).await.is_ok()
                })
            })
            .collect();
        let mut winners = 0;
        for writer in writers {
            winners += u32::from(writer.await.unwrap());
        }
        assert_eq!(winners, 1);
    }
}
