use broker::{Broker, BrokerError, Options};
use rdkafka::{
    admin::{AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::Consumer,
    types::RDKafkaErrorCode,
};

use crate::support::{Clients, PATIENCE, World, options};

fn partitions(clients: &Clients, topic: &str) -> usize {
    let consumer = clients.consumer("nobody", "read_committed");
    consumer.fetch_metadata(Some(topic), PATIENCE).unwrap().topics()[0].partitions().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_grown_described_and_deleted() {
    let world = World::start().await;
    let (clients, admin) = (world.clients(), world.clients().admin());
    let options = AdminOptions::new();
    let topic = NewTopic::new("seven", 7, TopicReplication::Fixed(1)).set("retention.ms", "1000");
    let unspecified = NewTopic::new("default", -1, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic, &unspecified], &options).await.unwrap();
    assert_eq!(created, [Ok("seven".to_owned()), Ok("default".to_owned())]);
    assert_eq!((partitions(&clients, "seven"), partitions(&clients, "default")), (7, 4));

    let again = admin.create_topics(&[topic], &options).await.unwrap();
    assert_eq!(again, [Err(("seven".to_owned(), RDKafkaErrorCode::TopicAlreadyExists))]);
    let illegal = NewTopic::new("a/b", 1, TopicReplication::Fixed(1));
    let refused = admin.create_topics(&[illegal], &options).await.unwrap();
    assert_eq!(refused, [Err(("a/b".to_owned(), RDKafkaErrorCode::InvalidTopic))]);
    let copies = NewTopic::new("copies", 1, TopicReplication::Fixed(3));
    let refused = admin.create_topics(&[copies], &options).await.unwrap();
    let code = RDKafkaErrorCode::InvalidReplicationFactor;
    assert_eq!(refused, [Err(("copies".to_owned(), code))]);

    let grown = admin.create_partitions(&[NewPartitions::new("seven", 9)], &options).await;
    assert_eq!(grown.unwrap(), [Ok("seven".to_owned())]);
    assert_eq!(partitions(&clients, "seven"), 9);
    let shrunk = admin.create_partitions(&[NewPartitions::new("seven", 3)], &options).await;
    let code = RDKafkaErrorCode::InvalidPartitions;
    assert_eq!(shrunk.unwrap(), [Err(("seven".to_owned(), code))]);

    let described = admin.describe_configs(&[ResourceSpecifier::Topic("seven")], &options).await;
    let config = described.unwrap().remove(0).unwrap();
    assert_eq!(config.get("retention.ms").unwrap().value.as_deref(), Some("1000"));

    let deleted = admin.delete_topics(&["seven"], &options).await.unwrap();
    assert_eq!(deleted, [Ok("seven".to_owned())]);
    let deleted = admin.delete_topics(&["seven"], &options).await.unwrap();
    assert_eq!(deleted, [Err(("seven".to_owned(), RDKafkaErrorCode::UnknownTopicOrPartition))]);
    assert_eq!(partitions(&clients, "seven"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_created_again_under_a_deleted_name_is_empty_also_after_a_restart() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("again", 1).await;
    let producer = clients.producer();
    crate::support::send(&producer, "again", 1, ["old".to_owned()]).await.unwrap();
    clients.admin().delete_topics(&["again"], &AdminOptions::new()).await.unwrap();
    clients.create_topic("again", 1).await;
    let world = world.restart().await;
    assert_eq!(world.clients().read("again", "read_uncommitted", 0).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_about_a_topic_creates_it_only_if_the_broker_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    for auto_create_topics in [false, true] {
        let options = Options { auto_create_topics, ..options(&folder) };
        let broker = Broker::start(options).await.unwrap();
        let clients = Clients { bootstrap: broker.bootstrap() };
        let mut config = clients.config();
        config.set("allow.auto.create.topics", "true").set("group.id", "nobody");
        let consumer: rdkafka::consumer::BaseConsumer = config.create().unwrap();
        let mut found = 0;
        // The client's first answer may be the one from before the creation.
        for _ in 0..10 {
            let metadata = consumer.fetch_metadata(Some("new"), PATIENCE).unwrap();
            found = metadata.topics()[0].partitions().len();
            if found > 0 {
                break;
            }
        }
        assert_eq!(found, if auto_create_topics { 4 } else { 0 });
        broker.stop().await;
    }
}

#[tokio::test]
async fn a_second_broker_on_the_same_data_or_port_says_so() {
    let world = World::start().await;
    let error = Broker::start(options(&world.folder)).await.unwrap_err();
    assert!(matches!(error, BrokerError::DataDirInUse { .. }), "{error}");
    let other = tempfile::tempdir().unwrap();
    let port = world.broker.address().port();
    let error = Broker::start(Options { port, ..options(&other) }).await.unwrap_err();
    assert!(matches!(error, BrokerError::Bind { .. }), "{error}");
    assert!(!other.path().join("data").exists(), "nothing is touched before the port is ours");
    world.broker.stop().await;
    Broker::start(options(&world.folder)).await.unwrap().stop().await;
}
