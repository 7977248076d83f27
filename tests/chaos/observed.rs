//! The world as it is in the end: topics as a `read_committed` consumer sees them, the store, the
//! index, the catalogue.

use crate::mill::{BUCKET, World};
use connectors::database::Database;
use engine::header;
use futures::future::join_all;
use ports::{
    Catalog, DeadLetterRow, ObjectRef, Record, SchemaRegistry, Store, VideoFilter, VideoRow, Viewer,
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const REQUEST: Duration = Duration::from_secs(30);
/// Recordings are small here.
const LARGEST: u64 = 64 << 20;

/// A committed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) topic: String,
    pub(crate) id: String,
    pub(crate) video: String,
    pub(crate) run: String,
    /// Of its clip; 0 for an event of a whole video.
    pub(crate) index: usize,
}

/// A committed dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// By its key.
    pub(crate) video: String,
    pub(crate) reason: String,
    pub(crate) detail: String,
}

/// A search document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) run: String,
    pub(crate) moments: usize,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    pub(crate) events: Vec<Event>,
    pub(crate) letters: Vec<Letter>,
    /// Records on retry topics: work put off.
    pub(crate) retries: usize,
    /// Partitions with a transaction that nobody has ended.
    pub(crate) open: Vec<String>,
    /// Keys in the store.
    pub(crate) objects: BTreeSet<String>,
    /// SHA-256 of each recording by its key.
    pub(crate) recordings: BTreeMap<String, String>,
    /// By video.
    pub(crate) documents: BTreeMap<String, Document>,
    pub(crate) rows: BTreeMap<String, VideoRow>,
    pub(crate) told: Vec<DeadLetterRow>,
    /// Left in scratch directories.
    pub(crate) scratch: Vec<String>,
}

impl Observed {
    /// All there is. `scratch` is known to the fleet.
    pub(crate) async fn look(world: &World, scratch: Vec<String>) -> Self {
        let mut observed = Self { scratch, open: open_transactions(world), ..Self::default() };
        for record in all_records(world).await {
            if record.topic.starts_with("reelmill.retry.") {
                observed.retries += 1;
            } else if record.topic.starts_with("reelmill.dead.") {
                observed.letters.push(letter(&record));
            } else if record.topic != "video-uploaded" {
                observed.events.push(event(world, &record).await);
            }
        }
        for object in world.store.list(BUCKET, "").await.unwrap() {
            if object.key.starts_with("recordings/") {
                let at = ObjectRef::new(BUCKET, &object.key);
                let body = world.store.read(&at, LARGEST).await.unwrap();
                observed.recordings.insert(object.key.clone(), sha256(&body));
            }
            observed.objects.insert(object.key);
        }
        observed.documents = documents(world).await;
        (observed.rows, observed.told) = catalogue(world).await;
        observed
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn letter(record: &Record) -> Letter {
    let text = |name| record.headers.text(name).unwrap_or_default().to_owned();
    let at = record.position.as_ref().unwrap();
    Letter {
        topic: record.topic.clone(),
        partition: at.partition,
        offset: at.offset,
        video: key(record),
        reason: text(header::DEAD_REASON),
        detail: text(header::DEAD_DETAIL),
    }
}

/// The video that a record's key names.
fn key(record: &Record) -> String {
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
    key.split('/').next().unwrap_or_default().to_owned()
}

async fn event(world: &World, record: &Record) -> Event {
    let value = world.registry.decode(record.value.as_deref().unwrap()).await.unwrap();
    let fields: Value = schemas::decode_json(&record.topic, value).unwrap();
    let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    Event {
        topic: record.topic.clone(),
        id: record.headers.text("ce_id").unwrap_or_default().to_owned(),
        video: text("video_id"),
        run: text("run_id"),
        index: fields["index"].as_u64().map_or(0, |n| usize::try_from(n).unwrap()),
    }
}

/// Every committed record of every topic of the mill.
async fn all_records(world: &World) -> Vec<Record> {
    let topics = reelmill::pipeline::shape().topics();
    let read = topics.iter().map(|topic| world.kafka.read_all(topic));
    join_all(read).await.into_iter().flat_map(Result::unwrap).collect()
}

fn consumer(world: &World, group: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", &world.bootstrap)
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap()
}

fn open_transactions(world: &World) -> Vec<String> {
    let committed = consumer(world, "chaos", "read_committed");
    let all = consumer(world, "chaos", "read_uncommitted");
    let metadata = all.fetch_metadata(None, REQUEST).unwrap();
    let ours = reelmill::pipeline::shape().topics();
    let mut open = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| ours.iter().any(|t| t == topic.name())) {
        for partition in topic.partitions() {
            let end = |consumer: &BaseConsumer| {
                consumer.fetch_watermarks(topic.name(), partition.id(), REQUEST).unwrap().1
            };
            let (all, committed) = (end(&all), end(&committed));
            if committed < all {
                open.push(format!("{}/{}: {committed} < {all}", topic.name(), partition.id()));
            }
        }
    }
    open
}

/// Who has not settled what: `processor: topic/partition at 3 of 7`.
pub(crate) async fn unsettled(world: &World) -> Vec<String> {
    let mut next = BTreeMap::new();
    for record in all_records(world).await {
        let at = record.position.unwrap();
        let end = next.entry((at.topic, at.partition)).or_insert(0);
        *end = (at.offset + 1).max(*end);
    }
    let mut behind = Vec::new();
    for spec in reelmill::pipeline::shape().specs() {
        let mut asked = TopicPartitionList::new();
        let reads = next.iter().filter(|((topic, _), _)| spec.reads.contains(topic));
        for ((topic, partition), _) in reads {
            asked.add_partition(topic, *partition);
        }
        if asked.count() == 0 {
            continue;
        }
        let group = consumer(world, spec.name, "read_committed");
        let Ok(committed) = group.committed_offsets(asked, REQUEST) else {
            behind.push(format!("{}: its offsets are not told", spec.name));
            continue;
        };
        for lane in committed.elements() {
            let (topic, partition) = (lane.topic().to_owned(), lane.partition());
            let at = if let Offset::Offset(at) = lane.offset() { at } else { 0 };
            let end = next[&(topic.clone(), partition)];
            if at < end {
                behind.push(format!("{}: {topic}/{partition} at {at} of {end}", spec.name));
            }
        }
    }
    behind
}

/// Every document behind the alias.
async fn documents(world: &World) -> BTreeMap<String, Document> {
    let http = reqwest::Client::new();
    let ask = async |path: &str, body: Value| -> Value {
        let url = format!("{}{path}", world.index.trim_end_matches('/'));
        http.post(url).json(&body).send().await.unwrap().json().await.unwrap()
    };
    let mut documents = BTreeMap::new();
    let first = json!({"size": 1000, "query": {"match_all": {}}, "sort": ["_doc"]});
    let mut page = ask("/reelmill/_search?scroll=5m", first).await;
    loop {
        let hits = page["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{page:#}")).clone();
        if hits.is_empty() {
            return documents;
        }
        for hit in hits {
            let source = &hit["_source"];
            let run = source["document"]["run_id"].as_str().unwrap_or_default().to_owned();
            let moments = source["moments"].as_array().map_or(0, Vec::len);
            let video = hit["_id"].as_str().unwrap().to_owned();
            documents.insert(video, Document { run, moments });
        }
        let next = json!({"scroll": "5m", "scroll_id": page["_scroll_id"]});
        page = ask("/_search/scroll", next).await;
    }
}

async fn catalogue(world: &World) -> (BTreeMap<String, VideoRow>, Vec<DeadLetterRow>) {
    let catalog = Database::open(&world.database.parse().unwrap()).await.unwrap();
    let mut rows = BTreeMap::new();
    for page in 0.. {
        let filter = VideoFilter {
            viewer: Viewer::Local,
            owner: None,
            assessment: None,
            page,
            page_size: 100,
        };
        let videos = catalog.videos(&filter).await.unwrap().videos;
        if videos.is_empty() {
            break;
        }
        rows.extend(videos.into_iter().map(|row| (row.video_id.clone(), row)));
    }
    let told = catalog.dead_letters(None, 1_000_000).await.unwrap();
    catalog.close().await;
    (rows, told)
}
