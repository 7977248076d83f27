//! kill -9 at random moments under transactional load, and a checker for what is left.
//!
//! One run in the ordinary tests, five with `REELMILL_LONG` set; `REELMILL_SEED` repeats one.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    admin::{AdminOptions, NewTopic, TopicReplication},
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedMessage,
    producer::{FutureRecord, Producer},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::{sleep, timeout_at},
};

use crate::support::{Clients, PATIENCE, Read, abort, blocking, commit, in_time, send, values};

const KILLS: usize = 7;
/// Copied from one topic to another, exactly once.
const RECORDS: usize = 2_000;
const PARTITIONS: usize = 4;

/// SplitMix64 (Steele, Lea and Flood, 2014): random enough for moments and sizes.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }
}

/// A broker in a process of its own, which can be killed.
pub(crate) async fn serve(data: &Path, port: u16) -> (Child, SocketAddr) {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/serve");
    let began = Instant::now();
    loop {
        let mut child = Command::new(&program)
            .arg(data)
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        if let Ok(address) = line.trim().parse() {
            return (child, address);
        }
        // The killed broker's port or lock may take a moment to become free.
        assert!(began.elapsed() < PATIENCE, "{:?}", child.wait_with_output().await);
        sleep(Duration::from_millis(50)).await;
    }
}

/// Copies `in` to `out` exactly once, and starts over whenever anything goes wrong.
async fn copy(clients: Clients, done: Arc<AtomicBool>) -> Copied {
    let mut copied = Copied::default();
    while !done.load(Ordering::Relaxed) {
        if copy_until_trouble(&clients, &done, &mut copied).await.is_err() {
            copied.troubles += 1;
            sleep(Duration::from_millis(100)).await;
        }
    }
    copied
}

#[derive(Debug, Default)]
struct Copied {
    transactions: usize,
    troubles: usize,
}

async fn copy_until_trouble(
    clients: &Clients,
    done: &AtomicBool,
    copied: &mut Copied,
) -> Result<(), KafkaError> {
    let producer = clients.transactional("copy.0", 20_000).await?;
    let consumer = clients.consumer("copy", "read_committed");
    consumer.subscribe(&["in"])?;
    while !done.load(Ordering::Relaxed) {
        // Before polling: a rebalance after this makes the commit fail, as it must.
        let membership = consumer.group_metadata();
        let mut batch: Vec<OwnedMessage> = Vec::new();
        let until = tokio::time::Instant::now() + Duration::from_millis(50);
        while batch.len() < 20
            && let Ok(received) = timeout_at(until, consumer.recv()).await
        {
            match received {
                Ok(message) => batch.push(message.detach()),
                // The broker is being restarted; the client reconnects by itself.
                Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
                )) => sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(error),
            }
        }
        let (Some(membership), false) = (membership, batch.is_empty()) else { continue };
        producer.begin_transaction()?;
        let mut next = HashMap::new();
        let mut sent = Vec::new();
        for message in &batch {
            let record = FutureRecord::<str, _>::to("out")
                .payload(message.payload().unwrap_or_default())
                .partition(message.partition());
            sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
            next.insert(message.partition(), message.offset() + 1);
        }
        let written = async {
            for delivery in sent {
                delivery.await.map_err(|_| KafkaError::Canceled)?.map_err(|(error, _)| error)?;
            }
            let mut offsets = TopicPartitionList::new();
            for (partition, next) in next {
                offsets.add_partition_offset("in", partition, Offset::Offset(next))?;
            }
            blocking(&producer, move |producer| {
                producer.send_offsets_to_transaction(&offsets, &membership, PATIENCE)
            })
            .await?;
            commit(&producer).await
        };
        if let Err(error) = written.await {
            // If even this fails, the next `init_transactions` aborts.
            drop(abort(&producer).await);
            return Err(error);
        }
        copied.transactions += 1;
    }
    Ok(())
}

/// What the writer of a transaction was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Committed,
    Aborted,
    /// The broker was killed before it could answer.
    Nothing,
}

/// Writes transactions of one to eight records over all partitions, and aborts some of them.
async fn keep_ledger(clients: Clients, seed: u64, done: Arc<AtomicBool>) -> Vec<Told> {
    let (mut random, mut told) = (Random(seed), Vec::new());
    while !done.load(Ordering::Relaxed) {
        let Ok(producer) = clients.transactional("ledger.0", 20_000).await else { continue };
        while !done.load(Ordering::Relaxed) && producer.begin_transaction().is_ok() {
            let (number, records) = (told.len(), 1 + random.below(8) as usize);
            told.push(Told::Nothing);
            let values = (0..records).map(|i| format!("{number}:{i}:{records}"));
            let sent = send(&producer, "ledger", PARTITIONS, values).await;
            let commits = random.below(4) > 0;
            let ended = match sent {
                Ok(()) if commits => commit(&producer).await.map(|()| Told::Committed),
                _ => abort(&producer).await.map(|()| Told::Aborted),
            };
            match ended {
                Ok(outcome) => told[number] = outcome,
                // A new epoch aborts whatever this one left open.
                Err(_) => break,
            }
        }
    }
    told
}

/// Whole transactions only, each record once, all that were promised and none that was taken back.
fn check_ledger(told: &[Told], read: &[Read]) -> Result<(), String> {
    let mut transactions: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for record in read {
        let parts: Vec<usize> = record.value.split(':').map(|part| part.parse().unwrap()).collect();
        transactions.entry(parts[0]).or_default().push((parts[1], parts[2]));
    }
    for (number, records) in &mut transactions {
        records.sort_unstable();
        let size = records[0].1;
        if *records != (0..size).map(|i| (i, size)).collect::<Vec<_>>() {
            return Err(format!("transaction {number} is torn or doubled: {records:?}"));
        }
        if told[*number] == Told::Aborted {
            return Err(format!("transaction {number} was taken back and is there"));
        }
    }
    match (0..told.len()).find(|i| told[*i] == Told::Committed && !transactions.contains_key(i)) {
        Some(lost) => Err(format!("transaction {lost} was promised and is lost")),
        None => Ok(()),
    }
}

async fn create_topics(clients: &Clients) {
    // Small segments, so that crashes also hit their seams.
    let topics = ["in", "out", "ledger"].map(|name| {
        NewTopic::new(name, PARTITIONS as i32, TopicReplication::Fixed(1))
            .set("segment.bytes", "8192")
    });
    let created = clients.admin().create_topics(&topics, &AdminOptions::new()).await.unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

async fn run(seed: u64) {
    println!("seed {seed}: {KILLS} kills");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut child, address) = serve(folder.path(), 0).await;
    let clients = Clients { bootstrap: address.to_string() };
    create_topics(&clients).await;
    let expected: Vec<String> = (0..RECORDS).map(|i| format!("{i:05}")).collect();

    let done = Arc::new(AtomicBool::new(false));
    let copying = tokio::spawn(copy(clients.clone(), done.clone()));
    let ledger_done = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(keep_ledger(clients.clone(), seed, ledger_done.clone()));
    let producing: JoinHandle<()> = tokio::spawn({
        let (producer, values) = (clients.producer(), expected.clone());
        async move {
            for values in values.chunks(20) {
                send(&producer, "in", PARTITIONS, values.to_vec()).await.unwrap();
                sleep(Duration::from_millis(40)).await;
            }
        }
    });
    for _ in 0..KILLS {
        sleep(Duration::from_millis(200 + random.below(1_000))).await;
        child.kill().await.unwrap();
        (child, _) = serve(folder.path(), address.port()).await;
    }
    in_time(producing).await.unwrap();
    ledger_done.store(true, Ordering::Relaxed);
    let told = in_time(writing).await.unwrap();

    let read = in_time(clients.read("out", "read_committed", RECORDS)).await;
    done.store(true, Ordering::Relaxed);
    let copied = in_time(copying).await.unwrap();
    assert_eq!(values(&read), expected, "{copied:?}");
    assert_eq!(values(&in_time(clients.read("in", "read_committed", RECORDS)).await), expected);
    let ends = clients.committed("copy", "in").await;
    assert_eq!(ends.len(), PARTITIONS);
    assert!(ends.values().all(|end| matches!(end, Offset::Offset(_))), "{ends:?}");
    assert!(copied.transactions > 10, "{copied:?}");

    // Whatever the last one left open is aborted now.
    drop(clients.transactional("ledger.0", 20_000).await.unwrap());
    let promised = told.iter().filter(|told| **told == Told::Committed).count();
    let unknown = told.iter().filter(|told| **told == Told::Nothing).count();
    let ledger = in_time(clients.read("ledger", "read_committed", promised)).await;
    check_ledger(&told, &ledger).unwrap();
    println!(
        "seed {seed}: {} copied in {} transactions with {} troubles; {promised} of {} ledger \
         transactions promised, {unknown} without an answer; nothing lost, doubled or torn",
        read.len(),
        copied.transactions,
        copied.troubles,
        told.len(),
    );
    assert!(promised > 20, "{told:?}");
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_in_the_middle_of_transactions_loses_doubles_and_tears_nothing() {
    let seed = std::env::var("REELMILL_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = match seed {
        Some(seed) => vec![seed],
        None if std::env::var_os("REELMILL_LONG").is_some() => (1..=5).collect(),
        None => vec![1],
    };
    for seed in seeds {
        run(seed).await;
    }
}

#[test]
fn the_checker_finds_what_is_lost_doubled_torn_or_taken_back() {
    use Told::{Aborted, Committed, Nothing};
    let read = |values: &[&str]| -> Vec<Read> {
        let read = |value: &&str| Read { partition: 0, offset: 0, value: (*value).to_owned() };
        values.iter().map(read).collect()
    };
    let finds = |told: &[Told], values: &[&str]| check_ledger(told, &read(values)).is_err();
    assert!(!finds(&[Committed, Aborted, Nothing], &["0:0:2", "0:1:2"]));
    assert!(!finds(&[Committed, Nothing], &["0:0:1", "1:1:2", "1:0:2"]));
    assert!(finds(&[Committed], &[]), "lost");
    assert!(finds(&[Committed], &["0:0:2"]), "torn");
    assert!(finds(&[Nothing], &["0:1:2"]), "torn");
    assert!(finds(&[Committed], &["0:0:1", "0:0:1"]), "doubled");
    assert!(finds(&[Aborted], &["0:0:1"]), "taken back");
}
