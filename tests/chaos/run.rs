//! A run: calm at first, to learn what must come of each film; then the faults; then all must
//! settle, and the checker looks.

use crate::{
    checker::{Finding, judge},
    fleet::Fleet,
    mill::World,
    model::{Expected, Kind, Model},
    observed::{Observed, unsettled},
    schedule::{Blow, Lane, Target},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use schemas::keys;
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// One upload in so many cannot become a recording.
const BAD_ONE_IN: usize = 12;
/// After the last fault everything must be done by then.
const SETTLE: Duration = Duration::from_secs(420);

/// How long, and how much of it.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) seed: u64,
    /// The faults go on until this time is over and so many events and faults were reached ...
    pub(crate) at_least: Duration,
    pub(crate) events: usize,
    pub(crate) faults: usize,
    /// ... or until this one is.
    pub(crate) at_most: Duration,
    /// Uploads under way at once.
    pub(crate) in_hand: usize,
    /// Milliseconds between two faults of a target.
    pub(crate) pauses: fn(Target) -> RangeInclusive<u64>,
}

/// What a run was like.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) model: Model,
    pub(crate) observed: Observed,
    pub(crate) findings: Vec<Finding>,
    pub(crate) events: usize,
    pub(crate) faults: usize,
    /// How long each process took to end after SIGTERM, with Kafka killed.
    pub(crate) stopped: Vec<(String, Duration, bool)>,
}

/// What the threads of a run share.
struct Stage {
    world: World,
    fleet: Arc<Fleet>,
    model: Mutex<Model>,
    runtime: Runtime,
    started: Instant,
    /// No more uploads, and no more faults.
    over: AtomicBool,
    watching: AtomicBool,
    /// Committed records by topic, as they come.
    counts: Mutex<BTreeMap<String, usize>>,
    faults: Mutex<BTreeMap<(Target, Blow), usize>>,
    uploaded: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None` where a service is not installed.
pub(crate) fn run(form: &Form) -> Option<Report> {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::start(dir.path()))?;
    let fleet = Fleet::start(dir.path(), world.variables());
    let stage = Stage {
        world,
        fleet,
        model: Mutex::default(),
        runtime,
        started: Instant::now(),
        over: AtomicBool::new(false),
        watching: AtomicBool::new(true),
        counts: Mutex::default(),
        faults: Mutex::default(),
        uploaded: AtomicUsize::new(0),
    };
    let report = std::thread::scope(|scope| {
        scope.spawn(|| stage.watch());
        scope.spawn(|| stage.tend());
        // Whatever happens, the threads end.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.play(form)));
        stage.over.store(true, Ordering::SeqCst);
        stage.watching.store(false, Ordering::SeqCst);
        ended
    });
    if report.as_ref().map_or(true, |report| !report.findings.is_empty()) {
        eprintln!("logs are kept in {}", dir.keep().display());
    }
    Some(report.unwrap_or_else(|cause| std::panic::resume_unwind(cause)))
}

impl Stage {
    fn say(&self, words: &str) {
        println!("[{:7.2}] {words}", self.started.elapsed().as_secs_f32());
    }

    fn play(&self, form: &Form) -> Report {
        println!("seed {}: {:?} to {:?}", form.seed, form.at_least, form.at_most);
        self.calm();
        self.say("calm is over");
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| self.feed(form.seed, form.in_hand));
            for target in Target::ALL {
                let lane = Lane::new(form.seed, target, (form.pauses)(target));
                scope.spawn(move || self.trouble(target, lane));
            }
            self.oversee(form, begun);
            self.over.store(true, Ordering::SeqCst);
        });
        let stopped = self.stop_without_kafka();
        self.fleet.heal();
        let stormed = begun.elapsed();
        self.settle();
        let settled = begun.elapsed().saturating_sub(stormed);
        for (name, took, well) in self.fleet.stop() {
            assert!(well, "{name} did not end well");
            assert!(took < Duration::from_secs(10), "{name} took {took:?} to end");
        }
        let observed = self.look();
        let model = lock(&self.model).clone();
        let findings = judge(&model, &observed);
        self.tell(form, &observed, stormed, settled, &stopped);
        Report {
            events: observed.events.len() + model.uploads.len(),
            faults: self.fault_count(),
            model,
            findings,
            observed,
            stopped,
        }
    }

    fn look(&self) -> Observed {
        self.runtime.block_on(Observed::look(&self.world, self.fleet.scratch()))
    }

    /// Each film twice, without any fault: what comes of them must come of all others.
    fn calm(&self) {
        let films = self.world.films();
        let upload = |film| self.runtime.block_on(self.world.upload(&self.model, Kind::Film(film)));
        let first: Vec<_> = (0..films).map(|film| (film, upload(film))).collect();
        let again: Vec<_> = (0..films).map(|film| (film, upload(film))).collect();
        let bad = [Kind::Text, Kind::Missing, Kind::Foreign, Kind::Garbage];
        for kind in bad {
            self.runtime.block_on(self.world.upload(&self.model, kind));
        }
        let uploads = 2 * films + bad.len();
        self.uploaded.store(uploads, Ordering::SeqCst);
        let started = Instant::now();
        while self.finished() < uploads || !self.unsettled().is_empty() {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "calm, and yet not done: {:?}, {:?}, {:?}",
                self.unsettled(),
                lock(&self.counts),
                self.fleet.fallen()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        let observed = self.look();
        let expected = |video: &String| Expected {
            clips: observed
                .events
                .iter()
                .filter(|e| e.video == *video && e.topic == "clips-ready")
                .count(),
            recording: observed.recordings[&keys::recording("chaos", video, 0)].clone(),
            moments: observed.documents[video].moments,
        };
        for ((film, video), (_, twin)) in first.iter().zip(&again) {
            let expected = (expected(video), expected(twin));
            assert_eq!(expected.0, expected.1, "film {film} gives different recordings");
            self.say(&format!("film {film}: {:?}", expected.0));
            lock(&self.model).films.insert(*film, expected.0);
        }
        let findings = judge(&lock(&self.model), &observed);
        assert!(findings.is_empty(), "without any fault: {findings:#?}");
    }

    /// Films whose recording is ready, and uploads that have a dead letter instead.
    fn finished(&self) -> usize {
        let counts = lock(&self.counts);
        let of = |topic: &str| counts.get(topic).copied().unwrap_or(0);
        of("recording-ready") + of("reelmill.dead.cut")
    }

    fn feed(&self, seed: u64, in_hand: usize) {
        let mut chance = fastrand::Rng::with_seed(seed);
        while !self.over.load(Ordering::SeqCst) {
            if self.uploaded.load(Ordering::SeqCst) >= self.finished() + in_hand {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let bad = [Kind::Text, Kind::Missing, Kind::Foreign, Kind::Garbage];
            let kind = if chance.usize(0..BAD_ONE_IN) == 0 {
                bad[chance.usize(0..bad.len())]
            } else {
                // The films with a face take most of the machine's time: they are the fewer.
                Kind::Film(usize::from(chance.usize(0..4) > 0))
            };
            let well = self.world.kafka_is_well.read().unwrap();
            self.runtime.block_on(self.world.upload(&self.model, kind));
            drop(well);
            self.uploaded.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Faults of one target, one after the other.
    fn trouble(&self, target: Target, lane: Lane) {
        for planned in lane {
            if self.rest(planned.after) {
                return;
            }
            let what = if target == Target::Processes {
                let Some(who) = self.fleet.strike(&planned) else { continue };
                who
            } else {
                target.to_string()
            };
            let down = (target == Target::Kafka).then(|| self.world.kafka_is_well.write().unwrap());
            if target != Target::Processes {
                self.world.strike(target, &planned);
            }
            let (blow, lasts) = (planned.blow, planned.lasts);
            self.say(&format!("{what}: {blow}, {} %, for {lasts:?}", planned.percent));
            *lock(&self.faults).entry((target, blow)).or_default() += 1;
            if target != Target::Processes {
                self.rest(lasts);
                self.world.heal(target);
            }
            drop(down);
        }
    }

    /// Sleeps; true where all is over.
    fn rest(&self, how_long: Duration) -> bool {
        let until = Instant::now() + how_long;
        while Instant::now() < until && !self.over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20).min(until - Instant::now()));
        }
        self.over.load(Ordering::SeqCst)
    }

    fn fault_count(&self) -> usize {
        lock(&self.faults).values().sum()
    }

    fn event_count(&self) -> usize {
        let counts = lock(&self.counts);
        counts.iter().filter(|(t, _)| !t.starts_with("reelmill.")).map(|(_, n)| n).sum()
    }

    fn oversee(&self, form: &Form, begun: Instant) {
        let mut told = Instant::now();
        loop {
            let (events, faults) = (self.event_count(), self.fault_count());
            let enough =
                begun.elapsed() >= form.at_least && events >= form.events && faults >= form.faults;
            if enough || begun.elapsed() >= form.at_most {
                return;
            }
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                let (uploaded, done) = (self.uploaded.load(Ordering::SeqCst), self.finished());
                self.say(&format!(
                    "{events} events, {faults} faults, {done} of {uploaded} uploads"
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// kill -9 for Kafka, SIGTERM for all processes, with work in hand.
    fn stop_without_kafka(&self) -> Vec<(String, Duration, bool)> {
        self.fleet.heal();
        self.say("killing kafka, stopping all");
        let (target, blow) = (Target::Kafka, Blow::Kill);
        let planned = crate::schedule::Planned {
            after: Duration::ZERO,
            blow,
            lasts: Duration::ZERO,
            percent: 100,
            which: 0,
        };
        let down = self.world.kafka_is_well.write().unwrap();
        self.world.strike(target, &planned);
        std::thread::sleep(Duration::from_secs(1));
        let stopped = self.fleet.stop();
        self.world.heal(target);
        drop(down);
        self.fleet.go_on();
        stopped
    }

    fn unsettled(&self) -> Vec<String> {
        self.runtime.block_on(unsettled(&self.world))
    }

    /// Until every processor has settled every record of its topics.
    fn settle(&self) {
        let (started, mut told) = (Instant::now(), Instant::now());
        self.say("settling");
        loop {
            let behind = self.unsettled();
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                let first: Vec<_> = behind.iter().take(4).collect();
                self.say(&format!("{} partitions are behind, {first:?} ...", behind.len()));
            }
            let due = lock(&self.model).uploads.len();
            if behind.is_empty() && self.finished() >= due {
                return;
            }
            if started.elapsed() > SETTLE {
                // What is lost the checker says better.
                self.say(&format!("not settled after {SETTLE:?}: {behind:#?}"));
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Starts processes that have ended.
    fn tend(&self) {
        while self.watching.load(Ordering::SeqCst) {
            self.fleet.tend();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Counts committed records as they come, while Kafka is well.
    fn watch(&self) {
        let ours = reelmill::pipeline::shape().topics();
        let mut next: BTreeMap<(String, i32), i64> = BTreeMap::new();
        while self.watching.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(300));
            let Ok(_well) = self.world.kafka_is_well.read() else { return };
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &self.world.bootstrap)
                .set("group.id", "chaos-watch")
                .set("isolation.level", "read_committed")
                .set("enable.auto.commit", "false")
                .create()
                .unwrap();
            let Ok(metadata) = consumer.fetch_metadata(None, Duration::from_secs(30)) else {
                continue;
            };
            let mut all = TopicPartitionList::new();
            for topic in metadata.topics().iter().filter(|t| ours.contains(t.name())) {
                for partition in topic.partitions() {
                    let lane = (topic.name().to_owned(), partition.id());
                    let from = next.get(&lane).map_or(Offset::Beginning, |at| Offset::Offset(*at));
                    all.add_partition_offset(&lane.0, lane.1, from).unwrap();
                }
            }
            consumer.assign(&all).unwrap();
            let until = Instant::now() + Duration::from_millis(700);
            while Instant::now() < until {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    let topic = message.topic().to_owned();
                    next.insert((topic.clone(), message.partition()), message.offset() + 1);
                    *lock(&self.counts).entry(topic).or_default() += 1;
                }
            }
        }
    }

    fn tell(
        &self,
        form: &Form,
        observed: &Observed,
        stormed: Duration,
        settled: Duration,
        stopped: &[(String, Duration, bool)],
    ) {
        let model = lock(&self.model);
        let events = observed.events.len() + model.uploads.len();
        let rate = events as f32 / stormed.as_secs_f32();
        let dead = stopped.iter().map(|(_, took, _)| *took).max().unwrap_or_default();
        println!("seed {}", form.seed);
        println!("uploads: {}, of which {} are films", model.uploads.len(), model.good());
        println!(
            "events: {events} in {stormed:.1?}, {rate:.1}/s; settled after {settled:.1?} more"
        );
        println!("faults: {}", self.fault_count());
        for ((target, blow), times) in lock(&self.faults).iter() {
            println!("  {times:5}  {target}: {blow}");
        }
        println!("requests hit: {}", self.world.hit());
        println!("put off to retry topics: {}", observed.retries);
        let words = ["work is done again", "starting over with kafka"];
        let said = self.fleet.said(&words);
        println!("transactions given up: {}; sessions with kafka begun anew: {}", said[0], said[1]);
        println!("processes started: {}", self.fleet.lives());
        println!("SIGTERM with a killed broker: {dead:.2?} at most");
        let fallen = self.fleet.fallen();
        println!("ended by themselves: {}", fallen.len());
        for words in fallen.iter().take(20) {
            println!("  {words}");
        }
    }
}
