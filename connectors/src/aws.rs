//! What the AWS connectors share: how to reach a service, and what an error says.

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::{
    config::{Credentials, ProvideCredentials, SharedCredentialsProvider},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};
use ports::Trouble;
use std::time::Duration;

/// How long a TCP and TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long one request may take: a part of 8 MiB over a slow line, or the completion of a large
/// upload. Bodies that stall are cut off earlier by the SDK.
const ATTEMPT: Duration = Duration::from_secs(120);

/// Tries within the SDK. The engine retries too, and knows for how long it is worth it.
const ATTEMPTS: u32 = 2;

/// A service's address and our keys to it.
pub(crate) struct Access<'a> {
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) region: &'a str,
    pub(crate) access_key: Option<&'a str>,
    pub(crate) secret_key: Option<&'a str>,
}

/// The SDK's settings. Without keys they come from the default chain (environment, profile, web
/// identity, instance), which is asked once here, so that a missing key is found at the start.
pub(crate) async fn sdk_config(access: Access<'_>) -> Result<SdkConfig, Trouble> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(access.region.to_owned()))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_attempt_timeout(ATTEMPT)
                .build(),
        );
    if let Some(endpoint) = access.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    match (access.access_key, access.secret_key) {
        (Some(id), Some(secret)) => {
            let keys = Credentials::new(id, secret, None, None, "configuration");
            Ok(loader.credentials_provider(keys).load().await)
        }
        (None, None) => {
            let config = loader.load().await;
            prove(config.credentials_provider()).await?;
            Ok(config)
        }
        _ => Err(Trouble::fatal("an access key and its secret belong together: set both or none")),
    }
}

async fn prove(provider: Option<SharedCredentialsProvider>) -> Result<(), Trouble> {
    let missing = |cause: String| {
        Trouble::fatal(format!(
            "no credentials ({cause}): set an access key and its secret, or AWS's environment variables"
        ))
    };
    let Some(provider) = provider else { return Err(missing("no provider".to_owned())) };
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(missing(DisplayErrorContext(&error).to_string())),
    }
}

/// An SDK error, reduced to what blame is decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request could not be built from what was asked.
    Unbuilt(String),
    /// No connection, a broken one, or no answer in time.
    Unreached(String),
    /// An answer that is none of the protocol.
    Garbled { status: u16, detail: String },
    /// The service said no. `code` is empty where the answer has no body (HEAD).
    Answered { status: u16, code: String, message: String },
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|r| r.status().as_u16());
        match (&error, status) {
            (SdkError::ConstructionFailure(_), _) => {
                Self::Unbuilt(DisplayErrorContext(&error).to_string())
            }
            (SdkError::ServiceError(service), Some(status)) => Self::Answered {
                status,
                code: service.err().code().unwrap_or_default().to_owned(),
                message: service.err().message().unwrap_or_default().to_owned(),
            },
            (SdkError::ResponseError(_), Some(status)) => {
                Self::Garbled { status, detail: DisplayErrorContext(&error).to_string() }
            }
            _ => Self::Unreached(DisplayErrorContext(&error).to_string()),
        }
    }
}
