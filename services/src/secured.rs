//! Kafka with TLS and logins.

#![expect(clippy::unwrap_used, reason = "used by tests only: one ends at the first surprise")]

use crate::{Own, Service, installed};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use tempfile::TempDir;

pub const USER: &str = "ann";
pub const PASSWORD: &str = "hush-hush";
pub const REGION: &str = "eu-central-1";

/// An Apache Kafka with a listener of every kind, for one program of tests.
#[derive(Debug)]
pub struct Secured {
    own: Own,
    /// TLS, and whoever comes.
    pub tls: String,
    /// TLS, and [`USER`] with [`PASSWORD`]: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.
    pub login: String,
    /// TLS, and tokens as Amazon MSK takes them, of the keys that `MskIam.java` knows, for [`REGION`].
    pub iam: String,
    /// PEM file of the authority that has signed Kafka's certificate.
    pub ca: PathBuf,
    /// Of another one.
    pub other_ca: PathBuf,
    _dir: TempDir,
}

impl Secured {
    /// `None` where Kafka is not installed.
    #[must_use]
    pub fn get() -> Option<&'static Self> {
        static SECURED: OnceLock<Option<Secured>> = OnceLock::new();
        SECURED.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        if !installed(Service::Kafka) {
            return None;
        }
        let dir = TempDir::new().unwrap();
        let [tls, login, iam] = free_ports();
        let at = |port: u16| format!("127.0.0.1:{port}");
        authority(dir.path(), "ca");
        authority(dir.path(), "other");
        certificate(dir.path());
        let keys = dir.path().join("server.pem");
        let jaas = "org.apache.kafka.common.security";
        let lines = [
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{port2}},\
                 TLS://127.0.0.1:{tls},LOGIN://127.0.0.1:{login},IAM://127.0.0.1:{iam}"
            ),
            format!(
                "advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},TLS://127.0.0.1:{tls},\
                 LOGIN://127.0.0.1:{login},IAM://127.0.0.1:{iam}"
            ),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,\
             LOGIN:SASL_SSL,IAM:SASL_SSL"
                .to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", keys.display()),
            "listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
                .to_owned(),
            format!(
                "listener.name.login.plain.sasl.jaas.config={jaas}.plain.PlainLoginModule required \
                 user_{USER}=\"{PASSWORD}\";"
            ),
            format!(
                "listener.name.login.scram-sha-256.sasl.jaas.config={jaas}.scram.ScramLoginModule \
                 required;"
            ),
            format!(
                "listener.name.login.scram-sha-512.sasl.jaas.config={jaas}.scram.ScramLoginModule \
                 required;"
            ),
            "listener.name.iam.sasl.enabled.mechanisms=OAUTHBEARER".to_owned(),
            format!(
                "listener.name.iam.oauthbearer.sasl.jaas.config={jaas}.oauthbearer.\
                 OAuthBearerLoginModule required;"
            ),
            "listener.name.iam.oauthbearer.sasl.server.callback.handler.class=MskIam".to_owned(),
            // A session ends with its token, if the client does not show a new one before.
            "listener.name.iam.oauthbearer.connections.max.reauth.ms=3600000".to_owned(),
        ];
        fs::write(dir.path().join("server.properties"), lines.join("\n") + "\n").unwrap();
        let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .map(|kind| format!("{kind}=[name={USER},password={PASSWORD}]\n"));
        fs::write(dir.path().join("users"), users.concat()).unwrap();
        compile(dir.path())?;
        let own = Own::start_with(
            &[Service::Kafka],
            &[("REELMILL_KAFKA_EXTRA", dir.path().to_str().unwrap())],
        )?;
        Some(Self {
            own,
            tls: at(tls),
            login: at(login),
            iam: at(iam),
            ca: dir.path().join("ca.pem"),
            other_ca: dir.path().join("other.pem"),
            _dir: dir,
        })
    }

    /// Without TLS.
    #[must_use]
    pub fn plaintext(&self) -> String {
        self.own.kafka()
    }

    /// What Kafka has said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.own.folder().join("kafka/log")).unwrap()
    }
}

/// Below the range that the system hands out by itself.
fn free_ports() -> [u16; 3] {
    let start = 20_000 + (std::process::id() % 10_000) as u16;
    let mut held = (start..32_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    [(); 3].map(|()| held.next().unwrap()).map(|one| one.local_addr().unwrap().port())
}

fn run(program: &str, folder: &Path, arguments: &str) {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments}: {said}");
}

fn authority(folder: &Path, name: &str) {
    run(
        "openssl",
        folder,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out \
             {name}.pem"
        ),
    );
}

fn certificate(folder: &Path) {
    fs::write(folder.join("san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    run(
        "openssl",
        folder,
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    );
    run(
        "openssl",
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san \
         -out server.crt",
    );
    let key = fs::read_to_string(folder.join("server.key")).unwrap();
    let certificate = fs::read_to_string(folder.join("server.crt")).unwrap();
    fs::write(folder.join("server.pem"), key + &certificate).unwrap();
}

/// The class that checks tokens.
fn compile(folder: &Path) -> Option<()> {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services/kafka/MskIam.java");
    let kafka = std::env::home_dir()?.join(".cache/reelmill/kafka-tools");
    let kafka = fs::read_dir(kafka).ok()?.flatten().map(|entry| entry.path());
    let kafka = kafka.into_iter().find(|path| path.is_dir())?;
    run("javac", folder, &format!("-cp {}/* -d classes {}", kafka.display(), source.display()));
    Some(())
}
