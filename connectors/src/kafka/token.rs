//! Tokens for IAM of Amazon MSK: a request to connect, signed as a URL (AWS Signature Version 4,
//! presigned), in base64url.
//!
//! After AWS's own signers, which agree in all that is signed: `aws-msk-iam-sasl-signer-python` and
//! `-js`, `-go`, and `aws-msk-iam-auth` for Java (Apache-2.0).

use crate::credentials::{Chain, blame};
use aws_credential_types::{Credentials, provider::error::CredentialsError};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ports::Trouble;
use rdkafka::client::OAuthToken;
use std::{
    fmt::{self, Display},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a token is good for: the longest that brokers take.
const VALID: Duration = Duration::from_secs(900);
/// The longest wait for credentials; whoever asks for them gives up before.
const PATIENCE: Duration = Duration::from_secs(20);
/// Clients that wait for credentials at once, at most.
const WAITING: usize = 256;
/// What a URL keeps as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type Asked = Result<Credentials, CredentialsError>;

/// Makes tokens. Credentials are fetched by a thread of its own: librdkafka asks from threads of
/// every kind.
pub(super) struct Tokens {
    region: String,
    /// The thread, once it is needed.
    keeper: Mutex<Option<SyncSender<SyncSender<Asked>>>>,
}

impl Tokens {
    /// Asks nobody yet.
    pub(super) fn new(region: &str) -> Self {
        Self { region: region.to_owned(), keeper: Mutex::default() }
    }

    fn keeper(&self) -> Result<SyncSender<SyncSender<Asked>>, Trouble> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keeper.as_ref() {
            return Ok(keeper.clone());
        }
        let failed =
            |e: std::io::Error| Trouble::fatal(format!("no thread for credentials begins: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (runtime, chain) = (runtime.map_err(failed)?, Chain::new(&self.region));
        let (ask, asked) = sync_channel::<SyncSender<Asked>>(WAITING);
        thread::Builder::new()
            .name("kafka credentials".to_owned())
            .spawn(move || answer(&runtime, &chain, &asked))
            .map_err(failed)?;
        Ok(keeper.insert(ask).clone())
    }

    /// A token of now. Blocks while the credentials are fetched, which is seldom.
    pub(super) fn token(&self) -> Result<OAuthToken, Trouble> {
        let late = || blame(&CredentialsError::provider_timed_out(PATIENCE));
        let (tell, told) = sync_channel(1);
        self.keeper()?.try_send(tell).map_err(|_| late())?;
        let asked = told.recv_timeout(PATIENCE).map_err(|_| late())?;
        let credentials = asked.map_err(|error| blame(&error))?;
        signed(&credentials, &self.region, SystemTime::now())
    }
}

/// Until nobody can ask any more.
fn answer(runtime: &tokio::runtime::Runtime, chain: &Chain, asked: &Receiver<SyncSender<Asked>>) {
    while let Ok(tell) = asked.recv() {
        // Whoever asked may have given up.
        drop(tell.try_send(runtime.block_on(chain.credentials())));
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("region", &self.region).finish_non_exhaustive()
    }
}

/// A token by these credentials, good from `now` on, for a quarter of an hour or as long as they are.
fn signed(credentials: &Credentials, region: &str, now: SystemTime) -> Result<OAuthToken, Trouble> {
    let failed = |e: &dyn Display| Trouble::fatal(format!("no token for kafka can be signed: {e}"));
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(VALID);
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|e| failed(&e))?
        .into();
    let host = format!("kafka.{region}.amazonaws.com");
    let mut url = format!("https://{host}/?Action=kafka-cluster%3AConnect");
    let headers = std::iter::once(("host", host.as_str()));
    let request = SignableRequest::new("GET", &url, headers, SignableBody::Bytes(&[]));
    let (instructions, _) =
        sign(request.map_err(|e| failed(&e))?, &params).map_err(|e| failed(&e))?.into_parts();
    for (name, value) in instructions.params() {
        url += &format!("&{name}={}", utf8_percent_encode(value, UNRESERVED));
    }
    // Not signed: brokers note it.
    url += concat!("&User-Agent=reelmill%2F", env!("CARGO_PKG_VERSION"));
    let ends = credentials.expiry().map_or(now + VALID, |expiry| expiry.min(now + VALID));
    let lifetime = ends.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Ok(OAuthToken {
        token: URL_SAFE_NO_PAD.encode(url),
        principal_name: "reelmill".to_owned(),
        lifetime_ms: i64::try_from(lifetime).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By botocore 1.44's `SigV4QueryAuth`, on which AWS's signer for Python rests.
    const BOTOCORE: [(Option<&str>, &str); 2] = [
        (None, "&X-Amz-Signature=a0b19b1a406692ba5e3842ee32a00498dfcef2c9778c2b65a40b6f9dc25fb421"),
        (
            Some("session/of+ann=="),
            "&X-Amz-Security-Token=session%2Fof%2Bann%3D%3D\
             &X-Amz-Signature=c6ac086a8a1b19a062ad1545bb11337c36f930a24db3386e36247b97311cfb35",
        ),
    ];
    /// 2026-01-31T09:00:00Z.
    const NOW: Duration = Duration::from_secs(1_769_850_000);

    fn keys(session: Option<&str>, expiry: Option<SystemTime>) -> Credentials {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        Credentials::new("AKIDEXAMPLE", secret, session.map(str::to_owned), expiry, "test")
    }

    #[test]
    fn a_token_is_the_url_that_aws_signs() {
        for (session, ending) in BOTOCORE {
            let token = signed(&keys(session, None), "eu-central-1", UNIX_EPOCH + NOW).unwrap();
            let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token.token).unwrap()).unwrap();
            let (url, agent) = url.split_once("&User-Agent=").unwrap();
            assert!(agent.starts_with("reelmill%2F"), "{agent}");
            let expected = format!(
                "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential=AKIDEXAMPLE%2F20260131%2Feu-central-1%2Fkafka-cluster%2F\
                 aws4_request&X-Amz-Date=20260131T090000Z&X-Amz-Expires=900\
                 &X-Amz-SignedHeaders=host{ending}"
            );
            let parts = |url: &str| {
                url.split(['?', '&']).map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(parts(url), parts(&expected));
            assert_eq!(token.lifetime_ms, 1_769_850_900_000);
        }
    }

    #[test]
    fn a_token_ends_with_its_credentials() {
        let now = UNIX_EPOCH + NOW;
        let keys = keys(Some("session"), Some(now + Duration::from_secs(60)));
        assert_eq!(signed(&keys, "us-east-1", now).unwrap().lifetime_ms, 1_769_850_060_000);
    }
}
