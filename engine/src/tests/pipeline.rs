//! The pipeline as a value.

use super::world::{Say, World, echo};
use crate::{LogOpener, Pipeline, Spec, Trouble, memory::MemoryBroker, memory::MemoryLog};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

fn pipeline() -> Pipeline<MemoryBroker> {
    Pipeline::new().stage(Say, echo())
}

#[test]
fn it_draws_itself_without_retries() {
    let drawn = "flowchart LR
  words-asked([words-asked]) --> say[say]
  words-shouted([words-shouted]) --> say[say]
  say[say] --> words-said([words-said])
";
    assert_eq!(pipeline().to_string(), drawn);
}

#[test]
fn it_knows_every_topic() {
    let topics: Vec<_> = pipeline().topics().into_iter().collect();
    let retries_too =
        ["reelmill.dead.say", "reelmill.retry.say", "words-asked", "words-said", "words-shouted"];
    assert_eq!(topics, retries_too);
}

#[test]
fn a_misspelt_processor_is_told_the_nearest_name() {
    let error = pipeline().only(&["sai"]).unwrap_err();
    let said = "there is no processor `sai`, did you mean `say`? there are: say";
    assert_eq!(error.to_string(), said);
    assert_eq!(pipeline().only(&["say"]).unwrap().specs().count(), 1);
    assert_eq!(pipeline().only(&[""; 0]).unwrap().specs().count(), 0);
}

/// Not there for the first two calls.
#[derive(Debug)]
struct Late(MemoryBroker, AtomicU32);

impl LogOpener for Late {
    type Log = MemoryLog;

    async fn open(&self, spec: &Spec) -> Result<MemoryLog, Trouble> {
        match self.1.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(Trouble::transient("broker_down", "connection refused")),
            _ => self.0.open(spec).await,
        }
    }
}

#[tokio::test]
async fn it_waits_for_a_log_that_is_not_there_yet() {
    let world = World::new(1);
    world.ask(&["hello"]).await;
    let late = Arc::new(Late(world.broker.clone(), AtomicU32::new(0)));
    let running = Pipeline::new().stage(Say, echo()).run(late, world.context.clone());
    let running = tokio::spawn(running);
    super::world::eventually(|| world.committed(0) == 1).await;
    world.context.shutdown.cancel();
    running.await.unwrap().unwrap();
}
