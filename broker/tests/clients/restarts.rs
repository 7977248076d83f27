use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedMessage,
    producer::{FutureRecord, Producer},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::{sleep, timeout_at},
};

use crate::support::{
    Clients, PATIENCE, World, abort, blocking, commit, in_time, receive, send, values,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_had_committed_before_a_restart() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("kept", 2).await;
    send(&clients.producer(), "kept", 2, (0..100).map(|i| format!("{i:03}"))).await.unwrap();
    let consumer = clients.consumer("readers", "read_committed");
    let mut committed = TopicPartitionList::new();
    committed.add_partition_offset("kept", 0, Offset::Offset(30)).unwrap();
    committed.add_partition_offset("kept", 1, Offset::Offset(10)).unwrap();
    consumer.commit(&committed, CommitMode::Sync).unwrap();
    // Left open on purpose: the restart must neither lose nor end it.
    clients.create_topic("open", 1).await;
    let open = clients.transactional("open", 60_000).await.unwrap();
    open.begin_transaction().unwrap();
    send(&open, "open", 1, ["open".to_owned()]).await.unwrap();

    let world = world.restart().await;
    let clients = world.clients();
    let consumer = clients.consumer("readers", "read_committed");
    consumer.subscribe(&["kept"]).unwrap();
    let read = in_time(receive(&consumer, 60)).await;
    assert_eq!(read.len(), 60);
    assert_eq!(read.iter().filter(|record| record.partition == 0).count(), 20);
    assert_eq!(clients.read("open", "read_committed", 0).await, []);

    let successor = clients.transactional("open", 60_000).await.unwrap();
    successor.begin_transaction().unwrap();
    send(&successor, "open", 1, ["after".to_owned()]).await.unwrap();
    commit(&successor).await.unwrap();
    let read = in_time(clients.read("open", "read_committed", 1)).await;
    assert_eq!(values(&read), ["after"]);
}

/// A broker in a process of its own, which can be killed.
async fn serve(data: &Path, port: u16) -> (Child, SocketAddr) {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/serve");
    let began = Instant::now();
    loop {
        let mut child = Command::new(&program)
            .arg(data)
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        if let Ok(address) = line.trim().parse() {
            return (child, address);
        }
        // The killed broker's port or lock may take a moment to become free.
        assert!(began.elapsed() < PATIENCE, "{:?}", child.wait_with_output().await);
        sleep(Duration::from_millis(50)).await;
    }
}

/// Copies `in` to `out` exactly once, and starts over whenever anything goes wrong.
async fn copy(clients: Clients, done: Arc<AtomicBool>) -> Copied {
    let mut copied = Copied::default();
    while !done.load(Ordering::Relaxed) {
        if copy_until_trouble(&clients, &done, &mut copied).await.is_err() {
            copied.troubles += 1;
            sleep(Duration::from_millis(100)).await;
        }
    }
    copied
}

#[derive(Debug, Default)]
struct Copied {
    transactions: usize,
    troubles: usize,
}

async fn copy_until_trouble(
    clients: &Clients,
    done: &AtomicBool,
    copied: &mut Copied,
) -> Result<(), KafkaError> {
    let producer = clients.transactional("copy.0", 20_000).await?;
    let consumer = clients.consumer("copy", "read_committed");
    consumer.subscribe(&["in"])?;
    while !done.load(Ordering::Relaxed) {
        // Before polling: a rebalance after this makes the commit fail, as it must.
        let membership = consumer.group_metadata();
        let mut batch: Vec<OwnedMessage> = Vec::new();
        let until = tokio::time::Instant::now() + Duration::from_millis(50);
        while batch.len() < 20
            && let Ok(received) = timeout_at(until, consumer.recv()).await
        {
            match received {
                Ok(message) => batch.push(message.detach()),
                // The broker is being restarted; the client reconnects by itself.
                Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
                )) => sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(error),
            }
        }
        let (Some(membership), false) = (membership, batch.is_empty()) else { continue };
        producer.begin_transaction()?;
        let mut next = HashMap::new();
        let mut sent = Vec::new();
        for message in &batch {
            let record = FutureRecord::<str, _>::to("out")
                .payload(message.payload().unwrap_or_default())
                .partition(message.partition());
            sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
            next.insert(message.partition(), message.offset() + 1);
        }
        let written = async {
            for delivery in sent {
                delivery.await.map_err(|_| KafkaError::Canceled)?.map_err(|(error, _)| error)?;
            }
            let mut offsets = TopicPartitionList::new();
            for (partition, next) in next {
                offsets.add_partition_offset("in", partition, Offset::Offset(next))?;
            }
            blocking(&producer, move |producer| {
                producer.send_offsets_to_transaction(&offsets, &membership, PATIENCE)
            })
            .await?;
            commit(&producer).await
        };
        if let Err(error) = written.await {
            // If even this fails, the next `init_transactions` aborts.
            drop(abort(&producer).await);
            return Err(error);
        }
        copied.transactions += 1;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_in_the_middle_of_transactions_loses_nothing_and_doubles_nothing() {
    const RECORDS: usize = 2_000;
    const KILLS: u64 = 5;
    let folder = tempfile::tempdir().unwrap();
    let (mut child, address) = serve(folder.path(), 0).await;
    let clients = Clients { bootstrap: address.to_string() };
    clients.create_topic("in", 4).await;
    clients.create_topic("out", 4).await;
    let expected: Vec<String> = (0..RECORDS).map(|i| format!("{i:05}")).collect();

    let done = Arc::new(AtomicBool::new(false));
    let copying = tokio::spawn(copy(clients.clone(), done.clone()));
    let producing: JoinHandle<()> = tokio::spawn({
        let (producer, values) = (clients.producer(), expected.clone());
        async move {
            for values in values.chunks(20) {
                send(&producer, "in", 4, values.to_vec()).await.unwrap();
                sleep(Duration::from_millis(40)).await;
            }
        }
    });
    for kill in 0..KILLS {
        sleep(Duration::from_millis(600 + 170 * kill)).await;
        child.kill().await.unwrap();
        (child, _) = serve(folder.path(), address.port()).await;
    }
    in_time(producing).await.unwrap();

    let read = in_time(clients.read("out", "read_committed", RECORDS)).await;
    done.store(true, Ordering::Relaxed);
    let copied = in_time(copying).await.unwrap();
    assert_eq!(values(&read), expected, "{copied:?}");
    assert_eq!(values(&in_time(clients.read("in", "read_committed", RECORDS)).await), expected);
    let ends = clients.committed("copy", "in").await;
    assert_eq!(ends.len(), 4);
    assert!(ends.values().all(|end| matches!(end, Offset::Offset(_))), "{ends:?}");
    assert!(copied.transactions > 10, "{copied:?}");
    child.kill().await.unwrap();
}
