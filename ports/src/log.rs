//! The log of events: Kafka's model, with one atomic way to move on.

use crate::Trouble;
use bytes::Bytes;
use std::{borrow::Cow, future::Future};

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// A name and its bytes. Most names are words of ours.
pub type Header = (Cow<'static, str>, Bytes);

/// Headers in their order; the first of a name counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<Header>);

impl Headers {
    /// The text of a header, if it is there and is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n == name)?;
        std::str::from_utf8(value).ok()
    }

    /// Replaces every header of that name with one.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        let name = name.into();
        self.0.retain(|(n, _)| *n != name);
        self.0.push((name, value.into()));
    }

    /// The same, in a chain.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        self.set(name, value);
        self
    }
}

/// A record as it travels. Outputs have no `position` yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub topic: String,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
    /// Milliseconds since 1970, of the log for inputs; `None` lets the log stamp an output.
    pub timestamp_ms: Option<i64>,
    pub position: Option<Position>,
}

impl Record {
    /// About what it takes: key, value and the values of its headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.0.iter().map(|(_, value)| value.len());
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

/// What a poll brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Polled {
    /// Records in their partitions' order. `epoch` names the assignment they were read under.
    Records { epoch: u64, records: Vec<Record> },
    /// The assignment changed: forget all work in hand from older epochs; it will come again.
    Rebalanced { epoch: u64 },
    /// Nothing now.
    Idle,
}

/// One input, done with, and all it gave rise to: outputs, retries and dead letters.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub done: Position,
    pub outputs: Vec<Record>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    Yes,
    /// Aborted; every record after the last committed offset will be delivered again, under a
    /// new epoch.
    Rewound,
}

/// Reads records and settles them.
///
/// [`Log::commit`] is the one way to move on: there is none to send without committing the
/// offset, or to commit an offset without sending.
pub trait Log: Send + 'static {
    /// Waits a few seconds at most for records, and returns as soon as there are some. Must be
    /// called steadily: it never waits for work in hand. At most `want` records are handed out per
    /// call. Dropping the future before it is ready loses no record. Brief outages are ridden out
    /// inside; a transient error asks to call again later.
    fn poll(&mut self, want: usize) -> impl Future<Output = Result<Polled, Trouble>> + Send;

    /// From the next poll on, hands out nothing of these partitions (topic and number), and of all
    /// others again: backpressure per partition, so that one slow event holds up no other
    /// partition. A new assignment starts with none held.
    fn hold(&mut self, held: Vec<(String, i32)>);

    /// One transaction: all outputs, and for each partition the offset after its last `done`.
    /// The caller hands over, per partition, a contiguous run. Any error ends the processor:
    /// what can be healed is [`Committed::Rewound`].
    fn commit(
        &mut self,
        epoch: u64,
        settled: Vec<Settled>,
    ) -> impl Future<Output = Result<Committed, Trouble>> + Send;

    /// Whether a commit would have a chance just now; told within about a second. Asked at the end:
    /// work that cannot be committed is not waited for.
    fn answers(&mut self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }

    /// Leaves the group and closes, within a bounded time.
    fn close(self) -> impl Future<Output = ()> + Send;
}
