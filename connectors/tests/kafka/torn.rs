//! A commit that is held up on its way, sent again by the client, and arrives in the next
//! transaction: it ends that one half-way. Three loops go through it.

use crate::{
    numbers::{kafka, record, records, spec},
    proxy::Proxy,
    world::World,
};
use connectors::kafka::KafkaLog;
use engine::LogOpener;
use ports::{Committed, Log, Record, Settled};
use rdkafka::{
    ClientConfig,
    error::KafkaResult,
    producer::{BaseProducer, BaseRecord, Producer},
    util::Timeout,
};
use std::{collections::BTreeMap, ops::Range, time::Duration};
use tokio::task::spawn_blocking;

/// Transactions of the two loops that tear them, and how many are parked. Whether a parked commit
/// meets the transaction after it is a matter of moments: where none has, as many are tried again.
const TRANSACTIONS: u32 = 60;
const ROUNDS: u32 = 5;
const PARK_EVERY: u64 = 10;
/// Records of a transaction.
const RECORDS: usize = 8;
const STEP: Duration = Duration::from_secs(10);

/// A loop as in a beginner's guide: what cannot be committed is left behind.
fn naive(numbers: Range<u32>, anew: &dyn Fn() -> BaseProducer) {
    let mut producer = anew();
    for number in numbers {
        if transact(&producer, number).is_err() {
            producer = anew();
        }
    }
}

/// A careful one: aborts on every error it is told of, and does it again.
fn aborting(numbers: Range<u32>, anew: &dyn Fn() -> BaseProducer) {
    let mut producer = anew();
    for number in numbers {
        while transact(&producer, number).is_err() {
            if producer.abort_transaction(STEP).is_err() {
                producer = anew();
            }
        }
    }
}

fn transact(producer: &BaseProducer, number: u32) -> KafkaResult<()> {
    producer.begin_transaction()?;
    let text = number.to_string();
    for _half in 0..2 {
        for _ in 0..RECORDS / 2 {
            let record = BaseRecord::to("out").key(&text).payload(&text);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(STEP)?;
    }
    producer.commit_transaction(Timeout::Never)
}

fn producer(bootstrap: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", "demonstration")
        .set("reconnect.backoff.ms", "10")
        .create()
        .unwrap();
    producer.init_transactions(STEP).unwrap();
    producer
}

/// How many transactions are neither there as a whole, once, nor absent.
async fn torn(world: &World) -> usize {
    let records = world.kafka("reader").read_all("out").await.unwrap();
    count(&records).values().filter(|seen| **seen != RECORDS).count()
}

/// The records of each transaction.
fn count(records: &[Record]) -> BTreeMap<Vec<u8>, usize> {
    let mut seen = BTreeMap::new();
    for record in records {
        *seen.entry(record.value.as_ref().unwrap().to_vec()).or_insert(0) += 1;
    }
    seen
}

fn accepted(proxy: &Proxy) -> usize {
    proxy.released().into_iter().filter(|code| *code == 0).count()
}

/// Lets a loop work until it has torn a transaction.
async fn tears(work: fn(Range<u32>, &dyn Fn() -> BaseProducer)) {
    let Some(world) = World::new().await else { return };
    let proxy = Proxy::start(&world.bootstrap(), PARK_EVERY).await;
    let mut most = 0;
    for round in 0..ROUNDS {
        let bootstrap = proxy.bootstrap();
        let numbers = round * TRANSACTIONS..(round + 1) * TRANSACTIONS;
        spawn_blocking(move || work(numbers, &|| producer(&bootstrap))).await.unwrap();
        let torn = torn(&world).await;
        println!("round {round}: {torn} torn; the broker said {:?}", proxy.released());
        most = torn.min(accepted(&proxy));
        if most > 0 {
            break;
        }
    }
    assert!(most > 0, "none was torn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_naive_loop_tears_transactions() {
    tears(naive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_aborts_on_every_error_tears_transactions() {
    tears(aborting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_tears_none() {
    let Some(world) = World::new().await else { return };
    let long = std::env::var_os("REELMILL_LONG").is_some();
    let (transactions, park_every) = if long { (10_000, 50) } else { (600, 30) };
    let direct = world.kafka("asking");
    for chunk in (0..transactions).collect::<Vec<_>>().chunks(500) {
        let sends = chunk.iter().map(|number| direct.produce(record("in", *number)));
        for sent in futures::future::join_all(sends).await {
            sent.unwrap();
        }
    }
    let proxy = Proxy::start(&world.bootstrap(), park_every).await;
    let mut log: KafkaLog = kafka(&proxy.bootstrap(), "a").open(&spec()).await.unwrap();
    let (mut done, mut rewound) = (0, 0);
    while done < transactions {
        let (epoch, records) = records(&mut log, 1).await;
        match log.commit(epoch, records.iter().map(answer).collect()).await.unwrap() {
            Committed::Yes => done += 1,
            Committed::Rewound => rewound += 1,
        }
    }
    log.close().await;
    let released = proxy.released();
    println!("ours: {done} transactions, {rewound} begun again; the broker said {released:?}");
    // One that is parked last may never be let go.
    assert!(released.len() as u64 + 1 >= u64::from(transactions) / park_every, "{released:?}");
    assert_eq!(accepted(&proxy), 0, "{released:?}");
    let seen = count(&world.kafka("reader").read_all("out").await.unwrap());
    assert_eq!(seen.len(), usize::try_from(transactions).unwrap());
    assert_eq!(torn(&world).await, 0);
}

/// Records of one input, over the partitions.
fn answer(asked: &Record) -> Settled {
    let number: u32 = std::str::from_utf8(asked.value.as_ref().unwrap()).unwrap().parse().unwrap();
    let outputs = (0..RECORDS).map(|part| Record {
        key: Some(format!("{number}/{}", part % (RECORDS / 2)).into()),
        ..record("out", number)
    });
    Settled { done: asked.position.clone().unwrap(), outputs: outputs.collect() }
}
