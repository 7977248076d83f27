//! One trace from the upload to the search's answer, as a collector of OpenTelemetry is told it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "mill/support.rs"]
mod support;

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use ports::Record;
use prost::Message;
use schemas::ids;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};
use support::{Mill, PATIENCE, footage};
use tokio::runtime::Runtime;
use uuid::Uuid;

const FILM: &str = "head-pose-two.mp4";
/// Within which a mill is gone that is told to stop.
const STOP: Duration = Duration::from_secs(10);
/// The thread that sends spans, as Linux cuts its name.
const SENDER: &str = "OpenTelemetry.T";

type Sent = Arc<Mutex<Vec<Span>>>;

/// Takes spans as a collector does.
struct Collector {
    url: String,
    sent: Sent,
    _runtime: Runtime,
}

impl Collector {
    fn start() -> Self {
        let (runtime, sent) = (Runtime::new().unwrap(), Sent::default());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&sent));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, sent, _runtime: runtime }
    }

    fn spans(&self) -> Spans {
        Spans(self.sent.lock().unwrap().clone())
    }

    /// Waits until what was sent is enough.
    fn until(&self, mill: &Mill, enough: impl Fn(&Spans) -> bool) -> Spans {
        let started = Instant::now();
        loop {
            let spans = self.spans();
            if enough(&spans) {
                return spans;
            }
            assert!(started.elapsed() < PATIENCE, "{:#?}\n{}", spans.told(), mill.log());
            sleep(Duration::from_millis(100));
        }
    }
}

async fn take(State(sent): State<Sent>, body: Bytes) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let about = resource.resource.unwrap();
        assert_eq!(attribute(&about.attributes, "service.name").as_deref(), Some("reelmill"));
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        sent.lock().unwrap().extend(spans);
    }
    // A response without a word.
    Vec::new()
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

fn says(span: &Span, name: &str, value: &str) -> bool {
    attribute(&span.attributes, name).as_deref() == Some(value)
}

struct Spans(Vec<Span>);

impl Spans {
    /// The span of what a processor made of an event of a topic.
    fn emitted(&self, processor: &str, topic: Option<&str>) -> Option<&Span> {
        self.0.iter().find(|span| {
            span.name == format!("{processor} process")
                && says(span, "reelmill.verdict", "emitted")
                && topic.is_none_or(|topic| says(span, "messaging.destination.name", topic))
        })
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Span> {
        self.0.iter().filter(move |span| span.name == name)
    }

    fn by_id(&self) -> BTreeMap<&[u8], &Span> {
        self.0.iter().map(|span| (&*span.span_id, span)).collect()
    }

    /// The names from a span to the root, or to a parent that was not sent.
    fn chain<'a>(&'a self, from: &'a Span) -> Vec<&'a str> {
        let by_id = self.by_id();
        let parents =
            std::iter::successors(Some(from), |span| by_id.get(&*span.parent_span_id).copied());
        parents.map(|span| span.name.as_str()).collect()
    }

    fn parents_are_known(&self) -> bool {
        let by_id = self.by_id();
        let is_known = |span: &Span| by_id.contains_key(&*span.parent_span_id);
        self.0.iter().all(|span| span.parent_span_id.is_empty() || is_known(span))
    }

    fn steps<'a>(&'a self, of: &'a Span) -> Vec<&'a str> {
        let steps = self.0.iter().filter(|span| span.parent_span_id == of.span_id);
        let steps = steps.filter(|span| span.kind() == SpanKind::Internal);
        steps.map(|span| span.name.as_str()).collect()
    }

    fn told(&self) -> Vec<String> {
        let tell = |span: &Span| {
            let of = |name| attribute(&span.attributes, name).unwrap_or_default();
            let (verdict, reason) = (of("reelmill.verdict"), of("reelmill.reason"));
            format!("{} {verdict} {reason} {}", span.name, of("messaging.destination.name"))
        };
        self.0.iter().map(tell).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the mill has anything that could send spans.
fn sends(mill: &Mill) -> bool {
    let tasks = std::fs::read_dir(mill.proc().join("task")).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    names.flatten().any(|name| name.trim_end() == SENDER)
}

fn records(mill: &Mill, topic: &str) -> Vec<Record> {
    let kafka = reelmill::connections::kafka(
        &reelmill::cli::KafkaArgs::plaintext(&mill.endpoints["REELMILL_KAFKA"]),
        "reader",
    )
    .unwrap();
    Runtime::new().unwrap().block_on(kafka.read_all(topic)).unwrap()
}

/// Uploads what is no film.
fn upload_nonsense(mill: &Mill, traceparent: &str) -> String {
    let request = reqwest::blocking::Client::new().post(mill.url("/api/videos?title=nonsense"));
    let response = request.header("traceparent", traceparent).body("no film").send().unwrap();
    assert_eq!(response.status().as_u16(), 201);
    let accepted: serde_json::Value = response.json().unwrap();
    accepted["video_id"].as_str().unwrap().to_owned()
}

fn stopped_in_time(mill: &mut Mill) {
    let stopping = Instant::now();
    let status = mill.stop();
    let took = stopping.elapsed();
    assert!(status.success(), "{status}\n{}", mill.log());
    assert!(took < STOP, "the stop took {took:?}\n{}", mill.log());
}

#[test]
fn an_upload_is_one_trace_until_it_can_be_found() {
    let collector = Collector::start();
    let mut mill = Mill::start(&["--clip-seconds", "2", "--otlp", &collector.url]);
    assert!(sends(&mill), "the test looks for the wrong thread");
    let video = mill.upload(&footage(FILM), "");
    mill.at_rest(&video);
    let shape = reelmill::pipeline::shape();
    let processors: Vec<_> = shape.specs().map(|spec| spec.name).collect();
    let spans = collector.until(&mill, |spans| {
        processors.iter().all(|name| spans.emitted(name, None).is_some())
            && spans.emitted("catalog", Some("metadata-indexed")).is_some()
            && spans.emitted("catalog", Some("recording-ready")).is_some()
            // One of a clip's events goes on, the others wait for it.
            && spans.named("stitch process").count() == spans.named("blur process").count()
            && spans.parents_are_known()
    });

    // The way through the topics: from what users are told of the index back to the upload.
    let found = spans.chain(spans.emitted("catalog", Some("metadata-indexed")).unwrap());
    let (looked, begun) = (found[2], &found[3..]);
    assert_eq!(found[..2], ["catalog process", "index process"], "{found:?}");
    assert!(["detect process", "label process"].contains(&looked), "{found:?}");
    assert_eq!(begun, ["cut process", "upload"], "{found:?}");
    let shown = spans.chain(spans.emitted("catalog", Some("recording-ready")).unwrap());
    let way = ["catalog", "verify", "stitch", "blur", "detect", "cut"];
    let way = way.map(|name| format!("{name} process"));
    assert_eq!(shown, [&way.each_ref().map(String::as_str)[..], &["upload"]].concat());

    let clips = records(&mill, "clips-ready");
    assert!(clips.len() > 1, "one clip joins nothing");
    let by_id = spans.by_id();
    for record in clips.iter().chain(&records(&mill, "metadata-indexed")) {
        let traceparent = record.headers.text("traceparent").unwrap();
        let of = by_id.values().find(|span| hex(&span.span_id) == traceparent[36..52]).unwrap();
        let source = format!("reelmill/{}", of.name.strip_suffix(" process").unwrap());
        assert_eq!(record.headers.text("ce_source"), Some(source.as_str()));
        assert_eq!(traceparent[3..35], hex(&of.trace_id));
    }
    let skipped = |span: &&Span| says(span, "reelmill.verdict", "skipped");
    assert_eq!(spans.named("stitch process").count(), clips.len());
    assert_eq!(spans.named("stitch process").filter(skipped).count(), clips.len() - 1);
    for (processor, effect) in [("blur", "MaskClip"), ("stitch", "StitchClips")] {
        let steps = spans.steps(spans.emitted(processor, None).unwrap());
        assert_eq!(steps.into_iter().collect::<BTreeSet<_>>(), [effect, "commit"].into());
    }
    let of_video = spans.emitted("blur", None).unwrap();
    assert!(says(of_video, "reelmill.video_id", &video));

    stopped_in_time(&mut mill);
    let spans = collector.spans();
    let traces: BTreeSet<_> = spans.0.iter().map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces.len(), 1, "{:#?}", spans.told());
    let roots: Vec<_> = spans.0.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    assert_eq!(roots.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["upload"]);
    assert_eq!(spans.by_id().len(), spans.0.len(), "a span was sent twice");
    assert!(spans.parents_are_known(), "{:#?}", spans.told());
    assert!(!mill.log().contains("the collector"), "{}", mill.log());
}

#[test]
fn by_default_nothing_is_sent_and_events_carry_what_they_always_did() {
    let mill = Mill::start(&["--clip-seconds", "2"]);
    let video = mill.upload(&footage(FILM), "");
    mill.ready(&video);
    assert!(!sends(&mill), "there is a thread that sends spans");
    let id = ids::output(&video, "upload", 0);
    let trace = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).simple().to_string();
    let span = Uuid::new_v5(&Uuid::NAMESPACE_URL, id.as_bytes()).simple().to_string();
    let derived = format!("00-{trace}-{}-01", &span[..16]);
    let made = ["clips-ready", "faces-detected", "labels-detected", "clips-blurred"];
    for topic in made.into_iter().chain(["recording-stitched", "recording-ready"]) {
        let records = records(&mill, topic);
        assert!(!records.is_empty(), "{topic}");
        for record in records {
            let names: Vec<_> = record.headers.0.iter().map(|(name, _)| name.as_ref()).collect();
            let (ours, rest) = names.split_at(5);
            assert_eq!(ours, ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"]);
            assert_eq!(rest, ["content-type", "traceparent"], "{topic}");
            assert_eq!(record.headers.text("traceparent"), Some(derived.as_str()), "{topic}");
        }
    }
    let [uploaded] = &records(&mill, "video-uploaded")[..] else { panic!("one upload") };
    let names: Vec<_> = uploaded.headers.0.iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!(names, ["ce_id", "ce_source", "ce_type", "ce_specversion", "content-type"]);
    assert_eq!(uploaded.headers.text("ce_id"), Some(id.as_str()));
}

#[test]
fn a_collector_that_hangs_or_is_away_keeps_nobody_waiting() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hanging.local_addr().unwrap().port();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for port in [port, away] {
        let url = format!("http://127.0.0.1:{port}");
        let mut mill = Mill::start(&["--clip-seconds", "2", "--otlp", &url]);
        let video = mill.upload(&footage(FILM), "");
        mill.ready(&video);
        let said = || mill.log().matches("the collector does not take spans").count();
        let started = Instant::now();
        while said() == 0 {
            assert!(started.elapsed() < PATIENCE, "{}", mill.log());
            sleep(Duration::from_millis(100));
        }
        // Something that cannot go before the stop.
        upload_nonsense(&mill, "none");
        stopped_in_time(&mut mill);
        assert_eq!(mill.log().matches("the collector does not take spans").count(), 1);
        assert!(mill.log().contains("the collector has not taken all spans"), "{}", mill.log());
    }
    // The first was asked, and is: nobody has answered yet.
    hanging.set_nonblocking(true).unwrap();
    let (mut asked, _) = hanging.accept().unwrap();
    let mut begin = [0; 16];
    asked.set_nonblocking(false).unwrap();
    asked.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"POST /v1/traces ");
}

#[test]
fn what_fails_says_why_in_the_trace_that_the_request_came_with() {
    let collector = Collector::start();
    let mill = Mill::start(&["--otlp", &collector.url]);
    let unwanted = "00-11111111111111111111111111111111-2222222222222222-00";
    let unrecorded = upload_nonsense(&mill, unwanted);
    assert_eq!(mill.settled(&unrecorded)["state"], "failed");

    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let video = upload_nonsense(&mill, given);
    let row = mill.settled(&video);
    let reason = row["reason"].as_str().unwrap();
    let spans = collector.until(&mill, |spans| {
        let told = spans.emitted("catalog", Some("reelmill.dead.cut")).is_some();
        told && ["upload", "cut process"].iter().all(|name| spans.named(name).count() == 1)
    });
    let one = |name| spans.named(name).next().unwrap();
    let (upload, cut) = (one("upload"), one("cut process"));
    assert_eq!(hex(&upload.trace_id), given[3..35]);
    assert_eq!(hex(&upload.parent_span_id), given[36..52]);
    assert_eq!((upload.kind(), cut.kind()), (SpanKind::Producer, SpanKind::Consumer));
    assert_eq!(cut.parent_span_id, upload.span_id);
    let status = cut.status.clone().unwrap();
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, reason));
    assert!(says(cut, "reelmill.verdict", "dead_lettered") && says(cut, "reelmill.reason", reason));
    assert!(says(cut, "error.type", reason));
    assert!(upload.status.as_ref().is_none_or(|status| status.code() == StatusCode::Unset));

    // What was not to be recorded had failed before, and its trace was passed on all the same.
    assert!(spans.0.iter().all(|span| span.trace_id == upload.trace_id), "{:#?}", spans.told());
    let letters = records(&mill, "reelmill.dead.cut");
    let carried: Vec<_> = letters.iter().map(|r| r.headers.text("traceparent").unwrap()).collect();
    assert!(carried.contains(&unwanted), "{carried:?}");
    let log = mill.log();
    let line =
        log.lines().find(|line| line.contains("dead-lettered") && line.contains(&given[3..35]));
    assert!(line.is_some_and(|line| line.contains("trace_id=")), "{log}");
}
