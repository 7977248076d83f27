//! A processor's log: a session of reader and writer, started over whenever something breaks.

use super::{
    Kafka, blame,
    inbox::{Inbox, Lane, Taken},
    reader::Reader,
    writer::{Writer, farewell},
};
use engine::Spec;
use ports::{Committed, Log, Polled, Settled, Trouble};
use rdkafka::{Offset, TopicPartitionList};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    task::{JoinHandle, coop::unconstrained, spawn_blocking},
};

/// The longest wait of a poll: what arrives ends it sooner.
const POLL: Duration = Duration::from_secs(5);
/// The longest wait for a broker to say that it is there.
const ANSWER: Duration = Duration::from_secs(1);
/// The longest wait for a consumer to leave its group: a broker that lives takes milliseconds.
const LEAVE: Duration = Duration::from_secs(2);
/// A producer with nothing to write for so long, and nothing under way that it will have to, is given back: each costs
/// threads that wake every second for nothing. No shorter than what `statistics` waits for.
const REST: Duration = Duration::from_secs(10);
/// While something is under way, after so long: what lies on the way to the broker may forget a silent connection
/// without a word, and a transaction over it would fail when the work is done. Beside such work, opening another
/// takes no time.
const REST_AT_WORK: Duration = Duration::from_secs(60);

/// A consumer group and a transactional producer that always live and die together.
#[derive(Debug)]
pub struct KafkaLog {
    kafka: Kafka,
    spec: Spec,
    epochs: Arc<AtomicU64>,
    session: State,
    /// The epoch the caller knows of.
    epoch: u64,
    held: BTreeSet<Lane>,
    /// Records that were given out and not settled yet.
    under_way: usize,
}

#[derive(Debug)]
enum State {
    Open(Session),
    Opening(JoinHandle<Result<Session, Trouble>>),
}

#[derive(Debug)]
struct Session {
    reader: Reader,
    inbox: Arc<Inbox>,
    /// None while there is nothing to write, or it is being opened.
    writer: Option<Arc<Writer>>,
    /// The next writer, where somebody will need one: it takes up to half a second.
    opening: Option<JoinHandle<Result<Arc<Writer>, Trouble>>>,
    /// When the writer was opened or last written with.
    written: Instant,
    /// When it was last heard.
    heard: Instant,
}

impl Session {
    /// Blocks.
    fn open(kafka: &Kafka, spec: &Spec, epochs: Arc<AtomicU64>) -> Result<Self, Trouble> {
        // The writer first: it ends what a former process left open, so that the reader finds
        // settled offsets.
        let writer = Some(Arc::new(Writer::open(kafka, spec.name)?));
        let inbox = Arc::new(Inbox::new(epochs));
        let reader = Reader::start(kafka, spec.name, &spec.reads, inbox.clone())?;
        let now = Instant::now();
        Ok(Self { reader, inbox, writer, opening: None, written: now, heard: now })
    }

    /// Takes in a writer that has been opened, hears what the writer tells, and gives it back where it is idle.
    async fn look_after_writer(&mut self, under_way: usize) {
        if let Some(opening) = &mut self.opening
            && opening.is_finished()
        {
            // It does not have to wait, so nothing is lost on the way.
            let opened = unconstrained(opening).await;
            self.opening = None;
            match opened {
                Ok(Ok(writer)) => (self.writer, self.written) = (Some(writer), Instant::now()),
                failed => tracing::debug!(?failed, "a kafka producer will be opened once more"),
            }
        }
        // To hear it blocks where a login has to be renewed.
        let since = self.written.elapsed();
        if since > if under_way == 0 { REST } else { REST_AT_WORK } {
            if let Some(writer) = self.writer.take() {
                // The last of it tells of all it wrote.
                drop(spawn_blocking(move || {
                    writer.hear();
                    farewell(writer);
                }));
            }
        } else if since.min(self.heard.elapsed()) > POLL
            && let Some(writer) = self.writer.clone()
        {
            self.heard = Instant::now();
            drop(spawn_blocking(move || writer.hear()));
        }
    }

    /// Blocks, within bounds.
    fn close(self) {
        self.reader.close(LEAVE);
        // A writer that is opened later than the next session's would shut that out.
        farewell(self.opening.map(|opening| Handle::current().block_on(opening)));
        farewell(self.writer);
    }
}

impl KafkaLog {
    pub(super) async fn open(kafka: Kafka, spec: Spec) -> Result<Self, Trouble> {
        let epochs = Arc::new(AtomicU64::new(0));
        let (k, s, e) = (kafka.clone(), spec.clone(), epochs.clone());
        let opening = spawn_blocking(move || Session::open(&k, &s, e));
        let session = State::Open(opening.await.map_err(lost)??);
        Ok(Self { kafka, spec, epochs, session, epoch: 0, held: BTreeSet::new(), under_way: 0 })
    }

    /// Records are given out: whatever is done with them, it will be written.
    fn will_write(&mut self, records: usize) {
        self.under_way += records;
        if let State::Open(Session { writer: None, opening, .. }) = &mut self.session {
            let (kafka, name) = (self.kafka.clone(), self.spec.name);
            opening.get_or_insert_with(|| {
                spawn_blocking(move || Writer::open(&kafka, name).map(Arc::new))
            });
        }
    }

    /// Drops consumer and producer and starts both anew, in the background.
    fn start_over(&mut self) {
        let (kafka, spec, epochs) = (self.kafka.clone(), self.spec.clone(), self.epochs.clone());
        let (waiting, old) = tokio::sync::oneshot::channel::<Session>();
        let opening = spawn_blocking(move || {
            if let Ok(old) = old.blocking_recv() {
                old.close();
            }
            Session::open(&kafka, &spec, epochs)
        });
        if let State::Open(session) = std::mem::replace(&mut self.session, State::Opening(opening))
        {
            drop(waiting.send(session));
        }
    }

    /// The session, once it is open. Dropping the future loses nothing.
    async fn session(&mut self) -> Result<Option<&mut Session>, Trouble> {
        if let State::Opening(opening) = &mut self.session {
            let Ok(opened) = tokio::time::timeout(POLL, opening).await else { return Ok(None) };
            match opened.map_err(lost)? {
                Ok(session) => self.session = State::Open(session),
                Err(trouble) => {
                    self.start_over();
                    return Err(trouble);
                }
            }
        }
        match &mut self.session {
            State::Open(session) => Ok(Some(session)),
            State::Opening(_) => Ok(None),
        }
    }
}

impl Log for KafkaLog {
    async fn poll(&mut self, want: usize) -> Result<Polled, Trouble> {
        let under_way = self.under_way;
        let Some(session) = self.session().await? else { return Ok(Polled::Idle) };
        session.look_after_writer(under_way).await;
        let inbox = session.inbox.clone();
        let mut taken = inbox.take(self.epoch, want, &self.held);
        if let Taken::Nothing = taken {
            inbox.wait(POLL).await;
            taken = inbox.take(self.epoch, want, &self.held);
        }
        match taken {
            Taken::Nothing => Ok(Polled::Idle),
            Taken::Records(records) => {
                self.will_write(records.len());
                Ok(Polled::Records { epoch: self.epoch, records })
            }
            Taken::Epoch(epoch) => {
                self.under_way = 0;
                self.epoch = epoch;
                self.held.clear();
                Ok(Polled::Rebalanced { epoch })
            }
            Taken::Failure(Trouble::Fatal(fatal)) => Err(fatal.into()),
            Taken::Failure(trouble) => {
                tracing::warn!(processor = self.spec.name, %trouble, "starting over with kafka");
                self.start_over();
                Ok(Polled::Idle)
            }
        }
    }

    fn hold(&mut self, held: Vec<(String, i32)>) {
        self.held = held.into_iter().collect();
    }

    async fn commit(&mut self, epoch: u64, settled: Vec<Settled>) -> Result<Committed, Trouble> {
        let State::Open(Session { inbox, writer, opening, written, .. }) = &mut self.session else {
            return Ok(Committed::Rewound);
        };
        let Some(member) = inbox.member(epoch) else {
            // Mostly work of an older assignment, whose partitions may be somebody else's by now.
            if inbox.epoch() == epoch {
                self.start_over();
            }
            return Ok(Committed::Rewound);
        };
        let offsets = offsets(&settled)?;
        self.under_way = self.under_way.saturating_sub(settled.len());
        let mut at_hand = writer.clone();
        if let Some(opened) = opening {
            // What has failed is tried again, and tells why. Who stops waiting leaves it to the session, which
            // closes it.
            let opened = opened.await;
            *opening = None;
            at_hand = opened.map_err(lost)?.ok();
        }
        let (kafka, name) = (self.kafka.clone(), self.spec.name);
        let transaction = spawn_blocking(move || {
            let writer = at_hand.map_or_else(|| Writer::open(&kafka, name).map(Arc::new), Ok)?;
            let outputs: Vec<_> = settled.into_iter().flat_map(|s| s.outputs).collect();
            writer.transact(&outputs, &offsets, &member)?;
            Ok(writer)
        });
        match transaction.await.map_err(lost)? {
            Ok(used) => {
                (*writer, *written) = (Some(used), Instant::now());
                Ok(Committed::Yes)
            }
            Err(fatal @ Trouble::Fatal(_)) => Err(fatal),
            Err(trouble) => {
                tracing::warn!(processor = self.spec.name, %trouble, "starting over with kafka");
                self.start_over();
                Ok(Committed::Rewound)
            }
        }
    }

    async fn answers(&mut self) -> bool {
        let State::Open(Session { writer, .. }) = &self.session else { return false };
        let (kafka, writer) = (self.kafka.clone(), writer.clone());
        let answered = spawn_blocking(move || match writer {
            Some(writer) => writer.answers(ANSWER),
            None => kafka.answers(ANSWER),
        });
        // The client keeps to its time; if it should not, the answer is no.
        let answered = tokio::time::timeout(ANSWER * 2, answered).await;
        matches!(answered, Ok(Ok(true)))
    }

    async fn close(self) {
        let close = async {
            let session = match self.session {
                State::Open(session) => Some(session),
                State::Opening(opening) => opening.await.ok().and_then(Result::ok),
            };
            if let Some(session) = session {
                drop(spawn_blocking(move || session.close()).await);
            }
        };
        if tokio::time::timeout(LEAVE + ANSWER, close).await.is_err() {
            tracing::warn!("kafka does not answer, leaving without saying goodbye");
        }
    }
}

/// For each partition the offset after its last record that is done.
fn offsets(settled: &[Settled]) -> Result<TopicPartitionList, Trouble> {
    let mut next = BTreeMap::new();
    for Settled { done, .. } in settled {
        let next = next.entry((done.topic.as_str(), done.partition)).or_insert(0);
        *next = done.offset.max(*next - 1) + 1;
    }
    let mut offsets = TopicPartitionList::with_capacity(next.len());
    for ((topic, partition), next) in next {
        let added = offsets.add_partition_offset(topic, partition, Offset::Offset(next));
        added.map_err(|error| blame(&error))?;
    }
    Ok(offsets)
}

fn lost(error: tokio::task::JoinError) -> Trouble {
    Trouble::fatal(format!("a kafka task ended by itself: {error}"))
}
