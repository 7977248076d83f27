//! Several threads that look at the pictures of one film.

use crate::VisionError;
use media::MediaError;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, ScopedJoinHandle},
};

/// Pictures that wait for each thread: bounds memory.
const WAITING: usize = 3;

/// Opens the eyes of a thread.
type Open<'a, E> = dyn Fn() -> Result<E, VisionError> + Sync + 'a;
/// Gives a picture out.
type Give<'a, P> = dyn FnMut(P) -> Result<(), MediaError> + 'a;
/// What eyes see of a picture; `None` is not worth keeping.
type Look<'a, E, P, S> = dyn Fn(&mut E, P) -> Result<Option<S>, VisionError> + Sync + 'a;

/// Hands what `feed` gives out to `threads` threads, which look at it with eyes of their own from `open`. One network
/// on two threads takes 1.4 times the CPU time; two networks on one thread each do not. Memory is taken for each thread.
///
/// Answers with what `feed` answered, and with what was seen and is worth keeping, in the order of giving out.
///
/// # Errors
/// The first of the eyes; else that of `feed`. Where eyes fail, what `feed` gives is refused as `Cancelled`.
pub fn in_parallel<P: Send, E, S: Send, F>(
    threads: usize,
    open: &Open<'_, E>,
    look: &Look<'_, E, P, S>,
    feed: impl FnOnce(&mut Give<'_, P>) -> Result<F, MediaError>,
) -> Result<(F, Vec<S>), VisionError> {
    let threads = threads.max(1);
    let (sender, queue) = sync_channel(WAITING * threads);
    let (queue, has_failed) = (Mutex::new(queue), AtomicBool::new(false));
    let at_work = Worker { queue: &queue, has_failed: &has_failed, open, look };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| at_work.see())).collect();
        let fed = feed(&mut giving_out(sender, &has_failed));
        // All are joined: a panic of one that is not would go on here.
        let ended: Vec<_> = workers.into_iter().map(ScopedJoinHandle::join).collect();
        let seen = ended.into_iter().map(|seen| seen.unwrap_or_else(|_| Err(panicked())));
        let mut seen: Vec<_> = seen.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        seen.sort_unstable_by_key(|(number, _)| *number);
        Ok((fed?, seen.into_iter().map(|(_, one)| one).collect()))
    })
}

fn panicked() -> VisionError {
    VisionError::inference(crate::DETECTOR, "its thread has panicked")
}

/// Numbers what is given out; dropped, it tells that this was all.
fn giving_out<P>(
    sender: SyncSender<(usize, P)>,
    has_failed: &AtomicBool,
) -> impl FnMut(P) -> Result<(), MediaError> {
    let mut number = 0;
    move |picture| {
        if has_failed.load(Ordering::Relaxed) || sender.send((number, picture)).is_err() {
            return Err(MediaError::Cancelled);
        }
        number += 1;
        Ok(())
    }
}

struct Worker<'a, P, E, S> {
    queue: &'a Mutex<Receiver<(usize, P)>>,
    has_failed: &'a AtomicBool,
    open: &'a Open<'a, E>,
    look: &'a Look<'a, E, P, S>,
}

/// Tells of a worker that ends early, also by a panic, and takes what is still given out: nobody may wait for it.
struct Watch<'a, P>(&'a Mutex<Receiver<(usize, P)>>, &'a AtomicBool);

impl<P> Drop for Watch<'_, P> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
        while next(self.0).is_some() {}
    }
}

fn next<P>(queue: &Mutex<Receiver<(usize, P)>>) -> Option<(usize, P)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl<P, E, S> Worker<'_, P, E, S> {
    fn see(&self) -> Result<Vec<(usize, S)>, VisionError> {
        let watch = Watch(self.queue, self.has_failed);
        let mut eyes = (self.open)()?;
        let mut seen = Vec::new();
        while let Some((number, picture)) = next(self.queue) {
            seen.extend((self.look)(&mut eyes, picture)?.map(|one| (number, one)));
        }
        std::mem::forget(watch);
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Barrier, time::Duration};

    /// Gives out `count` numbers, which must be the end of it.
    fn counted(count: u64) -> impl FnOnce(&mut Give<'_, u64>) -> Result<u64, MediaError> {
        move |give| (0..count).try_for_each(give).map(|()| count)
    }

    /// Gives out numbers until one is refused.
    fn endless(give: &mut Give<'_, u64>) -> Result<(), MediaError> {
        (0..1_000_000).try_for_each(give)
    }

    fn broken(_: &mut (), number: u64) -> Result<Option<u64>, VisionError> {
        if number == 20 { Err(VisionError::inference("eyes", "shut")) } else { Ok(Some(number)) }
    }

    #[test]
    fn what_was_seen_is_in_the_order_of_the_pictures() {
        for threads in [0, 1, 2, 5] {
            // Later ones are done sooner.
            let look = |(): &mut (), number: u64| {
                thread::sleep(Duration::from_micros(300 - number % 3 * 100));
                Ok((number % 5 != 3).then_some(number))
            };
            let seen = in_parallel(threads, &|| Ok(()), &look, counted(100)).unwrap();
            let worth_keeping: Vec<u64> = (0..100).filter(|n| n % 5 != 3).collect();
            assert_eq!(seen, (100, worth_keeping), "{threads}");
        }
        let nothing = in_parallel(2, &|| Ok(()), &broken, counted(0)).unwrap();
        assert_eq!(nothing, (0, Vec::new()));
    }

    #[test]
    fn as_many_pictures_are_looked_at_at_once() {
        // Whoever looks waits until the others look, too.
        let all = Barrier::new(3);
        let look = |(): &mut (), _| {
            all.wait();
            Ok(Some(()))
        };
        let (_, seen) = in_parallel(3, &|| Ok(()), &look, counted(30)).unwrap();
        assert_eq!(seen.len(), 30);
    }

    /// What went wrong with pictures without end.
    fn failure(threads: usize, open: &Open<'_, ()>, look: &Look<'_, (), u64, u64>) -> String {
        in_parallel(threads, open, look, endless).unwrap_err().to_string()
    }

    #[test]
    fn eyes_that_fail_stop_the_rest_and_nobody_hangs() {
        for threads in [1, 2, 5] {
            assert!(failure(threads, &|| Ok(()), &broken).contains("shut"));
            let open = || Err::<(), _>(VisionError::inference("eyes", "not there"));
            assert!(failure(threads, &open, &broken).contains("not there"));
            // One of them alone cannot be opened.
            let first = AtomicBool::new(true);
            let open = || match first.swap(false, Ordering::Relaxed) {
                true => Err(VisionError::inference("eyes", "not there")),
                false => Ok(()),
            };
            let look = |(): &mut (), number: u64| Ok(Some(number));
            assert!(failure(threads, &open, &look).contains("not there"));
        }
    }

    #[test]
    fn what_fails_without_the_eyes_is_told_and_after_theirs() {
        let ended = || MediaError::Broken { detail: "the film ends".into() };
        let ends = |give: &mut Give<'_, u64>| -> Result<(), MediaError> {
            (0..19).try_for_each(&mut *give)?;
            Err(ended())
        };
        let goes_on =
            |give: &mut Give<'_, u64>| (0..1_000_000).try_for_each(give).map_err(|_| ended());
        for threads in [1, 2, 5] {
            let failed = in_parallel(threads, &|| Ok(()), &broken, ends).unwrap_err();
            assert!(matches!(failed, VisionError::Media(MediaError::Broken { .. })), "{failed}");
            let failed = in_parallel(threads, &|| Ok(()), &broken, goes_on).unwrap_err();
            assert!(failed.to_string().contains("shut"), "{failed}");
        }
    }

    #[test]
    fn a_panic_is_an_error_whoever_else_panics() {
        let look = |(): &mut (), number: u64| {
            assert!(number < 20, "as the test wants it");
            Ok(Some(number))
        };
        let open = || -> Result<(), VisionError> { unreachable!("as the test wants it") };
        for threads in [1, 2, 5] {
            assert!(failure(threads, &|| Ok(()), &look).contains("panicked"));
            assert!(failure(threads, &open, &look).contains("panicked"));
        }
    }
}
