//! Looks that must not take long.

use super::finding::{Check, Finding};
use connectors::{Unfit, Why};
use engine::Trouble;
use std::{fmt, time::Duration};
use tokio::time::timeout;

/// How long one question may take.
pub(super) const QUESTION: Duration = Duration::from_secs(4);
/// How long one look may take, with all its questions.
const LOOK: Duration = Duration::from_secs(17);

/// A look at several things, none of which may hold up the others.
pub(super) async fn look(
    checks: &[Check],
    remedy: &str,
    looking: impl Future<Output = Vec<Finding>>,
) -> Vec<Finding> {
    let late = |check: &Check| {
        let found = format!("nothing is known after {} s", LOOK.as_secs());
        Finding::failed(*check, found, remedy)
    };
    timeout(LOOK, looking).await.unwrap_or_else(|_| checks.iter().map(late).collect())
}

/// The same, at one thing.
pub(super) async fn one(
    check: Check,
    remedy: &str,
    looking: impl Future<Output = Finding>,
) -> Vec<Finding> {
    look(&[check], remedy, async { vec![looking.await] }).await
}

/// An answer, or what there is to say instead.
pub(super) async fn answer<T, E: From<Late>>(
    asking: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(QUESTION, asking).await.unwrap_or_else(|_| Err(Late.into()))
}

/// Nothing answered in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} s", QUESTION.as_secs())
    }
}

impl From<Late> for Trouble {
    fn from(late: Late) -> Self {
        Self::away("silent", late.to_string())
    }
}

impl From<Late> for Unfit {
    fn from(late: Late) -> Self {
        Self { why: Why::Unreached, said: late.to_string() }
    }
}

/// Work that blocks, or that may break down in a C library.
pub(super) async fn thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let done = timeout(LOOK, tokio::task::spawn_blocking(work)).await;
    match done {
        Ok(done) => done.map_err(|broken| broken.to_string()),
        Err(_) => Err(format!("it took more than {} s", LOOK.as_secs())),
    }
}
