//! What a process has counted, held against what it was told of its transactions.

use crate::{
    ledger::{Book, Life, rule},
    mill::GROUPS,
};
use engine::Metrics;
use std::collections::BTreeMap;

/// Between a transaction's answer and the counting nothing can come, not even a crash: both are
/// the same at any time.
pub(crate) fn check(metrics: &Metrics, number: usize, life: u32, book: &mut Book) {
    let mut counted: BTreeMap<(Life, &'static str), u64> = BTreeMap::new();
    for line in metrics.gather().lines() {
        let Some(labels) = line.strip_prefix("reelmill_events_total{") else { continue };
        let has = |label: &str, word: &str| labels.contains(&format!("{label}=\"{word}\""));
        let Some(group) = GROUPS.iter().find(|group| has("processor", group)) else { continue };
        let all = ["emitted", "skipped", "retried", "dead_lettered"];
        let verdict = all.into_iter().find(|verdict| has("verdict", verdict)).unwrap();
        // From a sink's transactions one cannot tell which of the two it was.
        let verdict = if (*group, verdict) == ("sweep", "skipped") { "emitted" } else { verdict };
        let times: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        // Shown before there is anything to count.
        if times == 0 {
            continue;
        }
        *counted.entry(((number, life, group), verdict)).or_default() += times;
    }
    let known: BTreeMap<_, _> = book
        .known
        .iter()
        .filter(|(((n, l, _), _), _)| (*n, *l) == (number, life))
        .map(|(key, times)| (*key, *times))
        .collect();
    if counted != known {
        let how = format!("p{number} counted {counted:?} where {known:?} were committed");
        book.breaks(rule::COUNTED, how);
    }
}
