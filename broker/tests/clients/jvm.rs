//! Apache Kafka's own command line tools (4.3.1) against a running broker. They come from Maven
//! Central through `scripts/kafka-tools.sh`; without them these tests say so and pass, or fail if
//! `REELMILL_REQUIRE_SERVICES` is set.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rdkafka::consumer::Consumer;

use crate::support::{World, in_time, send, values};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";
const DUMP_LOG: &str = "org.apache.kafka.tools.DumpLogSegments";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";
const ACLS: &str = "org.apache.kafka.tools.AclCommand";

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka-tools.sh")
}

/// Whether the tools are installed; where services are required, their absence is a failure.
fn present() -> bool {
    let jars = std::env::home_dir().unwrap().join(".cache/reelmill/kafka-tools/4.3.1");
    let there = jars.is_dir() && Command::new("java").arg("-version").output().is_ok();
    if !there {
        assert!(
            std::env::var_os("REELMILL_REQUIRE_SERVICES").is_none(),
            "Apache Kafka's tools are required and missing: run scripts/setup.sh"
        );
        eprintln!("skipped: Apache Kafka's tools are not installed");
    }
    there
}

#[derive(Clone)]
struct Tools {
    bootstrap: String,
}

impl Tools {
    fn of(world: &World) -> Tools {
        Tools { bootstrap: world.broker.bootstrap() }
    }

    /// What a tool printed to both streams, and whether it was content.
    async fn try_run(&self, tool: &str, arguments: &str, input: &str) -> (bool, String) {
        let mut command = Command::new(script());
        command.arg(tool);
        if tool != DUMP_LOG {
            command.args(["--bootstrap-server", &self.bootstrap]);
        }
        command.args(arguments.split_whitespace());
        let input = input.to_owned();
        let began = Instant::now();
        let ran = tokio::task::spawn_blocking(move || {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // A tool that reads nothing may have closed it.
            drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
            child.wait_with_output().unwrap()
        });
        let output = in_time(ran).await.unwrap();
        println!("{tool} {arguments}: {:.1?}", began.elapsed());
        let (out, err) = (&output.stdout, &output.stderr);
        let both = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
        (output.status.success(), both)
    }

    async fn run(&self, tool: &str, arguments: &str) -> String {
        self.feed(tool, arguments, "").await
    }

    async fn feed(&self, tool: &str, arguments: &str, input: &str) -> String {
        let (content, said) = self.try_run(tool, arguments, input).await;
        assert!(content, "{tool} {arguments}\n{said}");
        assert!(!said.contains("Exception"), "{tool} {arguments}\n{said}");
        said
    }
}

/// Columns of the table row that begins with these words.
fn row<'a>(table: &'a str, begins: &[&str]) -> Vec<&'a str> {
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find(|columns| columns.starts_with(begins))
        .unwrap_or_else(|| panic!("no row {begins:?} in\n{table}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_and_config_tools_create_change_describe_and_delete() {
    if !present() {
        return;
    }
    let world = World::start().await;
    let tools = Tools::of(&world);
    let created = tools
        .run(TOPICS, "--create --topic films --partitions 3 --config retention.ms=600000")
        .await;
    assert!(created.contains("Created topic films"), "{created}");
    let (content, refused) =
        tools.try_run(TOPICS, "--create --topic odd --config cleanup.policy=compact", "").await;
    assert!(!content && refused.contains("compaction is not built"), "{refused}");

    let described = tools.run(TOPICS, "--describe --topic films").await;
    assert!(described.contains("PartitionCount: 3"), "{described}");
    assert!(described.contains("retention.ms=600000"), "{described}");
    assert!(described.contains("Partition: 2\tLeader: 1"), "{described}");
    tools.run(TOPICS, "--alter --topic films --partitions 5").await;
    let set = "--alter --entity-type topics --entity-name films";
    tools.run(CONFIGS, &format!("{set} --add-config retention.ms=5000,segment.bytes=2048")).await;
    tools.run(CONFIGS, &format!("{set} --delete-config segment.bytes")).await;
    let described = tools.run(TOPICS, "--describe --topic films").await;
    assert!(described.contains("PartitionCount: 5"), "{described}");
    assert!(described.contains("retention.ms=5000"), "{described}");
    let all = tools.run(CONFIGS, "--describe --all --entity-type topics --entity-name films").await;
    assert!(all.contains("segment.bytes=67108864"), "{all}");
    assert_eq!(tools.run(TOPICS, "--list").await.trim(), "films");

    tools.run(TOPICS, "--delete --topic films").await;
    assert_eq!(tools.run(TOPICS, "--list").await.trim(), "");
    let (content, refused) = tools.try_run(TOPICS, "--describe --topic films", "").await;
    assert!(!content && refused.contains("does not exist"), "{refused}");
    // What is not built is refused with its name, by the client itself.
    let (_, refused) = tools.try_run(ACLS, "--list", "").await;
    assert!(refused.contains("UnsupportedVersionException"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn console_clients_and_group_tools_read_write_rewind_and_forget() {
    if !present() {
        return;
    }
    let world = World::start().await;
    let (tools, clients) = (Tools::of(&world), world.clients());
    clients.create_topic("lines", 2).await;
    let lines: Vec<String> = (0..200).map(|i| format!("line-{i:03}")).collect();
    let mut read = Vec::new();
    for (codec, lines) in ["none", "gzip", "snappy", "lz4", "zstd"].iter().zip(lines.chunks(40)) {
        let arguments = format!("--topic lines --compression-codec {codec}");
        tools.feed(PRODUCER, &arguments, &(lines.join("\n") + "\n")).await;
    }
    // Both ways: librdkafka reads what the JVM wrote, packed by every codec it was built with.
    tools.run(OFFSETS, "--topic lines --time -1").await;
    let consume = "--topic lines --group readers --from-beginning --timeout-ms 20000";
    let first = tools.run(CONSUMER, &format!("{consume} --max-messages 150")).await;
    read.extend(first.lines().filter(|line| line.starts_with("line-")).map(str::to_owned));
    assert_eq!(read.len(), 150, "{first}");

    let listed = tools.run(GROUPS, "--list").await;
    assert!(listed.lines().any(|line| line == "readers"), "{listed}");
    let described = tools.run(GROUPS, "--describe --group readers").await;
    let lag = |table: &str| -> i64 {
        ["0", "1"]
            .map(|p| row(table, &["readers", "lines", p])[5].parse::<i64>().unwrap())
            .iter()
            .sum()
    };
    assert_eq!(lag(&described), 50, "{described}");
    let second = tools.run(CONSUMER, &format!("{consume} --max-messages 50")).await;
    read.extend(second.lines().filter(|line| line.starts_with("line-")).map(str::to_owned));
    read.sort();
    assert_eq!(read, lines);

    let reset = "--reset-offsets --group readers --topic lines --to-earliest --execute";
    let rewound = tools.run(GROUPS, reset).await;
    assert_eq!(row(&rewound, &["readers", "lines", "0"])[3], "0", "{rewound}");
    assert_eq!(lag(&tools.run(GROUPS, "--describe --group readers").await), 200);
    tools.run(GROUPS, "--delete-offsets --group readers --topic lines:0").await;
    let described = tools.run(GROUPS, "--describe --group readers").await;
    assert!(!described.contains("readers         lines           0"), "{described}");
    let deleted = tools.run(GROUPS, "--delete --group readers").await;
    assert!(deleted.contains("successful"), "{deleted}");
    assert!(!tools.run(GROUPS, "--list").await.contains("readers"));

    // A group somebody is in cannot be deleted or rewound, and shows who.
    let busy = clients.consumer("busy", "read_committed");
    busy.subscribe(&["lines"]).unwrap();
    in_time(busy.recv()).await.unwrap();
    let members = tools.run(GROUPS, "--describe --group busy --members").await;
    assert!(members.contains("rdkafka"), "{members}");
    let (content, refused) = tools.try_run(GROUPS, "--delete --group busy", "").await;
    assert!(!content || refused.contains("GroupNotEmptyException"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn offset_record_and_log_tools_see_what_is_there() {
    if !present() {
        return;
    }
    let world = World::start().await;
    let (tools, clients) = (Tools::of(&world), world.clients());
    clients.create_topic("kept", 1).await;
    let sent: Vec<String> = (0..100).map(|i| format!("{i:03}")).collect();
    send(&clients.producer(), "kept", 1, sent).await.unwrap();
    let file = world.folder.path().join("delete.json");
    let wanted = r#"{"partitions":[{"topic":"kept","partition":0,"offset":40}],"version":1}"#;
    std::fs::write(&file, wanted).unwrap();
    let deleted =
        tools.run(DELETE_RECORDS, &format!("--offset-json-file {}", file.display())).await;
    assert!(deleted.contains("low_watermark: 40"), "{deleted}");
    for (time, offset) in [("-1", 100), ("-2", 40), ("earliest-local", 40)] {
        let found = tools.run(OFFSETS, &format!("--topic kept --time {time}")).await;
        assert_eq!(found.trim(), format!("kept:0:{offset}"), "{time}");
    }
    // The latest record is one of the last batch.
    let latest = tools.run(OFFSETS, "--topic kept --time max-timestamp").await;
    let latest: i64 = latest.trim().strip_prefix("kept:0:").unwrap().parse().unwrap();
    assert!((40..100).contains(&latest));
    let dirs = tools.run(LOG_DIRS, "--describe --topic-list kept").await;
    assert!(dirs.contains("\"partition\":\"kept-0\"") && dirs.contains("\"size\":"), "{dirs}");

    // The files are Kafka's own format.
    let log = world.folder.path().join("data/topics/kept/0/00000000000000000000.log");
    let dumped = tools.run(DUMP_LOG, &format!("--print-data-log --files {}", log.display())).await;
    assert!(dumped.contains("payload: 099"), "{dumped}");
    assert!(!dumped.contains("isvalid: false"), "{dumped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transactional_load_of_the_jvm_arrives_once_and_its_tool_sees_it() {
    if !present() {
        return;
    }
    let world = World::start().await;
    let (tools, clients) = (Tools::of(&world), world.clients());
    clients.create_topic("load", 4).await;
    let perf = "--topic load --num-records 20000 --record-size 100 --throughput -1 \
                --transactional-id perf --transaction-duration-ms 20 --command-property acks=all";
    let said = tools.run(PERFORMANCE, perf).await;
    assert!(said.contains("20000 records sent"), "{said}");
    let consume = "--topic load --from-beginning --isolation-level read_committed \
                   --max-messages 20000 --timeout-ms 20000";
    let read = tools.run(CONSUMER, consume).await;
    assert!(read.contains("Processed a total of 20000 messages"), "{}", &read[read.len() - 200..]);

    let open = clients.transactional("open", 60_000).await.unwrap();
    rdkafka::producer::Producer::begin_transaction(&open).unwrap();
    send(&open, "load", 1, ["open".to_owned()]).await.unwrap();
    let listed = tools.run(TRANSACTIONS, "list").await;
    assert_eq!(row(&listed, &["perf"])[3], "CompleteCommit", "{listed}");
    assert_eq!(row(&listed, &["open"])[3], "Ongoing", "{listed}");
    let described = tools.run(TRANSACTIONS, "describe --transactional-id open").await;
    assert!(described.contains("load-0"), "{described}");
    let producers = tools.run(TRANSACTIONS, "describe-producers --topic load --partition 0").await;
    assert!(producers.lines().count() >= 3, "{producers}");
    let end = clients.consumer("nobody", "read_committed");
    let (_, high) = end.fetch_watermarks("load", 0, Duration::from_secs(20)).unwrap();
    assert!(high > 0);
    let everything = in_time(clients.read("load", "read_committed", 20_000)).await;
    assert_eq!(values(&everything).len(), 20_000);
}
