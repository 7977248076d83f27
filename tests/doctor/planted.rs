//! Misconfigurations: what is planted, and which check must find it.

use crate::{
    fake::{self, Habit},
    support::{Patient, World, write},
};
use connectors::kafka::TopicSpec;
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

/// A set-up in order, with one thing wrong.
pub(crate) struct Plant {
    pub(crate) name: &'static str,
    pub(crate) check: &'static str,
    pub(crate) state: &'static str,
    /// What must be said of it.
    pub(crate) found: &'static str,
    /// The setting or command that must be named.
    pub(crate) remedy: &'static str,
    /// Other checks that fail with it.
    pub(crate) also: &'static [&'static str],
    pub(crate) plant: fn(&World, &mut Patient),
}

const fn failed(
    name: &'static str,
    check: &'static str,
    found: &'static str,
    remedy: &'static str,
    plant: fn(&World, &mut Patient),
) -> Plant {
    Plant { name, check, state: "failed", found, remedy, also: &[], plant }
}

const fn warned(
    name: &'static str,
    check: &'static str,
    found: &'static str,
    remedy: &'static str,
    plant: fn(&World, &mut Patient),
) -> Plant {
    Plant { state: "warning", ..failed(name, check, found, remedy, plant) }
}

const NOBODY: &str = "http://127.0.0.1:1";

pub(crate) const PLANTED: [Plant; 58] = [
    failed(
        "the second look is less sure than the first",
        "configuration",
        "is below --face-threshold",
        "REELMILL_VERIFY_THRESHOLD",
        |_, p| {
            p.set("REELMILL_FACE_THRESHOLD", "0.7");
            p.set("REELMILL_VERIFY_THRESHOLD", "0.5");
        },
    ),
    warned("a slip in a variable", "variables", "REELMILL_BUKET", "REELMILL_BUCKET", |_, p| {
        p.set("REELMILL_BUKET", "other");
    }),
    Plant {
        also: &["bucket"],
        ..failed("no secret key", "secrets", "is empty", "REELMILL_SECRET_KEY", |_, p| {
            p.set("REELMILL_SECRET_KEY", "");
        })
    },
    Plant {
        also: &["bucket"],
        ..failed(
            "a secret with the line break of its file",
            "secrets",
            "white space",
            "REELMILL_SECRET_KEY",
            |_, p| p.set("REELMILL_SECRET_KEY", "hush-hush\n"),
        )
    },
    failed(
        "a user of OpenSearch without a password",
        "secrets",
        "no password",
        "REELMILL_OPENSEARCH_PASSWORD",
        |_, p| p.set("REELMILL_OPENSEARCH_USER", "ann"),
    ),
    warned("secrets for all to read", "secrets", "can read", "chmod 600", |_, p| {
        let file = p.home.path().join(".config/reelmill/config.toml");
        write(&file, "secret_key = \"hush-hush\"\n");
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        p.unset("REELMILL_SECRET_KEY");
    }),
    Plant {
        also: &["bucket"],
        ..warned("the keys of everybody", "secrets", "everybody", "REELMILL_SECRET_KEY", |_, p| {
            p.unset("REELMILL_ACCESS_KEY");
            p.unset("REELMILL_SECRET_KEY");
        })
    },
    failed("data below a file", "data", "no directory", "REELMILL_DATA", |_, p| {
        let file = p.home.path().join("file");
        write(&file, "");
        p.set("REELMILL_DATA", file.join("data").to_str().unwrap());
    }),
    failed("a file for data", "data", "no directory", "REELMILL_DATA", |_, p| {
        let file = p.home.path().join("file");
        write(&file, "");
        p.set("REELMILL_DATA", file.to_str().unwrap());
    }),
    warned("data for all to read", "data", "unmasked footage", "chmod 700", |_, p| {
        fs::create_dir_all(p.data()).unwrap();
        fs::set_permissions(p.data(), fs::Permissions::from_mode(0o755)).unwrap();
    }),
    warned(
        "scratch beyond the disk",
        "disk",
        "would be full",
        "REELMILL_SCRATCH_MAX_BYTES",
        |_, p| p.set("REELMILL_SCRATCH_MAX_BYTES", "9000000000000000"),
    ),
    failed("a port that is taken", "ports", "is not free", "REELMILL_KAFKA_PORT", |_, p| {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        p.unset("REELMILL_KAFKA");
        p.set("REELMILL_KAFKA_PORT", &taken.local_addr().unwrap().port().to_string());
        p.keep(taken);
    }),
    failed("one port for two", "ports", "wanted twice", "REELMILL_STORE_PORT", |_, p| {
        p.unset("REELMILL_S3");
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        p.set("REELMILL_STORE_PORT", &free.to_string());
        p.set("REELMILL_VISION_PORT", &free.to_string());
    }),
    failed("no broker", "broker", "nobody can be reached", "REELMILL_KAFKA", |_, p| {
        p.set("REELMILL_KAFKA", "127.0.0.1:1");
    }),
    failed("no such host", "broker", "nobody can be reached", "REELMILL_KAFKA", |_, p| {
        p.set("REELMILL_KAFKA", "no-such-host.invalid:9092");
    }),
    failed("a web server for a broker", "broker", "as Kafka does", "REELMILL_KAFKA", |w, p| {
        p.set("REELMILL_KAFKA", w.registry.trim_start_matches("http://"));
    }),
    failed("a broker that says nothing", "broker", "as Kafka does", "REELMILL_KAFKA", |_, p| {
        p.set("REELMILL_KAFKA", &fake::silent());
    }),
    failed(
        "a broker that calls itself otherwise",
        "broker",
        // The client may never come to tell where it was sent.
        "127.0.0.1:",
        "advertised.listeners",
        |w, p| p.set("REELMILL_KAFKA", &fake::misled(&w.kafka)),
    ),
    failed("no topics", "topics", "there is none of the", "reelmill topics create", |w, p| {
        let none = |topic| TopicSpec { name: String::new(), ..topic };
        p.set("REELMILL_KAFKA", &w.broker(none));
    }),
    failed("no retries", "topics", "missing are 1 of", "reelmill topics create", |w, p| {
        let without = w.broker(|topic| match topic.name.as_str() {
            "reelmill.retry.blur" => TopicSpec { name: String::new(), ..topic },
            _ => topic,
        });
        p.set("REELMILL_KAFKA", &without);
    }),
    failed("no dead letters", "topics", "reelmill.dead.cut", "reelmill topics create", |w, p| {
        let without = w.broker(|topic| match topic.name.as_str() {
            "reelmill.dead.cut" => TopicSpec { name: String::new(), ..topic },
            _ => topic,
        });
        p.set("REELMILL_KAFKA", &without);
    }),
    warned(
        "one partition of each",
        "partitions",
        "clips-ready 1 of 12",
        "kafka-topics.sh --alter",
        |w, p| p.set("REELMILL_KAFKA", &w.broker(|topic| TopicSpec { partitions: 1, ..topic })),
    ),
    warned(
        "more processes than partitions",
        "partitions",
        "20 processes of detect and 12 partitions of clips-ready",
        "--topic clips-ready --partitions 20",
        |_, p| p.flags = vec!["--replicas".to_owned(), "detect=20".to_owned()],
    ),
    warned(
        "events that stay for an hour",
        "retention",
        "1.0 hours",
        "retention.ms=604800000",
        |w, p| {
            let hour = [("retention.ms".to_owned(), "3600000".to_owned())];
            let short = w.broker(|topic| TopicSpec { config: hour.clone().into(), ..topic });
            p.set("REELMILL_KAFKA", &short);
        },
    ),
    failed("no registry", "registry", "registry_unreachable", "REELMILL_REGISTRY", |_, p| {
        p.set("REELMILL_REGISTRY", NOBODY);
    }),
    failed("a registry's wrong path", "registry", "404", "REELMILL_REGISTRY", |w, p| {
        p.set("REELMILL_REGISTRY", &format!("{}/apis/ccompat/v7", w.registry));
    }),
    failed("a page for a registry", "registry", "something else", "REELMILL_REGISTRY", |_, p| {
        p.set("REELMILL_REGISTRY", &fake::serve(|_| fake::reply(200, "<html>it works</html>")));
    }),
    failed(
        "a registry that says nothing",
        "registry",
        "cannot be used",
        "REELMILL_REGISTRY",
        |_, p| {
            p.set("REELMILL_REGISTRY", &format!("http://{}", fake::silent()));
        },
    ),
    warned("a new registry", "schemas", "none of our subjects", "`up` starts", |w, p| {
        p.set("REELMILL_REGISTRY", &w.empty_registry());
    }),
    failed(
        "schemas of another program",
        "schemas",
        "our schema of clips-ready-value cannot follow version 1",
        "REELMILL_REGISTRY",
        |w, p| {
            let other = |topic: &str, schema: &str| match topic {
                "clips-ready" => {
                    r#"{"type":"record","name":"Other","fields":[{"name":"other","type":"int"}]}"#
                        .to_owned()
                }
                _ => schema.to_owned(),
            };
            let registry = w.empty_registry();
            w.register(&registry, other, "NONE");
            p.set("REELMILL_REGISTRY", &registry);
        },
    ),
    warned(
        "schemas that anything may follow",
        "schemas",
        "FULL_TRANSITIVE",
        "`up` starts",
        |w, p| {
            let registry = w.empty_registry();
            w.register(&registry, |_, schema| schema.to_owned(), "NONE");
            p.set("REELMILL_REGISTRY", &registry);
        },
    ),
    failed("no store", "bucket", "nothing answers", "REELMILL_S3", |_, p| {
        p.set("REELMILL_S3", NOBODY);
    }),
    failed("a store that says nothing", "bucket", "nothing answers", "REELMILL_S3", |_, p| {
        p.set("REELMILL_S3", &format!("http://{}", fake::silent()));
    }),
    failed("a registry for a store", "bucket", "no object store", "REELMILL_S3", |w, p| {
        p.set("REELMILL_S3", &w.registry);
    }),
    failed("a wrong secret key", "bucket", "not accepted", "REELMILL_SECRET_KEY", |_, p| {
        p.set("REELMILL_SECRET_KEY", "not-hush");
    }),
    failed("an unknown access key", "bucket", "not accepted", "REELMILL_ACCESS_KEY", |_, p| {
        p.set("REELMILL_ACCESS_KEY", "stranger");
    }),
    failed("no bucket", "bucket", "there is no bucket", "REELMILL_BUCKET", |_, p| {
        p.set("REELMILL_BUCKET", "missing");
    }),
    failed("a clock that the store refuses", "bucket", "clock", "NTP", |_, p| {
        p.set("REELMILL_S3", &fake::store(Habit::RefusesTheTime));
    }),
    failed("keys that may not write", "rights", "cannot be written", "s3:PutObject", |_, p| {
        p.set("REELMILL_S3", &fake::store(Habit::RefusesWrites));
    }),
    failed("keys that may not read", "rights", "cannot be read", "s3:GetObject", |_, p| {
        p.set("REELMILL_S3", &fake::store(Habit::RefusesReads));
    }),
    failed("keys that may not remove", "rights", "removed", "s3:DeleteObject", |_, p| {
        p.set("REELMILL_S3", &fake::store(Habit::RefusesRemovals));
    }),
    failed("a store without conditions", "conditions", "written over", "If-None-Match", |_, p| {
        p.set("REELMILL_S3", &fake::store(Habit::Overwrites));
    }),
    failed(
        "no bucket of footage",
        "footage",
        "bucket nowhere",
        "REELMILL_ALLOWED_BUCKETS",
        |_, p| {
            p.set("REELMILL_ALLOWED_BUCKETS", "archive,nowhere");
        },
    ),
    failed("no detector", "detector", "does not answer", "REELMILL_REKOGNITION", |_, p| {
        p.set("REELMILL_REKOGNITION", NOBODY);
    }),
    failed("a registry for a detector", "detector", "protocol", "REELMILL_REKOGNITION", |w, p| {
        p.set("REELMILL_REKOGNITION", &w.registry);
    }),
    failed(
        "a detector with other keys",
        "detector",
        "does not accept our keys",
        "REELMILL_SECRET_KEY",
        |_, p| {
            let unknown = r#"{"__type": "UnrecognizedClientException", "Message": "no"}"#;
            p.set("REELMILL_REKOGNITION", &fake::serve(|_| fake::reply(400, unknown)));
        },
    ),
    failed("no ONNX Runtime", "models", "/nowhere", "REELMILL_ONNXRUNTIME", |_, p| {
        p.set("REELMILL_ONNXRUNTIME", "/nowhere");
    }),
    failed("no library", "models", "libonnxruntime.so", "REELMILL_ONNXRUNTIME", |_, p| {
        let file = p.home.path().join("libonnxruntime.so");
        write(&file, "this is a text");
        p.set("REELMILL_ONNXRUNTIME", file.to_str().unwrap());
    }),
    failed("no OpenSearch", "index", "does not answer", "REELMILL_OPENSEARCH", |_, p| {
        p.set("REELMILL_OPENSEARCH", NOBODY);
    }),
    failed(
        "a registry for OpenSearch",
        "index",
        "not OpenSearch",
        "REELMILL_OPENSEARCH",
        |w, p| {
            p.set("REELMILL_OPENSEARCH", &w.registry);
        },
    ),
    failed(
        "an index of another layout",
        "index",
        "another layout",
        "REELMILL_OPENSEARCH",
        |_, p| {
            p.set("REELMILL_OPENSEARCH", &fake::opensearch(0, false, "green"));
        },
    ),
    failed("an index that is blocked", "index", "takes no writes", "index rebuild", |_, p| {
        p.set("REELMILL_OPENSEARCH", &fake::opensearch(1, true, "green"));
    }),
    failed("an index that is damaged", "index", "damaged", "REELMILL_DATA", |_, p| {
        fs::create_dir_all(p.data()).unwrap();
        fs::set_permissions(p.data(), fs::Permissions::from_mode(0o700)).unwrap();
        write(&p.data().join("index/meta.json"), "{");
    }),
    failed("nowhere to try the fence", "fence", "no directory can be made", "TMPDIR", |_, p| {
        p.set("TMPDIR", "/nowhere/at/all");
    }),
    failed("no PostgreSQL", "database", "database_gone", "REELMILL_DATABASE", |_, p| {
        p.set("REELMILL_DATABASE", "postgres://ann:hush-hush@127.0.0.1:1/mill");
    }),
    failed("an engine nobody knows", "database", "mysql", "REELMILL_DATABASE", |_, p| {
        p.set("REELMILL_DATABASE", "mysql://ann:hush-hush@127.0.0.1:1/mill");
    }),
    failed("a file that is no database", "database", "damaged", "REELMILL_DATABASE", |_, p| {
        let file = p.home.path().join("no.sqlite");
        write(&file, "this is a text, and a long one, but no database at all".repeat(40));
        p.set("REELMILL_DATABASE", &format!("sqlite://{}", file.display()));
    }),
    failed("a clock of long ago", "clock", "ahead of the store", "NTP", |_, p| {
        p.set("REELMILL_S3", &fake::store(Habit::LivesInThePast));
    }),
];
