//! How a client gets in, and what it is told where it does not.

use super::{
    Kafka,
    blame::{NOT_LET_IN, blame},
    ffi, log_line,
    security::{Bar, Barred, Protocol, Security},
    token::Tokens,
};
use ports::Trouble;
use rdkafka::{
    ClientConfig, ClientContext,
    admin::AdminClient,
    client::{Client, OAuthToken},
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    producer::{BaseProducer, Producer, ProducerContext},
    types::RDKafkaErrorCode,
};
use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What was heard longer ago tells nothing of now.
const RECENTLY: Duration = Duration::from_secs(30);
/// Events that may wait in a client that nobody has polled, logs among them.
const UNHEARD: usize = 64;

/// The way in of one client. As its context it serves all that need no other; the others hold one.
#[derive(Clone)]
pub(super) struct Door(Arc<Shared>);

struct Shared {
    name: &'static str,
    security: Security,
    tokens: Option<Arc<Tokens>>,
    heard: Mutex<Heard>,
}

/// The last that a client was told.
#[derive(Default)]
struct Heard {
    barred: Option<(Barred, Instant)>,
    /// Why there was no token.
    untokened: Option<Trouble>,
}

impl Door {
    /// In a log line, for whoever looks for it there.
    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // A connection that the broker ends is no error to the client.
        if facility == "FAIL" {
            self.note(None, message);
        }
        log_line(level, facility, message);
    }

    /// Keeps what tells why nobody gets in.
    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka {}", self.0.name);
        self.note(error.rdkafka_error_code(), reason);
    }

    fn note(&self, code: Option<RDKafkaErrorCode>, said: &str) {
        if let Some(by) = Bar::of(self.0.security.protocol, code, said) {
            let barred = Barred { by, said: said.to_owned() };
            self.heard().barred = Some((barred, Instant::now()));
        }
    }

    /// A token for the client; asked for by librdkafka before the last one ends.
    pub(super) fn token(&self) -> Result<OAuthToken, Trouble> {
        let Some(tokens) = &self.0.tokens else {
            return Err(Trouble::fatal("this client needs no token"));
        };
        let token = tokens.token();
        self.heard().untokened = token.as_ref().err().cloned();
        token
    }

    /// The same, as librdkafka wants it.
    pub(super) fn refresh(&self) -> Result<OAuthToken, Box<dyn Error>> {
        self.token().map_err(|trouble| {
            tracing::warn!(%trouble, "there is no new token for kafka, trying again");
            trouble.to_string().replace('\0', "").into()
        })
    }

    /// What keeps the client out, if it was told.
    pub(super) fn barred(&self) -> Option<Barred> {
        let heard = self.heard();
        let (barred, at) = heard.barred.as_ref()?;
        (at.elapsed() < RECENTLY).then(|| barred.clone())
    }

    /// Whether somebody has to change a setting first.
    pub(super) fn is_barred_for_certain(&self) -> bool {
        self.barred().is_some_and(|barred| barred.by.is_certain())
    }

    /// A time-out at a door that stays shut is not the broker's.
    pub(super) fn explained(&self, trouble: Trouble) -> Trouble {
        let may_be_the_door = match &trouble {
            Trouble::Transient { reason, .. } => *reason == "broker_unavailable",
            Trouble::Fatal(fatal) => fatal.0.starts_with(NOT_LET_IN),
            Trouble::Refused(_) => false,
        };
        if !may_be_the_door {
            return trouble;
        }
        if let Some(trouble) = self.heard().untokened.clone() {
            return trouble;
        }
        let Some(Barred { by, said }) = self.barred() else { return trouble };
        let security = &self.0.security;
        let (cause, remedy) = (by.cause(security), by.remedy(security));
        match trouble {
            trouble if !by.is_certain() => Trouble::transient(
                "broker_unavailable",
                format!("{trouble}; perhaps {cause} ({said}): {remedy}"),
            ),
            _ => Trouble::fatal(format!("{cause} ({said}): {remedy}")),
        }
    }

    /// Whether trouble with it may mend itself: whoever has the credentials cannot be asked just now,
    /// or only this connection is at its end.
    pub(super) fn may_open(&self) -> bool {
        matches!(self.heard().untokened, Some(Trouble::Transient { .. }))
            || self.barred().is_some_and(|barred| !barred.by.is_certain())
    }

    /// Gives a client its first token: it may block for a connection before it is ever polled.
    fn admit<C: ClientContext>(&self, client: &Client<C>) -> Result<(), Trouble> {
        if self.0.tokens.is_some() {
            ffi::set_token(client, &self.token()?)?;
        }
        Ok(())
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kafka {
    /// A door for a client of this name.
    pub(super) fn door(&self, name: &'static str) -> Door {
        let (security, tokens) = (self.0.config.security.clone(), self.0.tokens.clone());
        Door(Arc::new(Shared { name, security, tokens, heard: Mutex::default() }))
    }
}

/// A client with a context of its own.
fn create<C, T: FromClientConfigAndContext<C>>(
    config: &ClientConfig,
    context: C,
) -> Result<T, Trouble>
where
    C: ClientContext,
{
    config.create_with_context(context).map_err(|error| blame(&error))
}

/// A consumer, let in with a token where that is needed.
pub(super) fn consumer<C: ConsumerContext>(
    config: &ClientConfig,
    door: &Door,
    context: C,
) -> Result<BaseConsumer<C>, Trouble> {
    let consumer: BaseConsumer<C> = create(config, context)?;
    door.admit(consumer.client())?;
    Ok(consumer)
}

/// The same for a producer.
pub(super) fn producer<C: ProducerContext>(
    config: &ClientConfig,
    door: &Door,
    context: C,
) -> Result<BaseProducer<C>, Trouble> {
    let producer: BaseProducer<C> = create(config, context)?;
    door.admit(producer.client())?;
    Ok(producer)
}

/// A client for requests to the cluster. It hears nothing of what keeps it out: ask with a consumer
/// first.
pub(super) fn admin(config: &ClientConfig, door: &Door) -> Result<AdminClient<Door>, Trouble> {
    let admin: AdminClient<Door> = create(config, door.clone())?;
    door.admit(admin.inner())?;
    Ok(admin)
}

/// Takes in what a consumer without partitions was told while it was asked something.
pub(super) fn hear<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    for _ in 0..UNHEARD {
        // Errors come as such, and logs as nothing.
        drop(consumer.poll(Duration::ZERO));
    }
}

/// The same of a producer.
pub(super) fn hear_producer<C: ProducerContext>(producer: &BaseProducer<C>) {
    (0..UNHEARD).for_each(|_| producer.poll(Duration::ZERO));
}

impl ClientContext for Door {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.error(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.refresh()
    }
}

impl ConsumerContext for Door {}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Security {
    /// Whether clients need tokens.
    pub(super) fn wants_tokens(&self) -> bool {
        self.protocol == Protocol::AwsMskIam
    }
}
