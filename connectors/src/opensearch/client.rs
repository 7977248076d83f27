//! One request, one answer, and what went wrong between.

use super::OpenSearchConfig;
use super::blame::{Problem, blame};
use crate::credentials::{self, Chain};
use ::opensearch::auth::Credentials;
use ::opensearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use ::opensearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use ::opensearch::http::{Method, Url};
use aws_config::Region;
use aws_credential_types::provider::SharedCredentialsProvider;
use percent_encoding::percent_decode_str;
use ports::Trouble;
use serde_json::Value;

/// Types of bodies.
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

#[derive(Debug, Clone)]
pub(super) struct Client {
    transport: Transport,
    /// The address, without secrets.
    pub(super) at: String,
    /// Who signs, where it is signed.
    signer: Option<Chain>,
}

impl Client {
    pub(super) fn new(config: &OpenSearchConfig) -> Result<Self, Trouble> {
        let wrong = |cause: &dyn std::fmt::Display| {
            Trouble::fatal(format!(
                "`{}` is no address of OpenSearch ({cause}): write http://HOST:9200 or \
                 https://HOST:9200 in --opensearch",
                without_secrets(&config.url)
            ))
        };
        let mut url = Url::parse(&config.url).map_err(|e| wrong(&e))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong(&"not http"));
        }
        let mut credentials = None;
        if let Some(user) = &config.user {
            let password = config.password.clone().unwrap_or_default();
            credentials = Some(Credentials::Basic(user.clone(), password));
        } else if !url.username().is_empty() {
            let password = plain(url.password().unwrap_or_default());
            credentials = Some(Credentials::Basic(plain(url.username()), password));
        }
        let signer = config.signed_for.as_ref().map(|region| Chain::new(region));
        if let (Some(region), Some(chain)) = (&config.signed_for, &signer) {
            if credentials.is_some() || config.password.is_some() {
                return Err(Trouble::fatal(
                    "requests to OpenSearch are either signed or sent with a user and a password: take \
                     --opensearch-iam away, or user and password",
                ));
            }
            let chain = SharedCredentialsProvider::new(chain.clone());
            credentials = Some(Credentials::AwsSigV4(chain, Region::new(region.clone())));
        }
        // They fail only for addresses without a host.
        let cleared = url.set_username("").and_then(|()| url.set_password(None));
        cleared.map_err(|()| wrong(&"no host"))?;
        let at = url.to_string().trim_end_matches('/').to_owned();
        let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        let mut transport =
            TransportBuilder::new(SingleNodeConnectionPool::new(url)).timeout(config.patience);
        if loopback {
            transport = transport.disable_proxy();
        }
        if let Some(credentials) = credentials {
            transport = transport.auth(credentials);
        }
        Ok(Self { transport: transport.build().map_err(|e| wrong(&e))?, at, signer })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Problem> {
        self.send(Method::Get, path, JSON, None).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        self.send(Method::Put, path, JSON, Some(body.to_string().into_bytes())).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        self.send(Method::Post, path, JSON, Some(body.to_string().into_bytes())).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, Problem> {
        self.send(Method::Delete, path, JSON, None).await
    }

    /// Lines of JSON.
    pub(super) async fn bulk(&self, path: &str, lines: Vec<u8>) -> Result<Value, Problem> {
        self.send(Method::Post, path, LINES, Some(lines)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &'static str,
        body: Option<Vec<u8>>,
    ) -> Result<Value, Problem> {
        if let Some(signer) = &self.signer {
            // Kept ones mostly. The client itself would say no more than that it could not sign.
            signer.credentials().await.map_err(|e| Problem::Unsigned(credentials::blame(&e)))?;
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let answer = self
            .transport
            .send(method, path, headers, None::<&()>, body, None)
            .await
            .map_err(|e| Problem::of_client(&e))?;
        let status = answer.status_code().as_u16();
        let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok());
        let wait = wait.map(str::to_owned);
        let text = answer.text().await.map_err(|e| Problem::of_client(&e))?;
        let value = serde_json::from_str::<Value>(&text);
        match (status, value) {
            (200..300, Ok(value)) => Ok(value),
            (200..300, Err(error)) => {
                let start: String = text.chars().take(80).collect();
                Err(Problem::Foreign(format!("{error}, after `{start}`")))
            }
            (_, Ok(value)) => {
                Err(Problem::refused(status, value.get("error")).asking_for(wait.as_deref()))
            }
            (_, Err(_)) => {
                let start: String = text.chars().take(200).collect();
                let problem = Problem::refused(status, Some(&Value::String(start)));
                Err(problem.asking_for(wait.as_deref()))
            }
        }
    }

    pub(super) fn blame(&self, problem: &Problem) -> Trouble {
        blame(&self.at, problem)
    }
}

/// `%40` in an address is `@`.
fn plain(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// An address that is none may still hold a password.
fn without_secrets(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://…@{host}")
        }
        None => url.to_owned(),
    }
}
