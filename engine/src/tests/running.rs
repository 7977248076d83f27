//! How the runner drives: order, speed, rebalances, the stop.

use super::world::{DEAD, Mouth, NOW, RETRY, SAID, Speak, World, a_while, echo, eventually};
use crate::{Connector, TestClock, Trouble};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// A mouth that says a word only once it is allowed to.
#[derive(Clone, Default)]
struct Gates {
    gates: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
    speaking: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Gates {
    fn of(&self, word: &str) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap();
        gates.entry(word.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))).clone()
    }

    fn open(&self, word: &str) {
        self.of(word).add_permits(1);
    }

    fn speaking(&self) -> usize {
        self.speaking.load(Ordering::SeqCst)
    }

    fn mouth(&self) -> impl Connector<Speak> {
        let gates = self.clone();
        Mouth(move |word: String| {
            let gates = gates.clone();
            async move {
                let speaking = Speaking::begin(&gates);
                gates.of(&word).acquire().await.unwrap().forget();
                drop(speaking);
                Ok(word)
            }
        })
    }
}

/// Ends also where the effect is dropped.
struct Speaking(Arc<AtomicUsize>);

impl Speaking {
    fn begin(gates: &Gates) -> Self {
        let now = gates.speaking.fetch_add(1, Ordering::SeqCst) + 1;
        gates.most.fetch_max(now, Ordering::SeqCst);
        Self(gates.speaking.clone())
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn what_is_done_out_of_order_is_committed_in_order() {
    let world = World::with_clock(2, TestClock::manual(NOW));
    let gates = Gates::default();
    world.ask(&["a", "b", "c"]).await;
    world.ask_on(1, "z").await;
    let started = world.start(gates.mouth());
    eventually(|| gates.speaking() == 4).await;
    gates.open("b");
    gates.open("z");
    eventually(|| world.committed(1) == 1).await;
    a_while().await;
    assert_eq!((world.committed(0), world.words(SAID)), (0, vec!["z".to_owned()]));
    gates.open("a");
    eventually(|| world.committed(0) == 2).await;
    gates.open("c");
    eventually(|| world.committed(0) == 3).await;
    world.stop(started).await.unwrap();
}

#[tokio::test]
async fn many_settled_heads_are_one_transaction() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    let gates = Gates::default();
    world.ask(&["a", "b", "c", "d"]).await;
    let started = world.start(gates.mouth());
    eventually(|| gates.speaking() == 4).await;
    for word in ["d", "c", "b"] {
        gates.open(word);
    }
    eventually(|| gates.speaking() == 1).await;
    a_while().await;
    gates.open("a");
    eventually(|| world.committed(0) == 4).await;
    assert_eq!(world.broker.transactions(), 1);
    world.stop(started).await.unwrap();
}

#[tokio::test]
async fn no_more_effects_run_at_once_than_allowed() {
    let mut world = World::with_clock(1, TestClock::manual(NOW));
    world.context.concurrency = 2;
    let gates = Gates::default();
    world.ask(&["a", "b", "c", "d", "e"]).await;
    let started = world.start(gates.mouth());
    eventually(|| gates.speaking() == 2).await;
    a_while().await;
    for word in ["a", "b", "c", "d", "e"] {
        gates.open(word);
    }
    eventually(|| world.committed(0) == 5).await;
    assert_eq!(gates.most.load(Ordering::SeqCst), 2);
    world.stop(started).await.unwrap();
}

#[tokio::test]
async fn polling_goes_on_during_a_long_effect() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    let gates = Gates::default();
    world.ask(&["long"]).await;
    let started = world.start(gates.mouth());
    eventually(|| gates.speaking() == 1).await;
    let polls = world.broker.polls();
    eventually(|| world.broker.polls() > polls + 3).await;
    assert_eq!(gates.speaking(), 1);
    gates.open("long");
    eventually(|| world.committed(0) == 1).await;
    world.stop(started).await.unwrap();
}

#[tokio::test]
async fn one_slow_event_holds_its_own_partition_and_no_other() {
    let world = World::with_clock(2, TestClock::manual(NOW));
    let gates = Gates::default();
    gates.of("quick").add_permits(1_000);
    world.ask(&["slow"]).await;
    for _ in 0..300 {
        world.ask_on(0, "quick").await;
        world.ask_on(1, "quick").await;
    }
    let started = world.start(gates.mouth());
    eventually(|| world.committed(1) == 300).await;
    assert_eq!(world.committed(0), 0);
    // Backpressure: the held partition is not read to its end.
    let said = 1_000 - gates.of("quick").available_permits();
    assert!(said < 300 + 100, "{said} words were said");
    gates.open("slow");
    eventually(|| world.committed(0) == 301).await;
    world.stop(started).await.unwrap();
}

#[tokio::test]
async fn an_aborted_transaction_is_done_again_and_leaves_no_trace() {
    let world = World::new(1);
    world.ask(&["one", "curse", "two"]).await;
    world.broker.abort_next(2);
    world.run(echo()).await.unwrap();
    assert_eq!(world.words(SAID), ["one", "two"]);
    assert_eq!(world.broker.on(DEAD).len(), 1);
    assert_eq!(world.counted("emitted", None), 2);
    assert_eq!(world.counted("dead_lettered", None), 1);
}

#[tokio::test]
async fn a_rebalance_drops_the_work_in_hand_and_it_is_done_again_once() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    let gates = Gates::default();
    world.ask(&["a", "b"]).await;
    let started = world.start(gates.mouth());
    eventually(|| gates.speaking() == 2).await;
    gates.open("b");
    eventually(|| gates.speaking() == 1).await;
    world.broker.rebalance("say");
    eventually(|| gates.speaking() == 2).await;
    a_while().await;
    assert_eq!(gates.speaking(), 2, "effects of the old assignment are dropped");
    gates.open("a");
    gates.open("b");
    eventually(|| world.committed(0) == 2).await;
    assert_eq!(world.words(SAID), ["a", "b"]);
    assert_eq!(world.counted("emitted", None), 2);
    world.stop(started).await.unwrap();
}

#[tokio::test]
async fn a_verdict_is_counted_only_after_its_commit() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    let gates = Gates::default();
    world.ask(&["slow", "quick"]).await;
    let started = world.start(gates.mouth());
    eventually(|| gates.speaking() == 2).await;
    gates.open("quick");
    eventually(|| gates.speaking() == 1).await;
    a_while().await;
    assert_eq!(world.counted("emitted", None), 0);
    gates.open("slow");
    eventually(|| world.counted("emitted", None) == 2).await;
    world.stop(started).await.unwrap();
    assert_eq!(world.counted("emitted", None), 2);
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_nobody_waits_for_it() {
    let mut world = World::with_clock(1, TestClock::manual(NOW));
    world.context.policy.tries = 1;
    let failing = Arc::new(AtomicBool::new(true));
    let fails = failing.clone();
    let mouth = Mouth(move |word: String| {
        let fail = word == "hard" && fails.load(Ordering::SeqCst);
        async move { if fail { Err(Trouble::transient("busy", "later")) } else { Ok(word) } }
    });
    world.ask(&["hard", "easy"]).await;
    let started = world.start(mouth);
    eventually(|| world.committed(0) == 2).await;
    assert_eq!(world.words(SAID), ["easy"]);
    assert_eq!(world.broker.on(RETRY).len(), 1);
    failing.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_millis(4_999));
    world.ask(&["another"]).await;
    eventually(|| world.committed(0) == 3).await;
    a_while().await;
    assert_eq!(world.words(SAID), ["easy", "another"]);
    world.clock.advance(Duration::from_millis(1));
    eventually(|| world.broker.lag(&started.spec) == 0).await;
    assert_eq!(world.words(SAID), ["easy", "another", "hard"]);
    world.stop(started).await.unwrap();
}

#[tokio::test]
async fn a_retry_that_waits_long_holds_back_none_that_waits_less() {
    let mut world = World::with_clock(1, TestClock::manual(NOW));
    world.context.policy.tries = 1;
    let tried = Arc::new(Mutex::new(BTreeMap::new()));
    let mouth = Mouth(move |word: String| {
        let again = tried.lock().unwrap().insert(word.clone(), ()).is_some();
        let after = (word == "long").then_some(Duration::from_secs(300));
        let (reason, detail) = ("busy", "later".to_owned());
        async move {
            if again {
                Ok(word)
            } else {
                Err(Trouble::Transient { reason, detail, after, counted: true })
            }
        }
    });
    world.ask(&["long", "short"]).await;
    let started = world.start(mouth);
    eventually(|| world.broker.on(RETRY).len() == 2).await;
    a_while().await;
    world.clock.advance(Duration::from_secs(5));
    eventually(|| world.words(SAID) == ["short"]).await;
    world.clock.advance(Duration::from_millis(294_999));
    a_while().await;
    assert_eq!(world.words(SAID), ["short"]);
    world.clock.advance(Duration::from_millis(1));
    eventually(|| world.words(SAID) == ["short", "long"]).await;
    eventually(|| world.broker.lag(&started.spec) == 0).await;
    world.stop(started).await.unwrap();
    assert_eq!((world.counted("retried", None), world.counted("emitted", None)), (2, 2));
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_runs_and_starts_nothing_new() {
    let mut world = World::with_clock(1, TestClock::manual(NOW));
    world.context.concurrency = 1;
    let gates = Gates::default();
    world.ask(&["running", "waiting"]).await;
    let started = world.start(gates.mouth());
    eventually(|| gates.speaking() == 1).await;
    gates.open("waiting");
    world.context.shutdown.cancel();
    a_while().await;
    assert!(!started.task.is_finished());
    gates.open("running");
    world.stop(started).await.unwrap();
    assert_eq!(world.words(SAID), ["running"]);
    assert_eq!(world.committed(0), 1);
}

#[tokio::test]
async fn a_graceful_stop_gives_back_what_takes_too_long() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    let gates = Gates::default();
    world.ask(&["endless", "done"]).await;
    let started = world.start(gates.mouth());
    eventually(|| gates.speaking() == 2).await;
    gates.open("done");
    world.context.shutdown.cancel();
    eventually(|| world.clock.naps().contains(&world.context.policy.grace)).await;
    world.clock.advance(world.context.policy.grace - Duration::from_millis(1));
    a_while().await;
    assert!(!started.task.is_finished());
    world.clock.advance(Duration::from_millis(1));
    world.stop(started).await.unwrap();
    assert_eq!((world.committed(0), gates.speaking()), (0, 0));
    assert!(world.broker.on(SAID).is_empty());
}

#[tokio::test]
async fn two_members_share_the_partitions_and_do_everything_once() {
    let world = World::new(4);
    for partition in 0..4 {
        for n in 0..50 {
            world.ask_on(partition, &format!("{partition}-{n}")).await;
        }
    }
    let first = world.start(echo());
    let second = world.start(echo());
    eventually(|| world.broker.lag(&first.spec) == 0).await;
    world.stop(first).await.unwrap();
    world.stop(second).await.unwrap();
    let mut said = world.words(SAID);
    said.sort();
    said.dedup();
    assert_eq!((said.len(), world.broker.on(SAID).len()), (200, 200));
    assert_eq!(world.counted("emitted", None), 200);
}
