//! Dead letters: read, and sent back to the processor that gave them up.
//!
//! A letter is sent back once, however often and by however many it is asked for: with the event
//! goes, in one transaction, a mark into the topic of dead letters. All who redrive for one
//! processor share a transactional id, so that the latest fences the others; it reads the marks
//! only when all that was written before it came is settled.

use super::{
    Kafka,
    admin::on_thread,
    blame,
    door::{self, Door},
    writer::Writer,
};
use engine::{Redrive, dead_topic, redrive, redriven};
use ports::{Position, Record, Trouble};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

/// Letters to a transaction.
const BATCH: usize = 100;
/// A processor's open transaction ends by itself within its time-out of 15 s.
const SETTLES_WITHIN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
const REQUEST: Duration = Duration::from_secs(10);

/// A record of a topic of dead letters.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    pub record: Record,
    /// Sent back already.
    pub redriven: bool,
}

/// What became of the letters that were chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redriven {
    pub sent: usize,
    /// Had been sent back before.
    pub before: usize,
    /// Nothing tells where they came from: no processor of ours wrote them.
    pub foreign: usize,
}

impl Kafka {
    /// A processor's dead letters, in the order of their positions.
    pub async fn dead_letters(&self, processor: &str) -> Result<Vec<Letter>, Trouble> {
        let topic = dead_topic(processor);
        if !self.list_topics().await?.iter().any(|known| known.name == topic) {
            return Ok(Vec::new());
        }
        Ok(letters(self.read_all(&topic).await?))
    }

    /// Sends the chosen dead letters of a processor back to it, each at most once.
    /// `progress` is told how many of how many are through.
    pub async fn redrive(
        &self,
        processor: &str,
        choose: impl Fn(&Record) -> bool,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Redriven, Trouble> {
        let mut done = Redriven::default();
        loop {
            let in_doubt = self.redrive_on(processor, &choose, &mut progress, &mut done).await?;
            if !in_doubt {
                return Ok(done);
            }
        }
    }

    /// Goes on with what is not sent back yet. Ends early, with `true`, where the writer is in doubt:
    /// its successor must look at the marks again, because somebody else may have been at it.
    async fn redrive_on(
        &self,
        processor: &str,
        choose: &impl Fn(&Record) -> bool,
        progress: &mut impl FnMut(usize, usize),
        done: &mut Redriven,
    ) -> Result<bool, Trouble> {
        let name = format!("redrive.{processor}");
        let (kafka, topic) = (self.clone(), dead_topic(processor));
        let mut writer = on_thread(move || {
            let mut client = kafka.transactional(&name);
            client.set("transactional.id", &name);
            let writer = Writer::with(client, kafka.door("redrive"))?;
            settled(&kafka, &topic)?;
            Ok(writer)
        })
        .await?;
        let (mut before, mut foreign) = (0_usize, 0);
        let mut chosen = Vec::new();
        let letters = letters(self.read_all(&dead_topic(processor)).await?);
        for letter in letters.into_iter().filter(|letter| choose(&letter.record)) {
            if letter.redriven {
                before += 1;
            } else if let Some(Redrive { event, mark }) = redrive(&letter.record) {
                chosen.push([event, mark]);
            } else {
                foreign += 1;
            }
        }
        // Those we have sent ourselves are marked by now.
        *done = Redriven { before: before.saturating_sub(done.sent), foreign, ..*done };
        let total = done.sent + chosen.len();
        for batch in chosen.chunks(BATCH) {
            if writer.in_doubt() {
                return Ok(true);
            }
            let records = batch.concat();
            writer = on_thread(move || {
                writer.write_together(&records).map_err(cut_short)?;
                Ok(writer)
            })
            .await?;
            done.sent += batch.len();
            progress(done.sent, total);
        }
        Ok(false)
    }
}

/// What is sent stays sent, and marked as such: whoever comes after goes on from there.
fn cut_short(error: KafkaError) -> Trouble {
    match error.rdkafka_error_code() {
        Some(
            // What is left of a fenced producer's transaction.
            RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            | RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch,
        ) => Trouble::transient(
            "another_redrive",
            "another redrive of this processor has begun and goes on with the rest",
        ),
        _ => blame(&error),
    }
}

/// Letters without the marks, each with what the marks say of it.
fn letters(records: Vec<Record>) -> Vec<Letter> {
    let marked: BTreeSet<Position> = records.iter().filter_map(redriven).collect();
    let is_marked = |record: &Record| record.position.as_ref().is_some_and(|p| marked.contains(p));
    let letters = records.into_iter().filter(|record| redriven(record).is_none());
    letters.map(|record| Letter { redriven: is_marked(&record), record }).collect()
}

/// Waits until every transaction that had written to a topic by now has ended. Blocks.
fn settled(kafka: &Kafka, topic: &str) -> Result<(), Trouble> {
    let group = "reelmill-admin";
    let door = kafka.door("redrive");
    let committed = door::consumer(&kafka.consumer(group), &door, door.clone())?;
    let mut uncommitted = kafka.consumer(group);
    uncommitted.set("isolation.level", "read_uncommitted");
    let written = door::consumer(&uncommitted, &door, door.clone())?;
    let failed = |error| {
        door::hear(&committed);
        door.explained(blame(&error))
    };
    let metadata = committed.fetch_metadata(Some(topic), REQUEST).map_err(failed)?;
    let deadline = Instant::now() + SETTLES_WITHIN;
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let end = |consumer: &BaseConsumer<Door>| {
            consumer.fetch_watermarks(topic, partition.id(), REQUEST).map_err(failed)
        };
        let (_, last) = end(&written)?;
        // Under read_committed the end is the last stable offset.
        while end(&committed)?.1 < last {
            if Instant::now() > deadline {
                return Err(Trouble::transient(
                    "transaction_open",
                    format!("a transaction on {topic} stays open: try again in a minute"),
                ));
            }
            thread::sleep(LOOK);
        }
    }
    Ok(())
}
