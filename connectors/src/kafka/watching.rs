//! What waits for each processor, as seen from outside: also for one that does not run.
//!
//! A group's lag as Kafka counts it never reaches 0 under transactions, whose markers take offsets.
//! So the records themselves are counted, those of committed transactions, from where a group has
//! committed to the end.

use super::{
    Kafka, blame,
    door::{self, Door},
    reader::give_back,
    writer::farewell,
};
use engine::Spec;
use ports::Trouble;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::KafkaError,
    message::BorrowedMessage,
    topic_partition_list::TopicPartitionListElem,
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Bounds every request.
const REQUEST: Duration = Duration::from_secs(10);
/// How long one look may read what is new; what is left is for the next.
const READ_FOR: Duration = Duration::from_secs(5);
/// Pause between two rounds over the partitions while some have not been read to their end.
const LOOK: Duration = Duration::from_millis(20);

type Lane = (String, i32);

/// What waits for a processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Events that are not yet committed, retries that are not yet due among them.
    pub events: usize,
    /// When the oldest of them was written, milliseconds since 1970.
    pub oldest_ms: Option<i64>,
}

/// Looks at what waits, again and again. Holds 16 bytes for every waiting event.
pub struct Watch {
    kafka: Kafka,
    reader: Arc<BaseConsumer<Door>>,
    groups: Vec<Group>,
    lanes: BTreeMap<Lane, Seen>,
}

struct Group {
    spec: Spec,
    /// Of the group, but no member: it asks for offsets only. Where a member is at work in this
    /// process that one is asked, and there is none: each client costs threads of its own.
    consumer: Option<BaseConsumer<Door>>,
}

/// What is known of a partition.
struct Seen {
    queue: PartitionQueue<Door>,
    /// Nothing before this offset is held.
    floor: i64,
    /// Offset and time of every record from there.
    records: VecDeque<(i64, i64)>,
    /// Read to its end, as of the last look.
    at_end: bool,
}

impl Seen {
    /// Lets go of what all groups have committed.
    fn forget_before(&mut self, offset: i64) {
        self.floor = offset;
        let done = self.records.partition_point(|(held, _)| *held < offset);
        self.records.drain(..done);
    }

    fn waiting_from(&self, committed: i64) -> Waiting {
        let done = self.records.partition_point(|(held, _)| *held < committed);
        let oldest_ms = self.records.get(done).map(|(_, time)| *time);
        Waiting { events: self.records.len() - done, oldest_ms }
    }
}

impl Watch {
    /// Watches the groups of these processors. Nothing is asked yet.
    pub fn new(kafka: &Kafka, specs: impl IntoIterator<Item = Spec>) -> Result<Self, Trouble> {
        let reader = Arc::new(client(kafka, "reelmill-watch")?);
        let groups = specs.into_iter().map(|spec| Group { spec, consumer: None }).collect();
        Ok(Self { kafka: kafka.clone(), reader, groups, lanes: BTreeMap::new() })
    }

    /// What waits for each processor now. Blocks, for some seconds at most; a processor that is
    /// missing has topics that could not be read to their end in that time.
    pub fn look(&mut self) -> Result<BTreeMap<&'static str, Waiting>, Trouble> {
        let looked = self.look_now();
        looked.map_err(|trouble| {
            // Later on the looks themselves hear, and what came in would be lost here.
            if self.lanes.is_empty() {
                door::hear(&self.reader);
            }
            self.reader.context().explained(trouble)
        })
    }

    fn look_now(&mut self) -> Result<BTreeMap<&'static str, Waiting>, Trouble> {
        let failed = |error| blame(&error);
        let lanes = self.known_lanes().map_err(failed)?;
        let mut committed = Vec::new();
        for group in &mut self.groups {
            committed.push(group.committed(&self.kafka, &lanes)?);
        }
        let mut floors: BTreeMap<&Lane, i64> = BTreeMap::new();
        for (lane, offset) in committed.iter().flatten() {
            let floor = floors.entry(lane).or_insert(*offset);
            *floor = (*floor).min(*offset);
        }
        self.follow(&floors).map_err(failed)?;
        self.read().map_err(failed)?;
        let mut waiting = BTreeMap::new();
        for (group, committed) in self.groups.iter().zip(&committed) {
            let mut sum = Waiting::default();
            let mut at_end = true;
            for (lane, offset) in committed {
                let Some(seen) = self.lanes.get(lane) else { continue };
                let here = seen.waiting_from(*offset);
                sum.events += here.events;
                sum.oldest_ms = sum.oldest_ms.into_iter().chain(here.oldest_ms).min();
                at_end &= seen.at_end;
            }
            if at_end {
                waiting.insert(group.spec.name, sum);
            }
        }
        Ok(waiting)
    }

    /// The partitions there are of the topics that somebody reads.
    fn known_lanes(&self) -> Result<Vec<Lane>, KafkaError> {
        let metadata = self.reader.fetch_metadata(None, REQUEST)?;
        let read = |name: &str| {
            self.groups.iter().any(|group| group.spec.reads.iter().any(|topic| topic == name))
        };
        let topics = metadata.topics().iter().filter(|topic| read(topic.name()));
        let lanes = topics.flat_map(|topic| {
            topic.partitions().iter().map(|partition| (topic.name().to_owned(), partition.id()))
        });
        Ok(lanes.collect())
    }

    /// Reads every partition from where the last group is, and lets go of what is before.
    fn follow(&mut self, floors: &BTreeMap<&Lane, i64>) -> Result<(), KafkaError> {
        let mut new = TopicPartitionList::new();
        for (lane, floor) in floors {
            let (topic, partition) = (lane.0.as_str(), lane.1);
            match self.lanes.get_mut(*lane) {
                None => new.add_partition_offset(topic, partition, Offset::Offset(*floor))?,
                Some(seen) if *floor >= seen.floor => seen.forget_before(*floor),
                // Somebody has put the group back.
                Some(seen) => {
                    (seen.floor, seen.at_end) = (*floor, false);
                    seen.records.clear();
                    self.reader.seek(topic, partition, Offset::Offset(*floor), REQUEST)?;
                }
            }
        }
        if new.count() == 0 {
            return Ok(());
        }
        self.reader.incremental_assign(&new)?;
        for (lane, floor) in floors {
            if self.lanes.contains_key(*lane) {
                continue;
            }
            if let Some(queue) = self.reader.split_partition_queue(&lane.0, lane.1) {
                let records = VecDeque::new();
                let seen = Seen { queue, floor: *floor, records, at_end: false };
                self.lanes.insert((*lane).clone(), seen);
            }
        }
        Ok(())
    }

    /// Takes in what has come, until every partition is read to its end or time is up.
    fn read(&mut self) -> Result<(), KafkaError> {
        let started = Instant::now();
        loop {
            // What was fetched before a partition got a queue of its own.
            match self.reader.poll(Duration::ZERO) {
                None => {}
                Some(Ok(message)) => {
                    let lane = (message.topic().to_owned(), message.partition());
                    if let Some(seen) = self.lanes.get_mut(&lane) {
                        note(&mut seen.records, &message);
                    }
                }
                // Of which topic is not told.
                Some(Err(KafkaError::PartitionEOF(partition))) => self.read_again(partition)?,
                Some(Err(error)) => return Err(error),
            }
            for seen in self.lanes.values_mut() {
                let Seen { queue, records, at_end, .. } = seen;
                while started.elapsed() < READ_FOR {
                    match queue.poll(Duration::ZERO) {
                        None => break,
                        Some(Ok(message)) => {
                            *at_end = false;
                            note(records, &message);
                        }
                        Some(Err(KafkaError::PartitionEOF(_))) => *at_end = true,
                        Some(Err(error)) => return Err(error),
                    }
                }
            }
            if started.elapsed() >= READ_FOR || self.lanes.values().all(|seen| seen.at_end) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// So that the end of those that were not told theirs is told once more.
    fn read_again(&self, partition: i32) -> Result<(), KafkaError> {
        for ((topic, number), seen) in &self.lanes {
            if *number == partition && !seen.at_end {
                let next = seen.records.back().map_or(seen.floor, |(offset, _)| offset + 1);
                self.reader.seek(topic, partition, Offset::Offset(next), REQUEST)?;
            }
        }
        Ok(())
    }
}

fn client(kafka: &Kafka, group: &str) -> Result<BaseConsumer<Door>, Trouble> {
    let mut client = kafka.consumer(group);
    let door = kafka.door("watch");
    door::consumer(client.set("enable.partition.eof", "true"), &door, door.clone())
}

/// Once, however often it is read.
fn note(records: &mut VecDeque<(i64, i64)>, message: &BorrowedMessage<'_>) {
    let offset = message.offset();
    if records.back().is_none_or(|(last, _)| *last < offset) {
        records.push_back((offset, message.timestamp().to_millis().unwrap_or_default()));
    }
}

impl Group {
    /// From where the group would read each of its partitions.
    fn committed(&mut self, kafka: &Kafka, lanes: &[Lane]) -> Result<Vec<(Lane, i64)>, Trouble> {
        let own = lanes.iter().filter(|(topic, _)| self.spec.reads.contains(topic));
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in own {
            asked.add_partition(topic, *partition);
        }
        let answer = match kafka.member(self.spec.name) {
            Some(member) => {
                if let Some(own) = self.consumer.take() {
                    farewell(own);
                }
                let answer = member.committed_offsets(asked, REQUEST);
                give_back(member);
                answer
            }
            None => {
                let own = match &mut self.consumer {
                    Some(own) => own,
                    none => none.insert(client(kafka, self.spec.name)?),
                };
                // Nobody else polls it: its token would end.
                door::hear(own);
                own.committed_offsets(asked, REQUEST)
            }
        };
        let answer = answer.map_err(|error| blame(&error))?;
        let offset = |element: &TopicPartitionListElem<'_>| match element.offset() {
            Offset::Offset(offset) => offset,
            // Nothing yet: the group begins at the beginning, wherever that is by now.
            _ => 0,
        };
        let lane = |element: &TopicPartitionListElem<'_>| {
            (element.topic().to_owned(), element.partition())
        };
        Ok(answer.elements().iter().map(|element| (lane(element), offset(element))).collect())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("partitions", &self.lanes.len()).finish_non_exhaustive()
    }
}
