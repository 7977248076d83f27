//! Spans are told of, once, and events carry theirs; or nobody wants them, and nothing changes.

use super::world::{ASKED, Mouth, RETRY, SAID, World, echo};
use crate::{Span, SpanKind, TRACEPARENT, Traceparent, Traces, Trouble, Value, header};
use ports::Record;
use std::sync::{Arc, Mutex};

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNWANTED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

#[derive(Debug, Default)]
struct Told(Mutex<Vec<Span>>);

impl Traces for Told {
    fn tell(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

impl Told {
    fn all(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }

    /// Those of events, without their steps.
    fn of_events(&self) -> Vec<Span> {
        self.all().into_iter().filter(|span| span.kind == SpanKind::Consumer).collect()
    }
}

fn traced() -> (World, Arc<Told>) {
    let mut world = World::new(1);
    let told = Arc::new(Told::default());
    world.context.traces = Some(told.clone());
    (world, told)
}

async fn ask(world: &World, word: &str, traceparent: Option<&str>) {
    let mut record = world.word(ASKED, 0, word).await;
    if let Some(traceparent) = traceparent {
        record.headers = record.headers.with(TRACEPARENT, traceparent.to_owned());
    }
    world.broker.publish(record);
}

fn place(record: &Record) -> Traceparent {
    Traceparent::read(record.headers.text(TRACEPARENT).unwrap().as_bytes()).unwrap()
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|(of, _)| *of == name).map(|(_, value)| value)
}

#[tokio::test]
async fn an_event_is_a_span_of_its_causes_trace_and_what_it_gives_rise_to_carries_it() {
    let (world, told) = traced();
    ask(&world, "video v1", Some(GIVEN)).await;
    world.run(echo()).await.unwrap();
    let [event] = &told.of_events()[..] else { unreachable!("{told:?}") };
    let given = Traceparent::read(GIVEN.as_bytes()).unwrap();
    assert_eq!((event.place.trace, event.parent), (given.trace, Some(given.span)));
    assert_eq!((&*event.name, event.error), ("say process", None));
    assert_eq!(attribute(event, "reelmill.video_id"), Some(&"v1".into()));
    assert_eq!(attribute(event, "reelmill.verdict"), Some(&"emitted".into()));
    assert_eq!(attribute(event, "messaging.destination.name"), Some(&ASKED.into()));
    assert_eq!(place(&world.broker.on(SAID)[0]), event.place);

    let steps: Vec<_> = told.all().into_iter().filter(|s| s.kind == SpanKind::Internal).collect();
    assert_eq!(steps.iter().map(|step| &*step.name).collect::<Vec<_>>(), ["Speak", "commit"]);
    assert!(steps.iter().all(|step| step.parent == Some(event.place.span)));
    assert_ne!(steps[0].place.span, steps[1].place.span);
}

#[tokio::test]
async fn nothing_but_the_trace_differs_from_what_is_sent_where_nobody_is_told() {
    let mut sent = Vec::new();
    for wanted in [false, true, true] {
        let (mut world, told) = traced();
        world.context.traces = world.context.traces.filter(|_| wanted);
        ask(&world, "hello", Some(GIVEN)).await;
        ask(&world, "bare", None).await;
        world.run(echo()).await.unwrap();
        assert_eq!(told.of_events().len(), if wanted { 2 } else { 0 });
        sent.push(world.broker.on(SAID));
    }
    assert_eq!(sent[1], sent[2], "the same event gives the same bytes");
    assert_eq!(sent[0][0].headers.text(TRACEPARENT), Some(GIVEN));
    for (quiet, told) in sent[0].iter().zip(&sent[1]) {
        assert_eq!(place(quiet).trace, place(told).trace);
        assert_ne!(place(quiet).span, place(told).span);
        let headers = quiet.headers.clone().with(TRACEPARENT, place(told).to_string());
        assert_eq!(*told, Record { headers, ..quiet.clone() });
    }
}

#[tokio::test]
async fn a_trace_that_is_not_to_be_recorded_is_passed_on_as_it_came() {
    let (world, told) = traced();
    ask(&world, "hello", Some(UNWANTED)).await;
    ask(&world, "and this", Some(GIVEN)).await;
    world.run(echo()).await.unwrap();
    assert_eq!(world.broker.on(SAID)[0].headers.text(TRACEPARENT), Some(UNWANTED));
    assert_eq!(told.of_events().len(), 1);
}

#[tokio::test]
async fn work_that_is_done_again_is_told_of_once_and_under_the_same_id() {
    let (world, told) = traced();
    world.broker.abort_next(2);
    ask(&world, "hello", Some(GIVEN)).await;
    world.run(echo()).await.unwrap();
    let [event] = &told.of_events()[..] else { unreachable!("{told:?}") };
    let (undisturbed, as_ever) = traced();
    ask(&undisturbed, "hello", Some(GIVEN)).await;
    undisturbed.run(echo()).await.unwrap();
    assert_eq!(event.place, as_ever.of_events()[0].place);
    assert_eq!(world.broker.on(SAID), undisturbed.broker.on(SAID));
}

#[tokio::test]
async fn attempts_are_spans_of_their_own_beside_each_other_and_say_why_they_failed() {
    let (world, told) = traced();
    ask(&world, "hello", Some(GIVEN)).await;
    ask(&world, "curse", Some(GIVEN)).await;
    let tries = Mutex::new(0);
    let mouth = Mouth(move |word| {
        let tried = {
            *tries.lock().unwrap() += 1;
            *tries.lock().unwrap()
        };
        async move {
            if tried > 3 { Ok(word) } else { Err(Trouble::transient("throttled", "too fast")) }
        }
    });
    world.run(mouth).await.unwrap();
    let spans = told.of_events();
    let errors: Vec<_> = spans.iter().map(|span| span.error).collect();
    assert_eq!(errors, [Some("throttled"), Some("foul"), None]);
    assert_eq!(attribute(&spans[0], "reelmill.verdict"), Some(&"retried".into()));
    assert_eq!(attribute(&spans[1], "reelmill.verdict"), Some(&"dead_lettered".into()));
    assert_eq!(attribute(&spans[1], "reelmill.reason"), Some(&"foul".into()));
    assert_eq!(attribute(&spans[2], "reelmill.attempt"), Some(&2.into()));
    let given = Traceparent::read(GIVEN.as_bytes()).unwrap();
    assert!(spans.iter().all(|span| span.parent == Some(given.span)));
    assert_ne!(spans[0].place, spans[2].place);
    assert_eq!(place(&world.broker.on(SAID)[0]), spans[2].place);
    // What waits for another attempt is what came.
    let waiting = &world.broker.on(RETRY)[0].headers;
    assert_eq!(
        (waiting.text(TRACEPARENT), waiting.text(header::ATTEMPT)),
        (Some(GIVEN), Some("2"))
    );
    let effect = told.all().into_iter().find(|span| span.name == "Speak").unwrap();
    assert_eq!((effect.error, effect.parent), (Some("throttled"), Some(spans[0].place.span)));
}
