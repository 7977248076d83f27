//! Who is let in, and by whom: TLS and SASL towards the brokers.

use rdkafka::{ClientConfig, types::RDKafkaErrorCode};
use std::{fmt, path::PathBuf};

/// How the brokers are spoken to.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Security {
    pub protocol: Protocol,
    /// PEM file of the authorities that may have signed the brokers' certificates; those of this
    /// machine where absent.
    pub ca: Option<PathBuf>,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Of [`Protocol::AwsMskIam`].
    pub region: String,
}

/// What a listener of the brokers speaks. All but the first are over TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Plaintext,
    Tls,
    SaslPlain,
    ScramSha256,
    ScramSha512,
    /// IAM of Amazon MSK: a signed URL as a token, with credentials of AWS's default chain.
    AwsMskIam,
}

impl Protocol {
    /// Whether a user and a password are told.
    #[must_use]
    pub fn has_user(self) -> bool {
        matches!(self, Self::SaslPlain | Self::ScramSha256 | Self::ScramSha512)
    }

    /// As Kafka calls it.
    fn mechanism(self) -> Option<&'static str> {
        match self {
            Self::Plaintext | Self::Tls => None,
            Self::SaslPlain => Some("PLAIN"),
            Self::ScramSha256 => Some("SCRAM-SHA-256"),
            Self::ScramSha512 => Some("SCRAM-SHA-512"),
            Self::AwsMskIam => Some("OAUTHBEARER"),
        }
    }
}

impl Security {
    pub(super) fn set(&self, client: &mut ClientConfig) {
        if self.protocol == Protocol::Plaintext {
            return;
        }
        let mechanism = self.protocol.mechanism();
        client.set("security.protocol", if mechanism.is_some() { "sasl_ssl" } else { "ssl" });
        if let Some(ca) = &self.ca {
            client.set("ssl.ca.location", ca.to_string_lossy());
        }
        if let Some(mechanism) = mechanism {
            client.set("sasl.mechanism", mechanism);
        }
        if self.protocol.has_user() {
            client.set("sasl.username", self.user.as_deref().unwrap_or_default());
            client.set("sasl.password", self.password.as_deref().unwrap_or_default());
        }
    }
}

/// Without its secrets.
impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("protocol", &self.protocol)
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

/// Why the brokers' door stays shut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barred {
    pub by: Bar,
    /// What the client was told.
    pub said: String,
}

/// What is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// Signed by nobody that we trust, of a host of another name, or not valid now: the client does
    /// not say which.
    Certificate,
    /// The listener wants a client's certificate, which we have none of.
    ClientCertificate,
    /// User and password, or the token, are not taken.
    Login,
    /// The listener does not know this kind of login.
    Mechanism,
    /// It wants a login, and we have none.
    NoLogin,
    /// It speaks TLS, and we do not.
    SpeaksTls,
    /// We speak TLS, and it does not.
    NoTls,
    /// The new credentials are of another session than those that the connection began with: it ends,
    /// and the next one begins with them.
    Renamed,
    /// There is no token, because there are no credentials.
    Token,
}

impl Bar {
    /// Which of them it is, by librdkafka's own words (`rdkafka_ssl.c`, `rdkafka_broker.c`), if any.
    pub(super) fn of(
        protocol: Protocol,
        code: Option<RDKafkaErrorCode>,
        said: &str,
    ) -> Option<Self> {
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        // The most telling words first: some come with several guesses.
        if has(&["OAUTHBEARER token"]) {
            Some(Self::Token)
        } else if has(&["certificate verify failed", "certificate could not be verified"]) {
            Some(Self::Certificate)
        } else if has(&["client SSL authentication might be required", "certificate required"]) {
            Some(Self::ClientCertificate)
        } else if has(&["nsupported SASL mechanism", "mechanism handshake failed"]) {
            Some(Self::Mechanism)
        } else if has(&["broker might require SASL"]) {
            Some(Self::NoLogin)
        } else if has(&["Cannot change principals"]) {
            Some(Self::Renamed)
        } else if has(&["SASL authentication error"])
            || matches!(
                code,
                Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
            )
        {
            Some(Self::Login)
        } else if has(&["connecting to a PLAINTEXT", "wrong version number"]) {
            Some(Self::NoTls)
        } else if has(&["connecting to a SSL listener"]) || is_alert(said) {
            Some(Self::SpeaksTls)
        } else {
            Self::of_an_end(protocol, said)
        }
    }

    /// What it may be that a broker ends a connection, by the state it was in: "Disconnected: … (after 3ms
    /// in state APIVERSION_QUERY)".
    fn of_an_end(protocol: Protocol, said: &str) -> Option<Self> {
        let (_, rest) = said.split_once("Disconnected")?.1.split_once("(after ")?;
        let (ms, state) = rest.split_once("ms in state ")?;
        let is_soon = ms.parse::<u64>().is_ok_and(|ms| ms < 2000);
        match protocol {
            Protocol::Plaintext if state.starts_with("APIVERSION_QUERY") => Some(Self::SpeaksTls),
            Protocol::Plaintext | Protocol::Tls if is_soon && state.starts_with("UP") => {
                Some(Self::NoLogin)
            }
            _ => None,
        }
    }

    /// Whether it stays so until somebody changes a setting. The others may be guesses: a broker
    /// that ends looks alike for a moment.
    pub(super) fn is_certain(self) -> bool {
        matches!(self, Self::Certificate | Self::ClientCertificate | Self::Login | Self::Mechanism)
    }

    /// What is wrong, for this way to speak to the brokers.
    #[must_use]
    pub fn cause(self, security: &Security) -> &'static str {
        let iam = security.protocol == Protocol::AwsMskIam;
        match self {
            Self::Certificate if security.ca.is_some() => {
                "kafka's certificate is not signed by an authority in REELMILL_KAFKA_CA, or is for \
                 another host, or not valid now"
            }
            Self::Certificate => {
                "kafka's certificate is not signed by an authority that this machine knows, or is for \
                 another host, or not valid now"
            }
            Self::ClientCertificate => "kafka wants a certificate of ours",
            Self::Login if iam => "kafka does not take our IAM token",
            Self::Login => "kafka does not take our user and password",
            Self::Mechanism => "this listener of kafka does not know this kind of login",
            Self::NoLogin => "this listener of kafka wants a login",
            Self::SpeaksTls => "this listener of kafka speaks TLS, or something else than kafka",
            Self::NoTls => "this listener of kafka speaks no TLS, or something else than kafka",
            Self::Renamed => "the role's session has another name than before",
            Self::Token => "there is no IAM token, for want of credentials",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(self, security: &Security) -> &'static str {
        let iam = security.protocol == Protocol::AwsMskIam;
        match self {
            Self::Certificate => {
                "set REELMILL_KAFKA_CA (--kafka-ca) to the PEM file of its authority, and REELMILL_KAFKA \
                 (--kafka) to the name that is in it; see the clock"
            }
            Self::ClientCertificate => {
                "use a listener with ssl.client.auth=none: we have no certificate of our own, but users \
                 (REELMILL_KAFKA_SECURITY)"
            }
            Self::Login if iam => {
                "allow kafka-cluster:Connect on this cluster to the role, and see REELMILL_REGION \
                 (--region) and the clock"
            }
            Self::Login => "correct REELMILL_KAFKA_USER and REELMILL_KAFKA_PASSWORD",
            Self::Mechanism | Self::NoLogin => {
                "set REELMILL_KAFKA_SECURITY (--kafka-security) to what this listener knows, or \
                 REELMILL_KAFKA (--kafka) to another one"
            }
            Self::SpeaksTls => {
                "set REELMILL_KAFKA_SECURITY (--kafka-security) to tls, or to the listener's kind of \
                 login, or correct REELMILL_KAFKA (--kafka)"
            }
            Self::NoTls => {
                "set REELMILL_KAFKA (--kafka) to a listener with TLS, or REELMILL_KAFKA_SECURITY \
                 (--kafka-security) to plaintext"
            }
            Self::Renamed => "set AWS_ROLE_SESSION_NAME to a name that stays",
            Self::Token => {
                "give the service account a role (IRSA or Pod Identity), or set AWS's environment \
                 variables"
            }
        }
    }
}

/// Whether what was taken for the length of an answer is the beginning of an alert of TLS (21, version 3).
fn is_alert(said: &str) -> bool {
    let size = said.split_once("Invalid response size ").map(|(_, rest)| rest);
    let size = size.and_then(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
    size.is_some_and(|size| size >> 16 == 0x1503)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_shown_without_their_secrets() {
        let security = Security {
            protocol: Protocol::ScramSha512,
            user: Some("ann".to_owned()),
            password: Some("hush".to_owned()),
            ..Security::default()
        };
        assert!(!format!("{security:?}").contains("hush"));
        let mut client = ClientConfig::new();
        security.set(&mut client);
        assert_eq!(client.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(client.get("sasl.password"), Some("hush"));
        assert!(!format!("{client:?}").contains("hush"));
    }

    #[test]
    fn what_the_client_says_is_told_apart() {
        use RDKafkaErrorCode::{Authentication, SSL, SaslAuthenticationFailed};
        let scram = "SASL authentication error: Authentication failed during authentication due to \
                     invalid credentials with SASL mechanism SCRAM-SHA-512";
        let mechanism = "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: \
                         broker's supported mechanisms: OAUTHBEARER";
        let moved = "SASL authentication error: Cannot change principals during re-authentication from \
                     User.a: User.b";
        let handshake = "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: \
                         broker certificate could not be verified";
        let closed =
            "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?";
        let token = "Failed to acquire SASL OAUTHBEARER token: no credentials";
        for (code, said, bar) in [
            (Some(SaslAuthenticationFailed), scram, Bar::Login),
            (None, scram, Bar::Login),
            (Some(Authentication), mechanism, Bar::Mechanism),
            (Some(SaslAuthenticationFailed), moved, Bar::Renamed),
            (Some(SSL), handshake, Bar::Certificate),
            (None, closed, Bar::NoTls),
            (
                None,
                "Receive failed: Invalid response size 352518912 (0..100000000)",
                Bar::SpeaksTls,
            ),
            (Some(Authentication), token, Bar::Token),
        ] {
            assert_eq!(Bar::of(Protocol::ScramSha512, code, said), Some(bar), "{said}");
        }
        assert_eq!(
            Bar::of(Protocol::Tls, None, "Connection setup timed out in state CONNECT"),
            None
        );
    }

    #[test]
    fn an_answer_over_http_is_no_tls() {
        let http = "Receive failed: Invalid response size 1213486160 (0..100000000)";
        assert_eq!(Bar::of(Protocol::Plaintext, None, http), None);
    }

    #[test]
    fn an_end_is_told_by_the_state_in_which_it_came() {
        let of = |protocol, state: &str| {
            let said =
                "a:9/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN";
            Bar::of(protocol, None, &format!("{said} (after {state})"))
        };
        let (plaintext, tls) = (Protocol::Plaintext, Protocol::Tls);
        let asking = "3ms in state APIVERSION_QUERY, 1 identical error(s) suppressed";
        assert_eq!(of(plaintext, asking), Some(Bar::SpeaksTls));
        assert_eq!(of(tls, asking), None);
        assert_eq!(of(tls, "1ms in state UP"), Some(Bar::NoLogin));
        assert_eq!(of(tls, "90000ms in state UP"), None, "it is restarted, or idle");
        assert_eq!(of(Protocol::ScramSha256, "1ms in state UP"), None);
    }

    #[test]
    fn without_settings_nothing_is_set() {
        let mut client = ClientConfig::new();
        Security::default().set(&mut client);
        assert_eq!(client.config_map().len(), 0);
    }
}
