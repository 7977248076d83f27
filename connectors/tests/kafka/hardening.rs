//! Partitions lost and revoked while an effect is under way, members that sleep, a broker that stays
//! away: each event is answered once.

use crate::{
    numbers::{copies, copy_all, impatient, records, spec},
    pipeline::{Double, Running, answers, asked, run_with, wait_for},
    proxy::Proxy,
    world::World,
};
use connectors::kafka::Kafka;
use engine::{Connector, LogOpener, Trouble, memory::MemoryRegistry};
use ports::Log;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ops::Range,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    sync::watch,
    time::sleep,
};

/// Doubles numbers as soon as it is opened.
#[derive(Clone)]
struct Gate {
    open: watch::Sender<bool>,
    waiting: Arc<AtomicUsize>,
}

impl Gate {
    fn new(open: bool) -> Self {
        Self { open: watch::Sender::new(open), waiting: Arc::default() }
    }

    fn open(&self) {
        self.open.send_replace(true);
    }

    /// Until so many effects are under way.
    async fn holds(&self, effects: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.waiting.load(Ordering::SeqCst) < effects {
            assert!(Instant::now() < deadline, "no effect is under way");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Connector<Double> for Gate {
    async fn perform(&self, double: &Double) -> Result<i64, Trouble> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        Ok(2 * double.0)
    }
}

async fn ask(kafka: &Kafka, registry: &MemoryRegistry, numbers: Range<i64>) {
    for number in numbers {
        let mut record = asked(registry, number).await;
        record.key = Some(number.to_string().into());
        kafka.produce(record).await.unwrap();
    }
}

/// Waits for the answers to the numbers below `count`, and a moment longer for some too many.
async fn all_once(kafka: &Kafka, registry: &MemoryRegistry, count: i64) {
    wait_for(kafka, "out", usize::try_from(count).unwrap()).await;
    sleep(Duration::from_millis(500)).await;
    let out = kafka.read_all("out").await.unwrap();
    assert_eq!(answers(registry, &out).await, (0..count).map(|n| 2 * n).collect::<Vec<_>>());
}

async fn stop(running: Running) -> u64 {
    running.context.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    let text = running.context.metrics.gather();
    let emitted = text.lines().filter(|line| line.contains("verdict=\"emitted\""));
    emitted.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_whose_partition_was_lost_meanwhile_is_not_committed() {
    let Some(world) = World::new().await else { return };
    let (kafka, registry) = (world.kafka("asking"), Arc::new(MemoryRegistry::default()));
    ask(&kafka, &registry, 0..12).await;
    let proxy = Proxy::start(&world.bootstrap(), 0).await;
    let slow = Gate::new(false);
    let cut_off = impatient(&proxy.bootstrap(), "cut off");
    let cut_off = run_with(cut_off, registry.clone(), slow.clone());
    slow.holds(1).await;
    proxy.freeze();
    let heir = impatient(&world.bootstrap(), "heir");
    let heir = run_with(heir, registry.clone(), Gate::new(true));
    all_once(&kafka, &registry, 12).await;
    // Its effects end while it does not know yet, and it tries to commit them.
    slow.open();
    sleep(Duration::from_millis(500)).await;
    proxy.thaw();
    sleep(Duration::from_secs(2)).await;
    ask(&kafka, &registry, 12..24).await;
    all_once(&kafka, &registry, 24).await;
    assert_eq!(stop(cut_off).await + stop(heir).await, 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_whose_partition_was_revoked_meanwhile_comes_once() {
    let Some(world) = World::new().await else { return };
    let (kafka, registry) = (world.kafka("asking"), Arc::new(MemoryRegistry::default()));
    ask(&kafka, &registry, 0..12).await;
    let slow = Gate::new(false);
    let first = run_with(world.kafka("first"), registry.clone(), slow.clone());
    slow.holds(4).await;
    let second = run_with(world.kafka("second"), registry.clone(), Gate::new(true));
    // The second has answered its share; the first, which holds the rest, has it in hand again.
    wait_for(&kafka, "out", 1).await;
    slow.holds(5).await;
    slow.open();
    all_once(&kafka, &registry, 12).await;
    assert_eq!(stop(first).await + stop(second).await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stays_away_is_waited_for() {
    let Some(mut world) = World::new().await else { return };
    let away = if std::env::var_os("REELMILL_LONG").is_some() { 240 } else { 15 };
    let (kafka, registry) = (world.kafka("asking"), Arc::new(MemoryRegistry::default()));
    let gate = Gate::new(true);
    let running = run_with(world.kafka("a"), registry.clone(), gate.clone());
    ask(&kafka, &registry, 0..10).await;
    all_once(&kafka, &registry, 10).await;
    gate.open.send_replace(false);
    ask(&kafka, &registry, 10..20).await;
    gate.holds(14).await;
    world.stop().await;
    // Effects end while there is nobody to tell.
    gate.open();
    sleep(Duration::from_secs(away)).await;
    world.start_again().await;
    all_once(&kafka, &registry, 20).await;
    ask(&kafka, &registry, 20..30).await;
    all_once(&kafka, &registry, 30).await;
    assert_eq!(stop(running).await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_a_broker_takes_five_seconds_at_most() {
    let Some(mut world) = World::new().await else { return };
    let (kafka, registry) = (world.kafka("asking"), Arc::new(MemoryRegistry::default()));
    let running = run_with(world.kafka("a"), registry.clone(), Gate::new(true));
    ask(&kafka, &registry, 0..4).await;
    all_once(&kafka, &registry, 4).await;
    world.stop().await;
    sleep(Duration::from_secs(2)).await;
    let stopping = Instant::now();
    stop(running).await;
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
}

/// Runs in a process of its own, which the next test stops and wakes up.
const SLEEPER: &str = "hardening::sleeper";

#[tokio::test(flavor = "multi_thread")]
async fn sleeper() {
    let Ok(bootstrap) = std::env::var("REELMILL_TEST_SLEEPER") else { return };
    let mut log = impatient(&bootstrap, "sleeper").open(&spec()).await.unwrap();
    let (epoch, taken) = records(&mut log, 40).await;
    eprintln!("taken {}", taken.len());
    let mut line = String::new();
    tokio::task::block_in_place(|| std::io::stdin().read_line(&mut line)).unwrap();
    eprintln!("committed {:?}", log.commit(epoch, copies(&taken)).await);
    // Gone without a word, as after kill -9.
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_sleeps_through_its_replacement_commits_nothing() {
    let Some(world) = World::new().await else { return };
    world.ask(0..40).await;
    let mut sleeper = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", SLEEPER, "--nocapture", "--test-threads=1"])
        .env("REELMILL_TEST_SLEEPER", world.bootstrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(sleeper.stderr.take().unwrap()).lines();
    let said_of =
        |what: &'static str, line: String| line.split_once(what).map(|(_, s)| s.to_owned());
    let taken = loop {
        let line = said.next_line().await.unwrap().unwrap();
        if let Some(taken) = said_of("taken ", line) {
            break taken;
        }
    };
    assert_ne!(taken, "0");
    let pid = Pid::from_raw(i32::try_from(sleeper.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::Stop).unwrap();
    let mut heir = impatient(&world.bootstrap(), "heir").open(&spec()).await.unwrap();
    copy_all(&mut heir, 40).await;
    // It wakes up with its work done, as far as it knows, and commits at once.
    sleeper.stdin.take().unwrap().write_all(b"commit\n").await.unwrap();
    kill_process(pid, Signal::Cont).unwrap();
    let committed = loop {
        let line = said.next_line().await.unwrap().unwrap();
        if let Some(committed) = said_of("committed ", line) {
            break committed;
        }
    };
    assert_eq!(committed, "Ok(Rewound)");
    sleeper.wait().await.unwrap();
    heir.close().await;
    assert_eq!(world.answered().await, (0..40).collect::<Vec<_>>());
}
