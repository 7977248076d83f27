//! A stop while nobody takes what is done: it must be short.

use super::world::{Mouth, NOW, SAID, Say, World, a_while, echo, eventually};
use crate::{
    LogOpener, Pipeline, Runner, TestClock,
    memory::{MemoryBroker, MemoryLog},
};
use ports::{Committed, Log, Polled, Settled, Trouble};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A log whose broker has died.
struct Dead {
    log: MemoryLog,
    /// Commits that were begun; none comes to its end.
    commits: Arc<AtomicUsize>,
}

impl Dead {
    async fn of(world: &World) -> Self {
        let pipeline = Pipeline::<MemoryBroker>::new().stage(Say, echo());
        let log = world.broker.open(pipeline.specs().next().unwrap()).await.unwrap();
        Self { log, commits: Arc::default() }
    }
}

impl Log for Dead {
    async fn poll(&mut self, want: usize) -> Result<Polled, Trouble> {
        self.log.poll(want).await
    }

    fn hold(&mut self, held: Vec<(String, i32)>) {
        self.log.hold(held);
    }

    async fn commit(&mut self, _: u64, _: Vec<Settled>) -> Result<Committed, Trouble> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        pending().await
    }

    async fn answers(&mut self) -> bool {
        false
    }

    async fn close(self) {
        self.log.close().await;
    }
}

#[tokio::test]
async fn work_that_cannot_be_committed_is_not_waited_for() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    world.ask(&["endless"]).await;
    let speaking = Arc::new(AtomicUsize::new(0));
    let begun = speaking.clone();
    let mouth = Mouth(move |_| {
        begun.fetch_add(1, Ordering::SeqCst);
        pending()
    });
    let log = Dead::of(&world).await;
    let running = tokio::spawn(Runner::new(Say, mouth, log, world.context.clone()).run());
    eventually(|| speaking.load(Ordering::SeqCst) == 1).await;
    world.context.shutdown.cancel();
    // No time passes on this clock.
    eventually(|| running.is_finished()).await;
    running.await.unwrap().unwrap();
    assert_eq!(world.committed(0), 0);
}

#[tokio::test]
async fn a_commit_that_hangs_is_waited_for_a_second() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    world.ask(&["hello"]).await;
    let log = Dead::of(&world).await;
    let commits = log.commits.clone();
    let running = tokio::spawn(Runner::new(Say, echo(), log, world.context.clone()).run());
    eventually(|| commits.load(Ordering::SeqCst) == 1).await;
    world.context.shutdown.cancel();
    let last_commit = world.context.policy.last_commit;
    eventually(|| world.clock.naps().contains(&last_commit)).await;
    world.clock.advance(last_commit - Duration::from_millis(1));
    a_while().await;
    assert!(!running.is_finished());
    world.clock.advance(Duration::from_millis(1));
    eventually(|| running.is_finished()).await;
    running.await.unwrap().unwrap();
    assert!(world.broker.on(SAID).is_empty());
}
