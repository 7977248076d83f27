//! What the AWS connectors share: how to reach a service, and what an error says.

use crate::credentials::{ask, blame};
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::{
    config::{Credentials, SharedCredentialsProvider},
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

/// The SDK's settings. Without keys they come from the default chain, which is asked once here, so that
/// missing credentials are found at the start; the SDK asks again before they expire.
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
    let Some(provider) = provider else {
        return Err(blame(&CredentialsError::not_loaded("no provider")));
    };
    ask(&provider).await.map(drop).map_err(|error| blame(&error))
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

/// Why a service cannot be used, for a person who looks for the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    pub why: Why,
    /// What was said, by the service too.
    pub said: String,
}

/// What is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing answers.
    Unreached,
    /// Something answers that does not speak this protocol.
    Foreign,
    /// The service knows no such bucket.
    NoBucket,
    /// The access key is unknown, or the secret key is not its own.
    Keys,
    /// Signatures of this machine are too old or not valid yet.
    Clock,
    /// The keys are right, and may not do this.
    Rights,
    /// Another region or endpoint is in charge.
    Region,
    /// It answers, and cannot do it now.
    Busy,
    Other,
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        let (why, said) = match failure {
            Failure::Unbuilt(detail) => (Why::Other, detail),
            Failure::Unreached(detail) => (Why::Unreached, detail),
            Failure::Garbled { status, detail } => {
                (Why::Foreign, format!("it answered {status}: {detail}"))
            }
            Failure::Answered { status, code, message } => {
                let said = format!("it answered {status} {code}: {message}");
                (why(status, &code, &message), said.trim_end_matches([':', ' ']).to_owned())
            }
        };
        Self { why, said }
    }
}

fn why(status: u16, code: &str, message: &str) -> Why {
    match (code, status) {
        ("NoSuchBucket" | "InvalidBucketName", _) => Why::NoBucket,
        ("RequestTimeTooSkewed" | "RequestExpired", _) => Why::Clock,
        ("InvalidSignatureException", _) if message.contains("expired") => Why::Clock,
        (
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "NotSignedUp"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "InvalidClientTokenId"
            | "IncompleteSignature"
            | "MissingAuthenticationTokenException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidToken",
            _,
        ) => Why::Keys,
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect", _)
        | (_, 301 | 307) => Why::Region,
        ("AccessDenied" | "AccessDeniedException" | "AllAccessDisabled", _) => Why::Rights,
        (_, 429 | 500..) => Why::Busy,
        // A service of this protocol says why; `NotFound` is the client's own word for a bare 404.
        ("" | "NotFound", _) => Why::Foreign,
        (_, 401 | 403) => Why::Rights,
        _ => Why::Other,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_keys_missing_rights_missing_buckets_and_wrong_clocks_are_told_apart() {
        for (status, code, message, expected) in [
            (404, "NoSuchBucket", "", Why::NoBucket),
            (403, "InvalidAccessKeyId", "", Why::Keys),
            (403, "SignatureDoesNotMatch", "", Why::Keys),
            (400, "InvalidSignatureException", "does not match", Why::Keys),
            (400, "InvalidSignatureException", "Signature expired: 2026", Why::Clock),
            (403, "RequestTimeTooSkewed", "", Why::Clock),
            (403, "AccessDenied", "", Why::Rights),
            (400, "AccessDeniedException", "", Why::Rights),
            (301, "PermanentRedirect", "", Why::Region),
            (400, "AuthorizationHeaderMalformed", "", Why::Region),
            (503, "SlowDown", "", Why::Busy),
            (404, "", "", Why::Foreign),
            (404, "NotFound", "", Why::Foreign),
            (400, "SomethingNew", "", Why::Other),
        ] {
            assert_eq!(why(status, code, message), expected, "{status} {code}");
        }
    }
}
