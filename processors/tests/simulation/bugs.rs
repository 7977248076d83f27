//! Bugs to plant. None of them exists outside this test: they live in its ports and connectors, or
//! in a processor's wrapper.

use crate::store::SimStore;
use engine::{Effect, Gather, Input, Outcome, Processor};
use ports::{Put, Refusal, Store};

macro_rules! bugs {
    ($($name:ident: $what:literal,)*) => {
        /// A mistake somebody could make.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bug { $($name,)* }

        /// Every bug, with what is wrong in words.
        pub(crate) const BUGS: &[(Bug, &str)] = &[$((Bug::$name, $what),)*];
    };
}

bugs! {
    OffsetsFirst: "offsets are committed in a step of their own, before the outputs",
    OutputsFirst: "outputs are sent in a step of their own, before the offsets",
    UnknownSentAgain: "a transaction whose end is unknown is sent again",
    Unfenced: "a member that lost its partitions may still commit",
    GenerationAtCommit: "a commit names the group's generation of now, not that of its records",
    RewoundInName: "an aborted transaction is reported, but its records do not come again",
    DirtyReads: "readers see what an aborted transaction wrote",
    EndOfLog: "a rebalance goes on where reading had got to, not at the committed offset",
    CutBatchLosesRecord: "a batch that is cut short loses its next record",
    CommitOnClose: "closing commits everything that was handed out",
    RetryForgetsAttempt: "a retry loses the number of its attempt",
    RetryForgetsTime: "a retry loses the time it has to wait for",
    RetryForgetsOrigin: "a retry loses where it came from",
    DeadLetterReencoded: "a dead letter's value passes through text",
    DeadLetterWithoutHeaders: "a dead letter loses the event's own headers",
    DeadLetterWithoutOffset: "a dead letter is written and its offset is not",
    RandomIds: "events get random ids",
    BlindPut: "the store ignores If-None-Match",
    StaleList: "a listing of the store may miss the last object",
    LazyWrite: "the store acknowledges an object before it has it",
    ObjectsLate: "a processor's objects are stored after its event",
    NoGather: "stitch and index do not wait for all parts",
    ShortGather: "stitch and index wait for all parts but one",
    FoundUnverified: "index does not wait until a run that replaces another is verified",
    NoTombstone: "deleted videos are worked on",
    RandomRun: "cut makes up a new run each time it is asked",
    NotIdempotent: "blur refuses to render a clip a second time",
    EarlySweep: "verify removes the staged film once it is published",
    GreedySweep: "sweep removes all of a run",
    LateWriters: "what is written after the sweep stays",
    BlamesTheEvent: "a store that is away is taken for the event's fault",
    BlamesTheWorld: "a corrupt video is taken for a fault of the world's",
}

/// A processor with a bug, or without one.
#[derive(Debug)]
pub(crate) struct Twisted<P> {
    pub(crate) processor: P,
    pub(crate) store: SimStore,
}

impl<P: Processor> Processor for Twisted<P> {
    const NAME: &'static str = P::NAME;
    type In = P::In;
    type Out = P::Out;
    type Effect = P::Effect;

    fn plan(&self, input: &Input<P::In>) -> Result<P::Effect, Refusal> {
        self.processor.plan(input)
    }

    fn conclude(
        &self,
        input: Input<P::In>,
        answer: <P::Effect as Effect>::Answer,
    ) -> Result<Outcome<P::Out>, Refusal> {
        let mut outcome = self.processor.conclude(input, answer)?;
        if self.store.bug == Some(Bug::ObjectsLate) {
            for object in std::mem::take(&mut outcome.objects) {
                let store = self.store.clone();
                tokio::spawn(async move {
                    store.process.pass(0, 2_000).await;
                    store.write(&object.to, object.body, Put::default()).await
                });
            }
        }
        Ok(outcome)
    }

    fn gather(&self, input: &Input<P::In>) -> Option<Gather> {
        let mut gather = self.processor.gather(input)?;
        match self.store.bug {
            Some(Bug::NoGather) => return None,
            Some(Bug::ShortGather) => drop(gather.parts.pop()),
            Some(Bug::FoundUnverified) => {
                gather.parts.retain(|part| !part.ends_with("receipt.json"));
            }
            _ => {}
        }
        Some(gather)
    }

    fn video_id(&self, input: &Input<P::In>) -> Option<String> {
        self.processor.video_id(input).filter(|_| self.store.bug != Some(Bug::NoTombstone))
    }
}
