//! What a person who looks for a fault asks of a registry. Nothing is registered.

use super::{ConfluentRegistry, blame::refused, embedded::Level};
use crate::causes;
use apache_avro::Schema;
use ports::Trouble;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How a schema stands to what a registry has of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is one of the versions.
    Known,
    /// It may follow all of them, both ways, and is not registered yet.
    New,
    /// There is no version yet.
    Absent,
    /// It cannot read what one of them wrote, or the other way round.
    Breaks { version: u64, why: String },
}

/// A subject of a registry, and our schema of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub standing: Standing,
    /// What the registry asks of new versions; where absent it did not say.
    pub level: Option<String>,
}

impl ConfluentRegistry {
    /// The subjects there are.
    ///
    /// # Errors
    /// Where nothing answers as a registry does.
    pub async fn subjects(&self, within: Duration) -> Result<Vec<String>, Trouble> {
        let (status, body) = self.asked(Method::GET, "/subjects", None, within).await?;
        if !status.is_success() {
            return Err(self.declined("subjects", status, &body));
        }
        serde_json::from_value(body).map_err(|_| {
            Trouble::fatal("something else than a schema registry answers there".to_owned())
        })
    }

    /// How a schema stands to its subject.
    ///
    /// # Errors
    /// Where the registry does not say.
    pub async fn look(
        &self,
        subject: &str,
        schema: &str,
        within: Duration,
    ) -> Result<Subject, Trouble> {
        let path = format!("/config/{subject}?defaultToGlobal=true");
        let (_, told) = self.asked(Method::GET, &path, None, within).await?;
        let level = told.get("compatibilityLevel").and_then(Value::as_str).map(str::to_owned);
        Ok(Subject { standing: self.standing(subject, schema, within).await?, level })
    }

    async fn standing(
        &self,
        subject: &str,
        schema: &str,
        within: Duration,
    ) -> Result<Standing, Trouble> {
        let question = json!({ "schema": schema, "schemaType": "AVRO" });
        let path = format!("/subjects/{subject}");
        let (status, body) = self.asked(Method::POST, &path, Some(&question), within).await?;
        match (status, body.get("error_code").and_then(Value::as_u64)) {
            (status, _) if status.is_success() => return Ok(Standing::Known),
            (_, Some(40401)) => return Ok(Standing::Absent),
            (_, Some(40403)) => {}
            _ => return Err(self.declined(subject, status, &body)),
        }
        let ours = parsed(subject, schema)?;
        let path = format!("/subjects/{subject}/versions");
        let (status, body) = self.asked(Method::GET, &path, None, within).await?;
        let versions: Vec<u64> = serde_json::from_value(body.clone())
            .map_err(|_| self.declined(subject, status, &body))?;
        for version in versions {
            let path = format!("/subjects/{subject}/versions/{version}");
            let (status, body) = self.asked(Method::GET, &path, None, within).await?;
            let Some(older) = body.get("schema").and_then(Value::as_str) else {
                return Err(self.declined(subject, status, &body));
            };
            let objection = match parsed(subject, older) {
                Ok(older) => Level::FullTransitive.objection(&older, &ours),
                Err(_) => Some("it is no Avro schema that can be read".to_owned()),
            };
            if let Some(why) = objection {
                return Ok(Standing::Breaks { version, why });
            }
        }
        Ok(Standing::New)
    }

    async fn asked(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Result<(StatusCode, Value), Trouble> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).timeout(within);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/vnd.schemaregistry.v1+json")
                .body(body.to_string());
        }
        let away = |e: reqwest::Error| {
            let e = e.without_url();
            Trouble::away("registry_unreachable", causes(&e))
        };
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let text = answer.text().await.map_err(away)?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    fn declined(&self, subject: &str, status: StatusCode, body: &Value) -> Trouble {
        let code = body.get("error_code").and_then(Value::as_u64);
        let code = code.and_then(|code| u32::try_from(code).ok());
        refused(subject, code.unwrap_or(u32::from(status.as_u16())), &body.to_string())
    }
}

fn parsed(subject: &str, schema: &str) -> Result<Schema, Trouble> {
    Schema::parse_str(schema).map_err(|e| Trouble::fatal(format!("{subject}: {e}")))
}
