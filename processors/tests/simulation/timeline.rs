//! Simulated time, and the one source of chance.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    ops::RangeInclusive,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// When a sleeper wakes: the time, then a draw, then the order of falling asleep.
type Turn = (i64, u32, u64);

/// Time, chance and the trace of one world. Cloning shares.
///
/// All that a world does follows from the draws made here, in order: who of those that wake at the
/// same moment goes first, how long a call takes, what fails. So one seed is one course of events.
#[derive(Clone)]
pub(crate) struct Timeline(Arc<Mutex<Inner>>);

struct Inner {
    /// Milliseconds since the world began.
    now: i64,
    chance: fastrand::Rng,
    sleepers: BTreeMap<Turn, Waker>,
    slept: u64,
    trace: Trace,
}

/// What is kept of the course of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trace {
    Nothing,
    /// FNV-1a over all lines.
    Hash(u64),
    Lines(Vec<String>),
}

impl Trace {
    pub(crate) fn hash() -> Self {
        Self::Hash(0xcbf2_9ce4_8422_2325)
    }
}

impl Timeline {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            now: 0,
            chance: fastrand::Rng::with_seed(seed),
            sleepers: BTreeMap::new(),
            slept: 0,
            trace,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the world began.
    pub(crate) fn now(&self) -> i64 {
        self.lock().now
    }

    /// A number out of a range, both ends included.
    pub(crate) fn draw(&self, range: RangeInclusive<i64>) -> i64 {
        self.lock().chance.i64(range)
    }

    /// True so many times in a thousand.
    pub(crate) fn chance(&self, per_mille: i64) -> bool {
        per_mille > 0 && self.draw(0..=999) < per_mille
    }

    /// An index below `length`, which is not 0.
    pub(crate) fn index(&self, length: usize) -> usize {
        self.lock().chance.usize(0..length)
    }

    pub(crate) fn sleep(&self, ms: i64) -> Sleep {
        Sleep { timeline: self.clone(), until: self.now() + ms.max(0), turn: None }
    }

    /// When the next sleeper wakes.
    pub(crate) fn next(&self) -> Option<i64> {
        self.lock().sleepers.first_key_value().map(|(turn, _)| turn.0)
    }

    /// Moves time on to the next sleeper and wakes it, and no other.
    pub(crate) fn wake_next(&self) -> bool {
        let mut inner = self.lock();
        let Some((turn, waker)) = inner.sleepers.pop_first() else { return false };
        inner.now = inner.now.max(turn.0);
        drop(inner);
        waker.wake();
        true
    }

    pub(crate) fn move_to(&self, now: i64) {
        let mut inner = self.lock();
        inner.now = inner.now.max(now);
    }

    /// Notes what happens now.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let mut inner = self.lock();
        let now = inner.now;
        match &mut inner.trace {
            Trace::Nothing => {}
            Trace::Hash(hash) => {
                for byte in format!("{now} {what}\n").bytes() {
                    *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
            Trace::Lines(lines) => {
                lines.push(format!("{:>9}.{:03} {what}", now / 1000, now % 1000));
            }
        }
    }

    pub(crate) fn trace(&self) -> Trace {
        self.lock().trace.clone()
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Ends when its turn has come. Dropping it gives the turn up.
pub(crate) struct Sleep {
    timeline: Timeline,
    until: i64,
    turn: Option<Turn>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let timeline = self.timeline.clone();
        let mut inner = timeline.lock();
        if let Some(turn) = self.turn {
            return match inner.sleepers.get_mut(&turn) {
                Some(waker) => {
                    waker.clone_from(context.waker());
                    Poll::Pending
                }
                None => Poll::Ready(()),
            };
        }
        inner.slept += 1;
        let turn = (self.until, inner.chance.u32(..), inner.slept);
        inner.sleepers.insert(turn, context.waker().clone());
        self.turn = Some(turn);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(turn) = self.turn {
            self.timeline.lock().sleepers.remove(&turn);
        }
    }
}
