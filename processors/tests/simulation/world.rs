//! One world: built from its seed, run until everything is settled, and judged.

use crate::{
    broker::Broker,
    bugs::Bug,
    counting,
    ledger::{Broken, Ledger, rule},
    log::Opener,
    mill::{self, BUCKET, GROUPS, put, schemas},
    plan::{Fault, Kind, Plan, Video, Weather},
    process::Process,
    store::{SimRegistry, SimStore},
    studio::{Documents, Studio},
    timeline::{Timeline, Trace},
    verdicts,
};
use engine::{CancellationToken, Context, Fatal, Metrics, Running, memory::MemoryStore};
use ports::ObjectRef;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::task::AbortHandle;

/// Once the faults have ended everything is settled within this time, ms: some of the longest
/// delays of the retry topic, one after the other.
const SETTLED_WITHIN: i64 = 2 * 3_600_000;

/// What became of a world.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) broken: Option<Broken>,
    pub(crate) trace: Trace,
    /// Events settled, by all processors.
    pub(crate) settled: u64,
    /// Lives of processes.
    pub(crate) lives: u32,
    /// How long the world lasted, ms.
    pub(crate) lasted: i64,
}

/// Lives one world through.
pub(crate) fn live(seed: u64, bug: Option<Bug>, trace: Trace) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread()
        // So that a yield ends only when nothing else is left to do.
        .event_interval(u32::MAX)
        .build()
        .unwrap();
    let story = runtime.block_on(async {
        let mut world = World::new(seed, bug, trace);
        world.run().await;
        world.end()
    });
    drop(runtime);
    story
}

/// A process that is alive.
#[derive(Debug)]
struct Alive {
    process: Arc<Process>,
    context: Context,
    tasks: Vec<AbortHandle>,
    /// Since when it has been asked to stop.
    stopping: Option<i64>,
    /// Runners that have not ended.
    left: usize,
}

/// How a runner ended, told by a task of its own.
type Ended = Arc<Mutex<VecDeque<(usize, u32, &'static str, Result<(), Fatal>)>>>;

#[derive(Debug)]
struct World {
    plan: Plan,
    timeline: Timeline,
    weather: Arc<Weather>,
    broker: Arc<Broker>,
    objects: Arc<MemoryStore>,
    documents: Documents,
    bug: Option<Bug>,
    alive: BTreeMap<usize, Alive>,
    ended: Ended,
    lives: u32,
    /// What is to happen, by time.
    agenda: BTreeMap<(i64, usize), Due>,
    noted: usize,
    /// Everything is settled; the last processes are stopping.
    closing: bool,
}

#[derive(Debug, Clone)]
enum Due {
    Start(usize),
    Publish(Video, bool),
    Delete(String),
    Fault(Fault),
    /// The process must have stopped by now.
    Stopped(usize, u32),
}

impl World {
    fn new(seed: u64, bug: Option<Bug>, trace: Trace) -> Self {
        let timeline = Timeline::new(seed, trace);
        let plan = Plan::draw(&timeline, GROUPS.len());
        timeline.note(format_args!("{plan:#?}"));
        let objects = Arc::new(MemoryStore::default());
        let ledger = Ledger::new(schemas(), objects.clone(), plan.policy.fuse);
        let broker = Broker::new(plan.partitions, &timeline, ledger, bug);
        let weather = Arc::new(plan.weather.clone());
        let mut world = Self {
            timeline,
            weather,
            broker,
            objects,
            documents: Documents::default(),
            bug,
            alive: BTreeMap::new(),
            ended: Ended::default(),
            lives: 0,
            agenda: BTreeMap::new(),
            noted: 0,
            closing: false,
            plan,
        };
        for process in 0..world.plan.processes {
            let at = world.timeline.draw(0..=2_000);
            world.at(at, Due::Start(process));
        }
        for video in world.plan.videos.clone() {
            world.at(video.at, Due::Publish(video.clone(), false));
            match video.kind {
                Kind::Doubled | Kind::Replayed => {
                    world.at(video.again_at, Due::Publish(video, true));
                }
                Kind::Deleted => world.at(video.again_at, Due::Delete(video.name)),
                _ => {}
            }
        }
        for (at, fault) in world.plan.faults.clone() {
            world.at(at, Due::Fault(fault));
        }
        world
    }

    fn at(&mut self, time: i64, due: Due) {
        self.noted += 1;
        self.agenda.insert((time, self.noted), due);
    }

    fn ledger(&self) -> &Ledger {
        &self.broker.ledger
    }

    /// Until everything is settled, or a rule is broken.
    async fn run(&mut self) {
        let last = self.agenda.keys().map(|(at, _)| *at).max().unwrap_or(0);
        let deadline = last.max(self.weather.until) + SETTLED_WITHIN;
        let mut settled = u64::MAX;
        while self.step().await {
            let now = self.timeline.now();
            if now > deadline {
                let how = format!("still waiting: {}", self.broker.waiting());
                return self.ledger().breaks(rule::SETTLES, how);
            }
            // Only a commit can have been the last one.
            let so_far = self.ledger().book().settled;
            if so_far != settled && now >= self.weather.until && self.agenda.is_empty() {
                settled = so_far;
                if self.broker.idle(GROUPS.len()) {
                    break;
                }
            }
        }
        self.closing = true;
        for number in self.alive.keys().copied().collect::<Vec<_>>() {
            self.stop(number);
        }
        while self.step().await {}
    }

    /// The next thing that happens, and all that follows from it at once. False at the end of the
    /// world: nobody is left, or a rule is broken.
    async fn step(&mut self) -> bool {
        // Until nobody has anything to do.
        tokio::task::yield_now().await;
        loop {
            let ended = self.ended.lock().unwrap().pop_front();
            let Some((number, life, group, result)) = ended else { break };
            self.runner_ended(number, life, group, result);
        }
        let over = self.closing && self.alive.is_empty();
        if over || self.ledger().book().broken.is_some() {
            return false;
        }
        let due = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let missed = self.broker.next_missed();
        let slept = self.timeline.next();
        let Some(first) = [due, missed, slept].into_iter().flatten().min() else {
            let how = format!("nobody does anything: {}", self.broker.waiting());
            self.ledger().breaks(rule::SETTLES, how);
            return false;
        };
        if due == Some(first) {
            self.timeline.move_to(first);
            let (_, due) = self.agenda.pop_first().unwrap();
            self.happen(due);
        } else if missed == Some(first) {
            self.timeline.move_to(first);
            self.broker.miss_next();
        } else {
            self.timeline.wake_next();
        }
        true
    }

    fn happen(&mut self, due: Due) {
        if !matches!(due, Due::Stopped(..)) {
            self.timeline.note(format_args!("--- {due:?}"));
        }
        let now = self.timeline.now();
        match due {
            Due::Start(number) => self.start(number),
            Due::Publish(video, again) => {
                self.broker.publish(mill::upload(&self.objects, &video, again));
            }
            Due::Delete(video) => {
                let at = ObjectRef::new(BUCKET, ::schemas::keys::tombstone(&video));
                put(&self.objects, &at, "");
                self.ledger().tombstone(&video, now);
            }
            Due::Stopped(number, life) => {
                let late = self.alive.get(&number).filter(|alive| alive.process.life == life);
                if let Some(late) = late {
                    let how = format!("{} runners of p{number}.{life} still run", late.left);
                    self.ledger().breaks(rule::STOP, how);
                }
            }
            Due::Fault(fault) => self.fault(fault),
        }
    }

    fn fault(&mut self, fault: Fault) {
        let now = self.timeline.now();
        match fault {
            Fault::Crash(number) => self.crash(number),
            Fault::Stop(number) => self.stop(number),
            Fault::Freeze { process, ms, evicted } => {
                let Some(alive) = self.alive.get(&process) else { return };
                if alive.stopping.is_some() {
                    return;
                }
                alive.process.freeze(now + ms);
                if evicted {
                    for group in GROUPS {
                        self.broker.evict(group, process, now + ms);
                    }
                }
            }
            Fault::Deaf { process, group, ms } => {
                self.broker.evict(GROUPS[group], process, now + ms);
            }
            Fault::Rebalance(group) => self.broker.rebalance(GROUPS[group]),
            Fault::Skew { process, ms } => {
                if let Some(alive) = self.alive.get(&process) {
                    alive.process.skew(ms);
                }
            }
        }
    }

    fn start(&mut self, number: usize) {
        self.lives += 1;
        let life = self.lives;
        let skewed = self.timeline.now() < self.weather.until && self.timeline.chance(100);
        let skew = if skewed { self.timeline.draw(-5_000..=5_000) } else { 0 };
        let process = Process::new(number, life, skew, &self.timeline, &self.weather);
        let store = SimStore {
            objects: self.objects.clone(),
            process: process.clone(),
            ledger: self.broker.ledger.clone(),
            bug: self.bug,
        };
        let context = Context {
            registry: Arc::new(SimRegistry { schemas: schemas(), process: process.clone() }),
            store: Arc::new(store.clone()),
            bucket: BUCKET.to_owned(),
            clock: process.clone(),
            policy: self.plan.policy.clone(),
            metrics: Metrics::new().unwrap(),
            traces: None,
            shutdown: CancellationToken::new(),
            concurrency: self.plan.concurrency,
        };
        let opener = Arc::new(Opener {
            broker: self.broker.clone(),
            process: process.clone(),
            partitions: self.plan.partitions,
        });
        let pipeline = mill::pipeline(&Studio { store, documents: self.documents.clone() });
        let running = pipeline.start(opener, &context);
        let left = running.len();
        let mut tasks = Vec::with_capacity(left);
        for Running { name, task } in running {
            tasks.push(task.abort_handle());
            let ended = self.ended.clone();
            tokio::spawn(async move {
                // One that was aborted has nothing to tell.
                if let Ok(result) = task.await {
                    ended.lock().unwrap().push_back((number, life, name, result));
                }
            });
        }
        self.alive.insert(number, Alive { process, context, tasks, stopping: None, left });
    }

    fn crash(&mut self, number: usize) {
        let Some(alive) = self.alive.remove(&number) else { return };
        for task in &alive.tasks {
            task.abort();
        }
        counting::check(
            &alive.context.metrics,
            number,
            alive.process.life,
            &mut self.ledger().book(),
        );
        let again = self.timeline.now() + self.timeline.draw(0..=20_000);
        self.at(again, Due::Start(number));
    }

    fn stop(&mut self, number: usize) {
        let now = self.timeline.now();
        let Some(alive) = self.alive.get_mut(&number) else { return };
        if alive.stopping.is_some() {
            return;
        }
        alive.stopping = Some(now);
        alive.context.shutdown.cancel();
        // Grace, a transaction in hand on both sides of it, and the good-bye.
        let grace = i64::try_from(self.plan.policy.grace.as_millis()).unwrap();
        let frozen = (alive.process.frozen_until() - now).max(0);
        let by = now + grace + 6 * self.weather.call_ms + frozen;
        let life = alive.process.life;
        self.at(by, Due::Stopped(number, life));
    }

    fn runner_ended(
        &mut self,
        number: usize,
        life: u32,
        group: &'static str,
        result: Result<(), Fatal>,
    ) {
        self.timeline.note(format_args!("p{number}.{life} {group} ended: {result:?}"));
        let Some(alive) = self.alive.get_mut(&number).filter(|a| a.process.life == life) else {
            return;
        };
        alive.left -= 1;
        let stopping = alive.stopping.is_some();
        match result {
            Ok(()) if !stopping => {
                self.ledger().breaks(rule::ALIVE, format!("{group} ended without being asked"));
            }
            Ok(()) => {}
            Err(fatal) if fatal.0.contains("gave up") => {
                let weather = &self.weather;
                let behind = self.ledger().given_up((number, life, group)) + 1;
                // One effect at a time is one verdict at a time: all but the last are committed.
                let early = self.plan.concurrency == 1 && behind < self.plan.policy.fuse;
                let calm = weather.store + weather.registry + weather.panic == 0;
                if early || (calm && group != "sweep") {
                    self.ledger().breaks(rule::FUSE, format!("{group} blew it: {fatal}"));
                }
                // As under `run`: the process ends, and somebody starts it again.
                return self.crash(number);
            }
            Err(fatal) => self.ledger().breaks(rule::ALIVE, format!("{group}: {fatal}")),
        }
        if stopping && self.alive.get(&number).is_some_and(|alive| alive.left == 0) {
            let alive = self.alive.remove(&number).unwrap();
            self.agenda
                .retain(|_, due| !matches!(due, Due::Stopped(n, l) if (*n, *l) == (number, life)));
            counting::check(
                &alive.context.metrics,
                number,
                alive.process.life,
                &mut self.ledger().book(),
            );
            if !self.closing {
                let again = self.timeline.now() + self.timeline.draw(0..=20_000);
                self.at(again, Due::Start(number));
            }
        }
    }

    fn end(self) -> Story {
        let mut book = self.ledger().book();
        if book.broken.is_none() {
            let found = self.documents.lock().unwrap();
            let judged = verdicts::judge(&self.plan, &self.broker, &self.objects, &found, &book);
            book.broken = judged.err();
        }
        Story {
            broken: book.broken.clone(),
            trace: self.timeline.trace(),
            settled: book.settled,
            lives: self.lives,
            lasted: self.timeline.now(),
        }
    }
}
