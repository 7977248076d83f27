//! Many events whose effects take no time: they share tasks and transactions.

use super::world::{Mouth, NOW, SAID, Say, World, a_while, echo, eventually};
use crate::{
    LogOpener, Pipeline, Runner, TestClock,
    memory::{MemoryBroker, MemoryLog},
};
use ports::{Committed, Log, Polled, Settled, Trouble};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

async fn ask_numbers(world: &World, count: usize) -> Vec<String> {
    let numbers = numbers(count);
    world.ask(&numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    numbers
}

#[tokio::test]
async fn quick_events_share_transactions_and_keep_their_order() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    let asked = ask_numbers(&world, 500).await;
    let started = world.start(echo());
    eventually(|| world.committed(0) == 500).await;
    assert_eq!(world.words(SAID), asked);
    let transactions = world.broker.transactions();
    assert!(transactions < 50, "{transactions} transactions");
    world.stop(started).await.unwrap();
    assert_eq!(world.counted("emitted", None), 500);
}

#[tokio::test]
async fn a_foul_a_slow_and_a_gasping_event_harm_none_of_their_stride() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    ask_numbers(&world, 100).await;
    world.ask(&["curse", "one", "gasp", "two", "slow", "three"]).await;
    let gate = Arc::new(Semaphore::new(0));
    let spoken = Arc::new(Mutex::new(Vec::new()));
    let (closed, heard) = (gate.clone(), spoken.clone());
    let started = world.start(Mouth(move |word: String| {
        let closed = closed.clone();
        heard.lock().unwrap().push(word.clone());
        async move {
            if word == "slow" {
                closed.acquire().await.unwrap().forget();
            }
            Ok(word)
        }
    }));
    let has_spoken = |word: &str| spoken.lock().unwrap().iter().any(|spoken| spoken == word);
    // Behind the slow one it is judged, and waits to be committed.
    eventually(|| has_spoken("three")).await;
    eventually(|| world.committed(0) == 104).await;
    gate.add_permits(1);
    eventually(|| world.committed(0) == 106).await;
    world.stop(started).await.unwrap();
    assert_eq!(world.words(SAID)[100..], ["one", "two", "slow", "three"]);
    assert_eq!(world.counted("dead_lettered", None), 2);
    let heard = spoken.lock().unwrap();
    assert_eq!(heard.iter().filter(|word| *word == "slow").count(), 1);
}

#[tokio::test]
async fn a_task_whose_events_take_long_after_all_gives_back_what_is_left() {
    let mut world = World::with_clock(1, TestClock::manual(NOW));
    world.context.concurrency = 1;
    let asked = ask_numbers(&world, 40).await;
    let clock = world.clock.clone();
    // Nothing is awaited: the time is spent at once.
    let started = world.start(Mouth(move |word: String| {
        clock.advance(Duration::from_millis(200));
        async move { Ok(word) }
    }));
    eventually(|| world.committed(0) == 40).await;
    assert_eq!((world.words(SAID), world.broker.transactions()), (asked, 40));
    world.stop(started).await.unwrap();
}

/// A log whose transactions take as long as a test wants.
struct Slow {
    log: MemoryLog,
    begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Log for Slow {
    async fn poll(&mut self, want: usize) -> Result<Polled, Trouble> {
        self.log.poll(want).await
    }

    fn hold(&mut self, held: Vec<(String, i32)>) {
        self.log.hold(held);
    }

    async fn commit(&mut self, epoch: u64, settled: Vec<Settled>) -> Result<Committed, Trouble> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.log.commit(epoch, settled).await
    }

    async fn close(self) {
        self.log.close().await;
    }
}

#[tokio::test]
async fn events_in_hand_are_judged_while_a_transaction_is_under_way() {
    let mut world = World::with_clock(1, TestClock::manual(NOW));
    world.context.concurrency = 1;
    let asked = ask_numbers(&world, 20).await;
    let pipeline = Pipeline::<MemoryBroker>::new().stage(Say, echo());
    let log = world.broker.open(pipeline.specs().next().unwrap()).await.unwrap();
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let log = Slow { log, begun: begun.clone(), gate: gate.clone() };
    let spoken = Arc::new(AtomicUsize::new(0));
    let speaking = spoken.clone();
    let mouth = Mouth(move |word: String| {
        speaking.fetch_add(1, Ordering::SeqCst);
        async move { Ok(word) }
    });
    let running = tokio::spawn(Runner::new(Say, mouth, log, world.context.clone()).run());
    eventually(|| spoken.load(Ordering::SeqCst) == 20).await;
    a_while().await;
    assert_eq!((begun.load(Ordering::SeqCst), world.committed(0)), (1, 0));
    // The first transaction's, and all others' in the next one.
    gate.add_permits(2);
    eventually(|| world.committed(0) == 20).await;
    assert_eq!(world.words(SAID), asked);
    world.context.shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}
