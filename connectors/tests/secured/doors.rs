//! TLS, users and passwords.

use crate::{
    numbers::{copy_all, record, spec, topics},
    world::{kafka, security},
};
use connectors::kafka::{Bar, Kafka, Protocol, Security, Watch};
use engine::{LogOpener, Trouble};
use ports::Log;
use services::{PASSWORD, Secured};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The loops have one group.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());

const KINDS: [Protocol; 5] = [
    Protocol::Plaintext,
    Protocol::Tls,
    Protocol::SaslPlain,
    Protocol::ScramSha256,
    Protocol::ScramSha512,
];

fn at(world: &Secured, protocol: Protocol) -> String {
    match protocol {
        Protocol::Plaintext => world.plaintext(),
        Protocol::Tls => world.tls.clone(),
        Protocol::AwsMskIam => world.iam.clone(),
        _ => world.login.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_listener_lets_us_in_and_the_loop_over_it_is_exactly_once() {
    let Some(world) = Secured::get() else { return };
    let _turn = TURN.lock().await;
    let mut asked = 0;
    for protocol in KINDS {
        let client = |name: &str| kafka(&at(world, protocol), security(world, protocol), name);
        let admin = client("admin");
        admin.create_topics(&topics()).await.unwrap();
        crate::numbers::ask(&admin, asked..asked + 20).await;
        let mut log = client("a").open(&spec()).await.unwrap();
        copy_all(&mut log, 20).await;
        log.close().await;
        asked += 20;
        assert_eq!(answered_below_1000(&admin).await, (0..asked).collect::<Vec<_>>());
        assert_eq!(waiting(&admin).await, Ok(Some(0)), "{protocol:?}");
        assert_eq!(admin.look(Duration::from_secs(4)).await.unwrap().brokers.len(), 1);
        let settings = admin.settings(&["in"], 1, Duration::from_secs(4)).await.unwrap();
        assert_eq!(settings.0["in"]["retention.ms"], "604800000", "{protocol:?}");
        let redriven = admin.redrive("copy", |_| true, |_, _| {}).await.unwrap();
        assert_eq!(redriven.sent, 0, "{protocol:?}");
    }
}

/// Others have numbers of their own.
async fn answered_below_1000(kafka: &Kafka) -> Vec<u32> {
    crate::numbers::answered(kafka).await.into_iter().filter(|number| *number < 1000).collect()
}

/// A broker that has much to do may take some of it to look at a login.
const PATIENCE: Duration = Duration::from_secs(20);

/// What waits for `copy`.
async fn waiting(kafka: &Kafka) -> Result<Option<usize>, Trouble> {
    let kafka = kafka.clone();
    tokio::task::spawn_blocking(move || {
        let waiting = Watch::new(&kafka, [spec()])?.look()?;
        Ok(waiting.get("copy").map(|waiting| waiting.events))
    })
    .await
    .unwrap()
}

/// Where somebody wants in, how, what keeps him out, and a word of what he is told.
struct Case {
    name: &'static str,
    at: String,
    security: Security,
    by: Bar,
    /// Whether it is known for sure: else it may be a broker that has just died.
    is_certain: bool,
    word: &'static str,
}

fn cases(world: &Secured) -> Vec<Case> {
    let right = |protocol| security(world, protocol);
    let case = |name, protocol: Protocol, by, is_certain, word| Case {
        name,
        at: at(world, protocol),
        security: right(protocol),
        by,
        is_certain,
        word,
    };
    let changed = |case: Case, change: &dyn Fn(&mut Security)| {
        let Case { mut security, .. } = case;
        change(&mut security);
        Case { security, ..case }
    };
    let scram = Protocol::ScramSha512;
    vec![
        changed(
            case("no authority", Protocol::Tls, Bar::Certificate, true, "REELMILL_KAFKA_CA"),
            &|security| security.ca = None,
        ),
        changed(
            case("a wrong authority", scram, Bar::Certificate, true, "REELMILL_KAFKA_CA"),
            &|security| security.ca = Some(world.other_ca.clone()),
        ),
        changed(
            case("a wrong password", scram, Bar::Login, true, "REELMILL_KAFKA_PASSWORD"),
            &|security| security.password = Some("hush-wrong".to_owned()),
        ),
        changed(
            case(
                "a wrong password",
                Protocol::SaslPlain,
                Bar::Login,
                true,
                "REELMILL_KAFKA_PASSWORD",
            ),
            &|security| security.password = Some("hush-wrong".to_owned()),
        ),
        changed(
            case("a wrong user", Protocol::ScramSha256, Bar::Login, true, "REELMILL_KAFKA_USER"),
            &|security| security.user = Some("bob".to_owned()),
        ),
        Case {
            at: world.iam.clone(),
            ..case("another login", scram, Bar::Mechanism, true, "REELMILL_KAFKA_SECURITY")
        },
        Case {
            at: world.tls.clone(),
            ..case("no TLS", Protocol::Plaintext, Bar::SpeaksTls, false, "to tls")
        },
        Case {
            at: world.plaintext(),
            ..case("too much TLS", Protocol::Tls, Bar::NoTls, false, "to plaintext")
        },
        Case {
            at: world.login.clone(),
            ..case("no login", Protocol::Tls, Bar::NoLogin, false, "REELMILL_KAFKA_SECURITY")
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_us_out_is_told_by_every_client_with_its_remedy() {
    let Some(world) = Secured::get() else { return };
    let (certain, uncertain): (Vec<_>, Vec<_>) =
        cases(world).into_iter().partition(|case| case.is_certain);
    // All at once are more handshakes than a slow machine's broker answers in the time that each has.
    let one_by_one = tokio::spawn(async {
        for case in certain {
            kept_out(case).await;
        }
    });
    let waiting = uncertain.into_iter().map(|case| tokio::spawn(kept_out(case)));
    for done in futures::future::join_all(waiting.chain([one_by_one])).await {
        done.unwrap();
    }
}

async fn kept_out(case: Case) {
    let Case { name, at, security, by, is_certain, word } = case;
    let client = kafka(&at, security.clone(), "a");
    let began = Instant::now();
    let unseen = client.look(PATIENCE).await.unwrap_err();
    let barred = unseen.barred.clone().map(|barred| barred.by);
    assert_eq!(barred, Some(by), "{name}: {unseen:?}");
    assert!(by.remedy(&security).contains(word), "{name}: {}", by.remedy(&security));
    assert!(!is_certain || began.elapsed() < PATIENCE / 2, "{name}: it is told soon");
    let spec = spec();
    let topics = topics();
    let (listed, made, opened, sent, read, waits, redriven) = tokio::join!(
        client.list_topics(),
        client.create_topics(&topics),
        client.open(&spec),
        client.produce(record("in", 1)),
        client.read_all("in"),
        waiting(&client),
        client.redrive("copy", |_| true, |_, _| {}),
    );
    for (what, told) in [
        ("list", listed.err()),
        ("create", made.err()),
        ("open", opened.err()),
        ("produce", sent.err()),
        ("read", read.err()),
        ("watch", waits.err()),
        ("redrive", redriven.err()),
    ] {
        let told = told.unwrap();
        let text = told.to_string();
        assert_eq!(matches!(told, Trouble::Fatal(_)), is_certain, "{name}, {what}: {text}");
        assert!(text.contains(word), "{name}, {what}: {text}");
        assert!(!text.contains("hush") && !text.contains(PASSWORD), "{name}, {what}: {text}");
    }
}
