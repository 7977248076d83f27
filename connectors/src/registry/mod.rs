//! A schema registry with Confluent's REST API: Confluent's own, Apicurio's, or the embedded one.

mod blame;
mod codecs;
pub mod embedded;
mod look;

use crate::calls::Calls;
use async_trait::async_trait;
use blame::{blame, damaged, refused};
use codecs::Codecs;
use engine::{Metrics, Service};
pub use look::{Standing, Subject};
use ports::{SchemaRegistry, Trouble};
use schema_registry_converter::{
    async_impl::{
        avro::{AvroDecoder, AvroEncoder},
        schema_registry::{SrSettings, post_schema},
    },
    error::SRCError,
    schema_registry_common::{SchemaType, SubjectNameStrategy, SuppliedSchema},
};
use schemas::{AvroValue, Reader, WIRE_HEADER, Writer};
use serde_json::json;
use std::{fmt, sync::Arc, time::Duration};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that Avro may ask for at once while it reads a value: garbage may claim any length.
const LARGEST_VALUE: usize = 64 << 20;

/// Encodes and decodes through a registry; schemas are fetched once and kept.
///
/// One topic has one schema per process: the first one encoded with stays.
pub struct ConfluentRegistry {
    url: String,
    settings: SrSettings,
    http: reqwest::Client,
    encoder: AvroEncoder,
    decoder: AvroDecoder,
    codecs: Codecs,
    calls: Calls,
}

impl fmt::Debug for ConfluentRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfluentRegistry").field(&without_secrets(&self.url)).finish()
    }
}

impl ConfluentRegistry {
    /// `url` may have a path (Apicurio: `/apis/ccompat/v7`) and `user:password@` before the host.
    /// Connects nothing yet.
    pub fn new(url: &str) -> Result<Self, Trouble> {
        // A limit of the whole process; it can be set once only.
        apache_avro::util::max_allocation_bytes(LARGEST_VALUE);
        let url = url.trim_end_matches('/').to_owned();
        let client = || {
            let client = reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(TIMEOUT / 2);
            if is_loopback(&url) { client.no_proxy() } else { client }
        };
        let broken = |error: &dyn fmt::Display| {
            Trouble::fatal(format!(
                "{}: no client for the registry: {error}",
                without_secrets(&url)
            ))
        };
        let http = client().build().map_err(|e| broken(&e))?;
        let settings = SrSettings::new_builder(url.clone())
            .set_timeout(TIMEOUT)
            .build_with(client())
            .map_err(|e| broken(&e))?;
        Ok(Self {
            encoder: AvroEncoder::new(settings.clone()),
            decoder: AvroDecoder::new(settings.clone()),
            codecs: Codecs::default(),
            calls: Calls::default(),
            settings,
            http,
            url,
        })
    }

    /// The same registry; what is asked of it is counted.
    #[must_use]
    pub fn counting(self, metrics: &Metrics) -> Self {
        Self { calls: Calls::to(Service::Registry, metrics), ..self }
    }

    /// Registers schemas under their subjects (`<topic>-value`); those already there stay. Fatal
    /// where one cannot follow its older versions.
    pub async fn register_all(&self, schemas: &[(&str, &str)]) -> Result<(), Trouble> {
        for (subject, schema) in schemas {
            let registered = async {
                post_schema(&self.settings, (*subject).to_owned(), supplied(schema))
                    .await
                    .map_err(|e| blame(subject, &e))
            };
            self.calls.count("register_schema", registered).await?;
        }
        Ok(())
    }

    /// How new schemas of a subject must relate to the older ones, e.g. `FULL_TRANSITIVE`.
    pub async fn set_compatibility(&self, subject: &str, level: &str) -> Result<(), Trouble> {
        let put = || self.calls.count("set_compatibility", self.put_compatibility(subject, level));
        match put().await {
            // Of two that set it for the first time at once, Apicurio tells one that it is there.
            Err(Trouble::Transient { reason: "registry_failed", .. }) => put().await,
            answered => answered,
        }
    }

    async fn put_compatibility(&self, subject: &str, level: &str) -> Result<(), Trouble> {
        let answer = self
            .http
            .put(format!("{}/config/{subject}", self.url))
            .header("content-type", "application/vnd.schemaregistry.v1+json")
            .json(&json!({ "compatibility": level }))
            .send()
            .await
            .map_err(|e| Trouble::away("registry_unreachable", format!("{subject}: {e}")))?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = u32::from(answer.status().as_u16());
        let body = answer.text().await.unwrap_or_default();
        let code = serde_json::from_str::<serde_json::Value>(&body)
            .ok()
            .and_then(|error| u32::try_from(error.get("error_code")?.as_u64()?).ok());
        Err(refused(subject, code.unwrap_or(status), &body))
    }
}

#[async_trait]
impl SchemaRegistry for ConfluentRegistry {
    async fn encode(
        &self,
        topic: &str,
        schema: &'static str,
        value: AvroValue,
    ) -> Result<Vec<u8>, Trouble> {
        let writer = match self.codecs.writer(topic) {
            Some(writer) => writer,
            None => {
                let subject = format!("{topic}-value");
                let strategy = SubjectNameStrategy::TopicNameStrategyWithSchema(
                    topic.to_owned(),
                    false,
                    supplied(schema),
                );
                let found = async {
                    let found = self.encoder.get_schema_and_id(&subject, strategy).await;
                    found.map_err(|error| {
                        self.encoder.remove_errors_from_cache();
                        blame(&subject, &error)
                    })
                };
                let found = self.calls.count("find_schema", found).await?;
                self.codecs.learn_writer(topic, found.id, &found.parsed)?
            }
        };
        writer.value(&value).map_err(|e| {
            Trouble::fatal(format!("{topic}-value: an event does not fit its schema: {e}"))
        })
    }

    async fn decode(&self, bytes: &[u8]) -> Result<AvroValue, Trouble> {
        let Some((id, datum)) = parts(bytes) else {
            return Err(damaged(
                "the value does not begin with a zero and a schema id; produce it with a schema \
                 registry serializer",
            ));
        };
        let reader = match self.codecs.reader(id) {
            Some(reader) => reader,
            None => {
                let found = async {
                    self.decoder.get_schema(id).await.map_err(|error| {
                        // The library keeps such answers for ever; the schema may be registered
                        // tomorrow.
                        self.decoder.remove_errors_from_cache();
                        blame(&format!("schema {id}"), &error)
                    })
                };
                let found = self.calls.count("get_schema", found).await?;
                self.codecs.learn_reader(id, &found.parsed)?
            }
        };
        reader
            .value(datum)
            .map_err(|e| damaged(&format!("the value is not what schema {id} says: {e}")))
    }

    fn writer(&self, topic: &str) -> Option<Arc<Writer>> {
        self.codecs.writer(topic)
    }

    fn reader<'a>(&self, bytes: &'a [u8]) -> Option<(Arc<Reader>, &'a [u8])> {
        let (id, datum) = parts(bytes)?;
        Some((self.codecs.reader(id)?, datum))
    }
}

/// The schema's id and the datum.
fn parts(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&[0, id @ ..], datum) = bytes.split_first_chunk::<WIRE_HEADER>()? else { return None };
    Some((u32::from_be_bytes(id), datum))
}

fn supplied(schema: &str) -> SuppliedSchema {
    SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned())
}

fn words(error: &SRCError) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.error),
        None => error.error.clone(),
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local))
}

/// The URL as it may be shown: without user and password.
#[must_use]
pub fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_is_not_logged() {
        let registry =
            ConfluentRegistry::new("https://me:secret@registry.example:8081/v7/").unwrap();
        let shown = format!("{registry:?}");
        assert_eq!(shown, r#"ConfluentRegistry("https://…@registry.example:8081/v7")"#);
    }
}
