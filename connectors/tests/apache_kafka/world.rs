//! Apache Kafka, two for all tests of this program, which take turns at them: they mostly wait.

use crate::numbers;
use connectors::kafka::{Kafka, KafkaLog};
use engine::LogOpener;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};
use services::{Own, Service};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, MutexGuard};

pub(crate) struct World {
    own: &'static Own,
    bootstrap: String,
    admin: Kafka,
    _turn: MutexGuard<'static, ()>,
}

/// A Kafka, started by the first test that has its turn.
struct Place {
    turn: Mutex<()>,
    own: OnceLock<Option<Own>>,
}

impl Place {
    const fn new() -> Self {
        Self { turn: Mutex::const_new(()), own: OnceLock::new() }
    }
}

impl World {
    /// Kafka with nothing in it but the topics of the tests; `None` where it is not installed.
    pub(crate) async fn new() -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        static PLACES: [Place; 2] = [const { Place::new() }; 2];
        let Place { turn, own } = &PLACES[NEXT.fetch_add(1, Ordering::Relaxed) % PLACES.len()];
        let turn = turn.lock().await;
        let own = own.get_or_init(|| Own::start(&[Service::Kafka])).as_ref()?;
        if own.pid(Service::Kafka).is_none() {
            own.restart(Service::Kafka);
        }
        let bootstrap = own.kafka();
        empty(&bootstrap).await;
        let admin = numbers::kafka(&bootstrap, "admin");
        admin.create_topics(&numbers::topics()).await.unwrap();
        Some(Self { own, bootstrap, admin, _turn: turn })
    }

    pub(crate) fn kafka(&self, instance: &str) -> Kafka {
        numbers::kafka(&self.bootstrap, instance)
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    pub(crate) async fn log(&self, instance: &str) -> KafkaLog {
        self.kafka(instance).open(&numbers::spec()).await.unwrap()
    }

    pub(crate) async fn ask(&self, numbers: std::ops::Range<u32>) {
        numbers::ask(&self.admin, numbers).await;
    }

    pub(crate) async fn answered(&self) -> Vec<u32> {
        numbers::answered(&self.admin).await
    }

    pub(crate) async fn stop(&mut self) {
        tokio::task::block_in_place(|| self.own.stop(Service::Kafka));
    }

    /// Stops Kafka and starts it again on the same port and data.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    pub(crate) async fn start_again(&mut self) {
        tokio::task::block_in_place(|| self.own.restart(Service::Kafka));
    }
}

/// Removes what the test before has left: its group, once its members are given up, and its topics.
async fn empty(bootstrap: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    // Asked again where a broker that has just started leaves a request lying.
    let soon = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let deleted = admin.delete_groups(&["copy", "reelmill-admin"], &soon).await.unwrap();
        let refused: Vec<_> = deleted
            .into_iter()
            .filter_map(Result::err)
            .filter(|(_, code)| *code != RDKafkaErrorCode::GroupIdNotFound)
            .collect();
        if refused.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let kafka = numbers::kafka(bootstrap, "admin");
    let topics = kafka.list_topics().await.unwrap();
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    for deleted in admin.delete_topics(&names, &options).await.unwrap() {
        deleted.unwrap();
    }
    // The broker shows them for a moment longer, and they would be taken for the new ones.
    while !kafka.list_topics().await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "topics that were deleted are still shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
