//! The embedded broker, in process.

use crate::numbers;
use broker::{Broker, Options};
use connectors::kafka::{Kafka, KafkaLog};
use engine::LogOpener;
use tempfile::TempDir;

pub(crate) struct World {
    data: TempDir,
    broker: Option<Broker>,
    bootstrap: String,
    /// For what comes from outside the mill.
    admin: Kafka,
}

impl World {
    /// A broker with the topics of the tests; there always is one.
    pub(crate) async fn new() -> Option<Self> {
        let data = TempDir::new().unwrap();
        let broker = start(&data, 0).await;
        let bootstrap = broker.bootstrap();
        let admin = numbers::kafka(&bootstrap, "admin");
        admin.create_topics(&numbers::topics()).await.unwrap();
        Some(Self { data, broker: Some(broker), bootstrap, admin })
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

    /// Stops the broker, as the end of the process would.
    pub(crate) async fn stop(&mut self) {
        self.broker.take().unwrap().stop().await;
    }

    /// Stops the broker and starts it again on the same port and data.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    pub(crate) async fn start_again(&mut self) {
        let port = self.bootstrap.rsplit(':').next().unwrap().parse().unwrap();
        self.broker = Some(start(&self.data, port).await);
    }
}

async fn start(data: &TempDir, port: u16) -> Broker {
    let options = Options {
        data: data.path().to_owned(),
        port,
        default_partitions: 4,
        sync: broker::Sync::Never,
        auto_create_topics: false,
    };
    Broker::start(options).await.unwrap()
}
