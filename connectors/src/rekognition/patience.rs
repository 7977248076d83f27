//! Waiting for a job without hammering its service.

use ports::{ObjectRef, Trouble};
use std::time::Duration;

/// The first pause; each next is twice as long, up to the configured one.
const FIRST: Duration = Duration::from_millis(100);

/// A job that takes longer is given back; its token leads to it again.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// Failed looks in a row before the job is given back.
const FAILURES: u32 = 5;
/// The pause after the first of them; each next is twice as long, six seconds in all.
const FIRST_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// How long to wait before the next look. Pure: the caller sleeps.
pub(super) struct Patience {
    pause: Duration,
    longest_pause: Duration,
    waited: Duration,
    failures: u32,
}

impl Patience {
    pub(super) fn new(longest_pause: Duration) -> Self {
        let pause = FIRST.min(longest_pause);
        Self { pause, longest_pause, waited: Duration::ZERO, failures: 0 }
    }

    /// The job still runs.
    pub(super) fn running(&mut self, clip: &ObjectRef) -> Result<Duration, Trouble> {
        self.failures = 0;
        if self.waited >= LONGEST {
            return Err(Trouble::transient(
                "job_unfinished",
                format!("{clip}: no result after {} hours", LONGEST.as_secs() / 3600),
            ));
        }
        Ok(self.next())
    }

    /// A look failed: the job goes on, so a passing trouble is waited out here.
    pub(super) fn failed(&mut self, trouble: Trouble) -> Result<Duration, Trouble> {
        let passing =
            matches!(&trouble, Trouble::Transient { reason, .. } if *reason != "job_lost");
        if !passing || self.failures >= FAILURES {
            return Err(trouble);
        }
        let pause = FIRST_AFTER_FAILURE * 2_u32.pow(self.failures);
        self.failures += 1;
        self.waited += pause;
        Ok(pause)
    }

    fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.waited += pause;
        self.pause = (pause * 2).min(self.longest_pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_after_six_hours() {
        let clip = ObjectRef::new("b", "k");
        let mut patience = Patience::new(Duration::from_secs(5));
        let mut pauses = Vec::new();
        let end = loop {
            match patience.running(&clip) {
                Ok(pause) => pauses.push(pause.as_millis()),
                Err(trouble) => break trouble,
            }
        };
        assert_eq!(pauses[..8], [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!((4320..4330).contains(&pauses.len()), "{} looks in six hours", pauses.len());
        assert!(matches!(end, Trouble::Transient { reason: "job_unfinished", .. }), "{end:?}");
    }

    #[test]
    fn a_few_failed_looks_are_waited_out_and_a_lost_job_is_not() {
        let busy = || Trouble::transient("detector_busy", "no");
        let mut patience = Patience::new(Duration::from_secs(5));
        for wanted in [200, 400, 800, 1600, 3200] {
            assert_eq!(patience.failed(busy()).unwrap(), Duration::from_millis(wanted));
        }
        patience.failed(busy()).unwrap_err();
        patience.running(&ObjectRef::new("b", "k")).unwrap();
        patience.failed(busy()).unwrap();
        patience.failed(Trouble::transient("job_lost", "gone")).unwrap_err();
        patience.failed(Trouble::fatal("no rights")).unwrap_err();
    }
}
