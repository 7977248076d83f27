//! The list of processors, as a value: it runs, filters, checks and draws itself.

use crate::{
    Connector, Context, Events, Fatal, Output, Processor, Runner, Trouble, dead_topic, retry_topic,
};
use futures::future::BoxFuture;
use ports::Log;
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};
use tokio::task::{JoinHandle, JoinSet};

/// What the outside must know about a processor to host it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub name: &'static str,
    /// Topics, its own retry topic among them.
    pub reads: Vec<String>,
    pub writes: Option<&'static str>,
}

impl Spec {
    fn of<P: Processor>() -> Self {
        let mut reads = P::In::topics();
        reads.push(retry_topic(P::NAME));
        Self { name: P::NAME, reads, writes: P::Out::TOPIC }
    }
}

/// Opens a log for a processor: its consumer group and its transactional writer.
pub trait LogOpener: fmt::Debug + Send + Sync + 'static {
    type Log: Log;

    /// A transient trouble is waited out by the caller.
    fn open(&self, spec: &Spec) -> impl Future<Output = Result<Self::Log, Trouble>> + Send;
}

/// A processor that was started.
#[derive(Debug)]
pub struct Running {
    pub name: &'static str,
    /// Ends with the shutdown, or with what is wrong with us.
    pub task: JoinHandle<Result<(), Fatal>>,
}

type Start<O> = Box<dyn FnOnce(Arc<O>, Context) -> BoxFuture<'static, Result<(), Fatal>> + Send>;

/// The list of processors and the connectors that perform their effects.
pub struct Pipeline<O> {
    stages: Vec<(Spec, Start<O>)>,
}

/// `--only` named a processor that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no processor `{name}`, did you mean `{nearest}`? there are: {all}")]
pub struct UnknownProcessor {
    pub name: String,
    pub nearest: &'static str,
    /// All names, separated by commas.
    pub all: String,
}

impl<O: LogOpener> Pipeline<O> {
    #[must_use]
    pub fn new() -> Self {
        Self { stages: Vec::new() }
    }

    /// Adds a processor and the connector that performs its effect.
    #[must_use]
    pub fn stage<P: Processor>(
        mut self,
        processor: P,
        connector: impl Connector<P::Effect>,
    ) -> Self {
        let spec = Spec::of::<P>();
        let opened = spec.clone();
        let start: Start<O> = Box::new(move |opener, context| {
            Box::pin(async move {
                let Some(log) = open(&*opener, &opened, &context).await? else { return Ok(()) };
                Runner::new(processor, connector, log, context).run().await
            })
        });
        self.stages.push((spec, start));
        self
    }

    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.stages.iter().map(|(spec, _)| spec)
    }

    /// Every topic read or written, with retries and dead letters.
    #[must_use]
    pub fn topics(&self) -> BTreeSet<String> {
        self.specs()
            .flat_map(|spec| {
                let own = [retry_topic(spec.name), dead_topic(spec.name)];
                let writes = spec.writes.map(str::to_owned);
                spec.reads.iter().cloned().chain(own).chain(writes)
            })
            .collect()
    }

    /// Keeps only the named processors.
    pub fn only(mut self, names: &[impl AsRef<str>]) -> Result<Self, UnknownProcessor> {
        for name in names.iter().map(AsRef::as_ref) {
            if !self.specs().any(|spec| spec.name == name) {
                let known: Vec<_> = self.specs().map(|spec| spec.name).collect();
                return Err(UnknownProcessor {
                    name: name.to_owned(),
                    nearest: schemas::nearest(name, known.iter().copied()),
                    all: known.join(", "),
                });
            }
        }
        self.stages.retain(|(spec, _)| names.iter().any(|name| name.as_ref() == spec.name));
        Ok(self)
    }

    /// Starts every processor as a task of its own. One that ends with an error leaves the
    /// others running.
    pub fn start(self, opener: Arc<O>, context: &Context) -> Vec<Running> {
        self.stages
            .into_iter()
            .map(|(spec, start)| {
                let task = tokio::spawn(start(opener.clone(), context.clone()));
                Running { name: spec.name, task }
            })
            .collect()
    }

    /// Runs every processor until the shutdown. The first that ends with an error stops the
    /// others gracefully, and its error is returned.
    pub async fn run(self, opener: Arc<O>, context: Context) -> Result<(), Fatal> {
        let mut ending = JoinSet::new();
        for Running { name, task } in self.start(opener, &context) {
            ending.spawn(async move {
                let ended = task.await;
                let ended = ended.unwrap_or_else(|error| Err(Fatal(error.to_string())));
                ended.map_err(|fatal| Fatal(format!("{name}: {fatal}")))
            });
        }
        let mut result = Ok(());
        while let Some(ended) = ending.join_next().await {
            let ended = ended.unwrap_or_else(|error| Err(Fatal(error.to_string())));
            if ended.is_err() {
                context.shutdown.cancel();
                result = result.and(ended);
            }
        }
        result
    }
}

impl<O: LogOpener> Default for Pipeline<O> {
    fn default() -> Self {
        Self::new()
    }
}

/// Opens a log, however long the world needs; `None` when the shutdown comes first.
async fn open<O: LogOpener>(
    opener: &O,
    spec: &Spec,
    context: &Context,
) -> Result<Option<O::Log>, Fatal> {
    let mut delay = Duration::from_millis(200);
    loop {
        let opened = tokio::select! {
            biased;
            () = context.shutdown.cancelled() => return Ok(None),
            opened = opener.open(spec) => opened,
        };
        let asked = match opened {
            Ok(log) => return Ok(Some(log)),
            Err(Trouble::Transient { reason, detail, after, .. }) => {
                tracing::warn!(processor = spec.name, reason, detail, "the log is not there yet");
                after
            }
            Err(Trouble::Fatal(fatal)) => return Err(fatal),
            Err(Trouble::Refused(refusal)) => return Err(Fatal(refusal.to_string())),
        };
        tokio::select! {
            biased;
            () = context.shutdown.cancelled() => return Ok(None),
            () = context.clock.sleep(asked.unwrap_or(delay)) => {}
        }
        delay = (delay * 2).min(Duration::from_secs(30));
    }
}

/// Draws itself, so that the picture in the README cannot go stale. Retries and dead letters
/// are the same for all and left out.
impl<O> fmt::Display for Pipeline<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "flowchart LR")?;
        for (spec, _) in &self.stages {
            let name = spec.name;
            for topic in spec.reads.iter().filter(|topic| !topic.starts_with("reelmill.")) {
                writeln!(f, "  {topic}([{topic}]) --> {name}[{name}]")?;
            }
            if let Some(topic) = spec.writes {
                writeln!(f, "  {name}[{name}] --> {topic}([{topic}])")?;
            }
        }
        Ok(())
    }
}

impl<O> fmt::Debug for Pipeline<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.stages.iter().map(|(spec, _)| spec)).finish()
    }
}
