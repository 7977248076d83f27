//! Dead letters go back to their processor once, however often they are asked for.

use crate::{numbers::record, world::World};
use connectors::kafka::Redriven;
use engine::header;
use ports::{Headers, Record};
use std::collections::BTreeSet;

const DEAD: &str = "reelmill.dead.copy";
const RETRY: &str = "reelmill.retry.copy";

fn letter(number: u32) -> Record {
    let headers = Headers::default()
        .with("mine", "kept")
        .with(header::DEAD_TOPIC, "in")
        .with(header::DEAD_PARTITION, "2")
        .with(header::DEAD_OFFSET, number.to_string())
        .with(header::DEAD_PROCESSOR, "copy")
        .with(header::DEAD_REASON, if number < 3 { "early" } else { "late" });
    Record { headers, ..record(DEAD, number) }
}

async fn world(letters: u32) -> Option<World> {
    let world = World::new().await?;
    for number in 0..letters {
        world.kafka("outside").produce(letter(number)).await.unwrap();
    }
    Some(world)
}

async fn sent_back(world: &World) -> Vec<Record> {
    world.kafka("reader").read_all(RETRY).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chosen_letters_go_back_and_twice_is_once() {
    let Some(world) = world(5).await else { return };
    let kafka = world.kafka("one");
    let early = |letter: &Record| letter.headers.text(header::DEAD_REASON) == Some("early");
    let mut told = Vec::new();
    let first = kafka.redrive("copy", early, |done, of| told.push((done, of))).await.unwrap();
    assert_eq!(first, Redriven { sent: 3, before: 0, foreign: 0 });
    assert_eq!(told, [(3, 3)]);
    let again = kafka.redrive("copy", |_| true, |_, _| {}).await.unwrap();
    assert_eq!(again, Redriven { sent: 2, before: 3, foreign: 0 });
    let third = world.kafka("two").redrive("copy", |_| true, |_, _| {}).await.unwrap();
    assert_eq!(third, Redriven { sent: 0, before: 5, foreign: 0 });

    let records = sent_back(&world).await;
    let values: BTreeSet<_> = records.iter().map(|r| r.value.clone().unwrap()).collect();
    assert_eq!((records.len(), values.len()), (5, 5));
    for record in &records {
        assert_eq!(record.headers.text("mine"), Some("kept"));
        assert_eq!(record.headers.text(header::ORIGIN_TOPIC), Some("in"));
        assert_eq!(record.headers.text(header::DEAD_REASON), None);
    }
    let letters = kafka.dead_letters("copy").await.unwrap();
    assert_eq!(letters.len(), 5, "marks are no letters");
    assert!(letters.iter().all(|letter| letter.redriven));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_redrive_at_once_each_letter_is_sent_by_one() {
    // A fenced client gives up after its time-outs: minutes.
    if std::env::var_os("REELMILL_LONG").is_none() {
        eprintln!("skipped: a long form, REELMILL_LONG=1 runs it");
        return;
    }
    let Some(world) = world(250).await else { return };
    let tasks: Vec<_> = (0..2)
        .map(|n| {
            let kafka = world.kafka(&n.to_string());
            tokio::spawn(async move { kafka.redrive("copy", |_| true, |_, _| {}).await })
        })
        .collect();
    // Some are cut short by others; one more goes on with whatever they left.
    for task in tasks {
        let done = task.await.unwrap();
        if let Err(trouble) = done {
            assert!(trouble.to_string().contains("redrive"), "{trouble}");
        }
    }
    world.kafka("last").redrive("copy", |_| true, |_, _| {}).await.unwrap();
    let records = sent_back(&world).await;
    let values: BTreeSet<_> = records.iter().map(|r| r.value.clone().unwrap()).collect();
    assert_eq!((records.len(), values.len()), (250, 250));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_processor_gave_up_stays() {
    let Some(world) = world(1).await else { return };
    let kafka = world.kafka("one");
    kafka.produce(record(DEAD, 7)).await.unwrap();
    let done = kafka.redrive("copy", |_| true, |_, _| {}).await.unwrap();
    assert_eq!(done, Redriven { sent: 1, before: 0, foreign: 1 });
    assert_eq!(sent_back(&world).await.len(), 1);
    assert!(kafka.dead_letters("no-such-processor").await.unwrap().is_empty());
}
