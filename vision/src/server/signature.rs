//! Whether a request is signed by somebody we know: AWS's Signature Version 4, in a header.
//!
//! The request is signed again with the secret we know, by the code AWS's SDK signs with, and must
//! come to the same signature.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use super::{clock::Clock, fault::Fault};
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_types::date_time::{DateTime, Format};
use axum::http::HeaderMap;
use std::{
    fmt,
    time::{Duration, SystemTime},
};
use subtle::ConstantTimeEq;

/// How far a request's time may be from ours, as at AWS.
const MOST_SKEW: Duration = Duration::from_secs(15 * 60);
const ALGORITHM: &str = "AWS4-HMAC-SHA256 ";
const DATE: &str = "x-amz-date";

/// The keys whose requests are taken.
#[derive(Clone)]
pub struct Keys {
    pub access_key: String,
    pub secret_key: String,
}

/// Without the secret.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// `POST /` with these headers and this body, as our server takes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Keys {
    /// Refuses what they did not sign, or not within a quarter of an hour of `clock`.
    pub(super) fn check(&self, request: Signed<'_>, clock: &Clock) -> Result<(), Fault> {
        let text = |name: &str| request.headers.get(name).and_then(|v| v.to_str().ok());
        let scope = Scope::read(text("authorization").unwrap_or_default())
            .ok_or_else(|| invalid("the authorization header is not one of Signature Version 4"))?;
        if scope.access_key != self.access_key {
            let message =
                "the access key is not known here: set REELMILL_ACCESS_KEY alike on both sides";
            return Err(Fault::new("UnrecognizedClientException", message));
        }
        let time = text(DATE).and_then(time_of).ok_or_else(|| invalid("x-amz-date is missing"))?;
        let skew = clock.now().duration_since(time).unwrap_or_else(|early| early.duration());
        if skew > MOST_SKEW {
            let message = format!("the request was signed {} s from now", skew.as_secs());
            return Err(invalid(&format!("{message}: set the clocks of both sides")));
        }
        let own = self.sign(&scope, time, request).ok_or_else(|| invalid("nothing to check"))?;
        if bool::from(own.as_bytes().ct_eq(scope.signature.as_bytes())) {
            return Ok(());
        }
        Err(invalid(
            "the signature is not the secret key's: set REELMILL_SECRET_KEY alike on both sides",
        ))
    }

    fn sign(&self, scope: &Scope<'_>, time: SystemTime, request: Signed<'_>) -> Option<String> {
        let mut settings = SigningSettings::default();
        // The client decides what it signs.
        settings.excluded_headers = None;
        let credentials = Credentials::new(&self.access_key, &self.secret_key, None, None, "own");
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(scope.region)
            .name(scope.service)
            .time(time)
            .settings(settings)
            .build()
            .ok()?
            .into();
        let mut headers = Vec::new();
        for name in scope.headers.split(';').filter(|name| *name != DATE) {
            for value in request.headers.get_all(name) {
                headers.push((name, value.to_str().ok()?));
            }
        }
        let host = request.headers.get("host")?.to_str().ok()?;
        let (uri, body) = (format!("http://{host}/"), SignableBody::Bytes(request.body));
        let signable = SignableRequest::new("POST", uri, headers.into_iter(), body).ok()?;
        Some(sign(signable, &params).ok()?.signature().to_owned())
    }
}

/// What an authorization header says.
#[derive(Debug, PartialEq, Eq)]
struct Scope<'a> {
    access_key: &'a str,
    region: &'a str,
    service: &'a str,
    headers: &'a str,
    signature: &'a str,
}

impl<'a> Scope<'a> {
    fn read(authorization: &'a str) -> Option<Self> {
        let parts = authorization.strip_prefix(ALGORITHM)?.split(',').map(str::trim);
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for part in parts {
            match part.split_once('=')? {
                ("Credential", value) => credential = Some(value),
                ("SignedHeaders", value) => headers = Some(value),
                ("Signature", value) => signature = Some(value),
                _ => return None,
            }
        }
        // From the right: an access key may hold slashes.
        let mut scope = credential?.rsplitn(5, '/');
        let ("aws4_request", service, region, _date) =
            (scope.next()?, scope.next()?, scope.next()?, scope.next()?)
        else {
            return None;
        };
        let access_key = scope.next()?;
        Some(Self { access_key, region, service, headers: headers?, signature: signature? })
    }
}

/// `20150830T123600Z` as a time.
fn time_of(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    let usual = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    SystemTime::try_from(DateTime::from_str(&usual, Format::DateTime).ok()?).ok()
}

fn invalid(message: &str) -> Fault {
    Fault::new("InvalidSignatureException", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_header_is_read_and_anything_else_is_not() {
        let header = "AWS4-HMAC-SHA256 Credential=a/b/20150830/us-east-1/iam/aws4_request, \
                      SignedHeaders=host;x-amz-date, Signature=5d67";
        let scope = Scope::read(header).unwrap();
        assert_eq!((scope.access_key, scope.region, scope.service), ("a/b", "us-east-1", "iam"));
        assert_eq!((scope.headers, scope.signature), ("host;x-amz-date", "5d67"));
        for wrong in [
            "",
            "Bearer x",
            "AWS4-HMAC-SHA256 ",
            "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/iam/aws4_request",
            "AWS4-HMAC-SHA256 Credential=iam/aws4_request, SignedHeaders=host, Signature=1",
            "AWS4-HMAC-SHA256 Credential=a/1/2/3/other, SignedHeaders=host, Signature=1",
        ] {
            assert_eq!(Scope::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_date_is_a_time_and_anything_else_is_not() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        assert_eq!(time_of("20150830T123600Z"), Some(time));
        for wrong in ["", "20150830", "20150830T123600", "2015é830T123600Z", "20159930T123600Z"] {
            assert_eq!(time_of(wrong), None, "{wrong}");
        }
    }
}
