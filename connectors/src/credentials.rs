//! Credentials from AWS's default chain: environment, web identity (IRSA), the endpoint of Pod Identity
//! and ECS, profile, instance metadata.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_sdk_s3::error::DisplayErrorContext;
use ports::Trouble;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Mutex, OnceCell},
    time::timeout,
};

/// How long the chain may take, with its own tries.
const ASKED: Duration = Duration::from_secs(15);
/// What expires sooner is asked for anew.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// What does not say when it expires is asked for again after this long: a file may have changed.
const UNDATED: Duration = Duration::from_secs(15 * 60);

/// The chain's credentials, kept until shortly before they expire. Cloning shares. The SDK's own
/// clients keep theirs by themselves.
#[derive(Clone)]
pub(crate) struct Chain(Arc<Shared>);

struct Shared {
    region: String,
    provider: OnceCell<SharedCredentialsProvider>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    credentials: Credentials,
    fresh_until: SystemTime,
}

impl Chain {
    /// Asks nothing yet.
    pub(crate) fn new(region: &str) -> Self {
        let (provider, kept) = (OnceCell::new(), Mutex::new(None));
        Self(Arc::new(Shared { region: region.to_owned(), provider, kept }))
    }

    /// What is kept, or new ones. Those who come meanwhile wait for the one who asks.
    pub(crate) async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut kept = self.0.kept.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.fresh_until) {
            return Ok(kept.credentials.clone());
        }
        let asked = ask(self.provider().await).await;
        match (asked, kept.as_ref()) {
            (Ok(credentials), _) => {
                let fresh_until = match credentials.expiry() {
                    // Short-lived ones are kept for half of what is left.
                    Some(expiry) => (expiry - EARLY)
                        .max(now + expiry.duration_since(now).unwrap_or_default() / 2),
                    None => now + UNDATED,
                };
                *kept = Some(Kept { credentials: credentials.clone(), fresh_until });
                Ok(credentials)
            }
            // They are good for some minutes more.
            (Err(_), Some(Kept { credentials, .. }))
                if credentials.expiry().is_some_and(|expiry| now < expiry) =>
            {
                Ok(credentials.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn provider(&self) -> &SharedCredentialsProvider {
        let make = async || {
            let region = Region::new(self.0.region.clone());
            let loaded =
                aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
            let none = || SharedCredentialsProvider::new(Nothing);
            loaded.credentials_provider().unwrap_or_else(none)
        };
        self.0.provider.get_or_init(make).await
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("region", &self.0.region).finish_non_exhaustive()
    }
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// A chain without links.
#[derive(Debug)]
struct Nothing;

impl ProvideCredentials for Nothing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("an empty chain")))
    }
}

/// Asks a provider, for a bounded time.
pub(crate) async fn ask(
    provider: &SharedCredentialsProvider,
) -> Result<Credentials, CredentialsError> {
    let late = |_| Err(CredentialsError::provider_timed_out(ASKED));
    timeout(ASKED, provider.provide_credentials()).await.unwrap_or_else(late)
}

/// Whether nobody has credentials for us, or who has them cannot be asked now.
pub(crate) fn blame(error: &CredentialsError) -> Trouble {
    let said = DisplayErrorContext(error).to_string();
    match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            Trouble::fatal(format!(
                "AWS's default chain has no credentials ({said}): give the service account a role \
                 (IRSA or Pod Identity), or set AWS's environment variables, or REELMILL_ACCESS_KEY \
                 and REELMILL_SECRET_KEY for stores and detectors with keys of their own"
            ))
        }
        _ => Trouble::away(
            "credentials_unavailable",
            format!(
                "AWS's credentials cannot be had now ({said}); see the role's trust policy and \
                 whether its endpoint can be reached"
            ),
        ),
    }
}
