//! The failure table, row by row.

use super::world::{BUCKET, DEAD, Mouth, NOW, RETRY, SAID, SHOUTED, World, echo};
use crate::{Clock, Fatal, Refusal, TestClock, Trouble, header};
use bytes::Bytes;
use ports::{ObjectRef, Put, Record, SchemaRegistry, Store};
use schemas::{AvroValue, ids, keys};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

fn throttled() -> Trouble {
    Trouble::transient("throttled", "too many words")
}

/// Fails `times` times, then says the word.
fn stammering(times: u32) -> (Arc<AtomicU32>, impl crate::Connector<super::world::Speak>) {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let mouth = Mouth(move |word| {
        let tried = counted.fetch_add(1, Ordering::SeqCst);
        async move { if tried < times { Err(throttled()) } else { Ok(word) } }
    });
    (tries, mouth)
}

fn dead_letter(world: &World) -> Record {
    let mut letters = world.broker.on(DEAD);
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

fn reason(letter: &Record) -> (&str, &str) {
    let text = |name| letter.headers.text(name).unwrap();
    (text(header::DEAD_STAGE), text(header::DEAD_REASON))
}

#[tokio::test]
async fn an_answer_is_emitted_as_an_event() {
    let world = World::new(1);
    world.ask(&["hello"]).await;
    world.run(echo()).await.unwrap();
    let said = world.broker.on(SAID);
    let [event] = &said[..] else { unreachable!("{said:?}") };
    let value = world.registry.decode(event.value.as_ref().unwrap()).await.unwrap();
    assert_eq!(value, AvroValue::String("hello".to_owned()));
    assert_eq!(event.key.as_deref(), Some(&b"hello"[..]));
    let text = |name| event.headers.text(name);
    let input = ids::foreign("words-asked", 0, 0);
    assert_eq!(text("ce_id"), Some(ids::output(&input, "say", 0).as_str()));
    assert_eq!(text("ce_source"), Some("reelmill/say"));
    assert_eq!(text("ce_type"), Some("WordsSaid"));
    assert_eq!(text("ce_time"), Some("2023-11-14T22:13:20.000Z"));
    assert_eq!(text("ce_specversion"), Some("1.0"));
    assert_eq!(text("content-type"), Some("application/avro"));
    assert!(text("traceparent").is_some());
    assert_eq!(world.counted("emitted", None), 1);
}

#[tokio::test]
async fn the_id_and_the_trace_of_an_event_are_taken_from_its_headers() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let world = World::new(1);
    let mut word = world.word("words-asked", 0, "twice").await;
    word.headers = word.headers.with("ce_id", "mine").with("traceparent", trace);
    world.broker.publish(word);
    world.run(echo()).await.unwrap();
    let said = world.broker.on(SAID);
    let id = |n: usize| said[n].headers.text("ce_id").unwrap();
    assert_eq!([id(0), id(1)], [ids::output("mine", "say", 0), ids::output("mine", "say", 1)]);
    assert_eq!(said[1].headers.text("traceparent"), Some(trace));
}

#[tokio::test]
async fn a_skip_is_counted_and_passed_over() {
    let world = World::new(1);
    world.ask(&["silence", "hello"]).await;
    world.run(echo()).await.unwrap();
    assert_eq!(world.words(SAID), ["hello"]);
    assert_eq!(world.counted("skipped", Some("nothing_to_say")), 1);
    assert!(world.broker.on(DEAD).is_empty());
}

#[tokio::test]
async fn an_event_of_a_deleted_video_is_skipped_before_any_effect() {
    let world = World::new(1);
    let tombstone = ObjectRef::new(BUCKET, keys::tombstone("v1"));
    world.store.write(&tombstone, Bytes::new(), Put::default()).await.unwrap();
    world.ask(&["video v1", "video v2"]).await;
    let (tries, mouth) = stammering(0);
    world.run(mouth).await.unwrap();
    assert_eq!(world.words(SAID), ["video v2"]);
    assert_eq!(world.counted("skipped", Some("deleted")), 1);
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn poison_in_the_middle_is_dead_lettered_at_once_and_holds_up_nothing() {
    let world = World::new(1);
    world.ask(&["one", "curse", "two"]).await;
    world.run(echo()).await.unwrap();
    assert_eq!(world.words(SAID), ["one", "two"]);
    let letter = dead_letter(&world);
    assert_eq!(reason(&letter), ("plan", "foul"));
    assert_eq!(letter.headers.text(header::DEAD_OFFSET), Some("1"));
    assert_eq!(letter.value, world.broker.on("words-asked")[1].value);
    assert_eq!(world.counted("dead_lettered", Some("foul")), 1);
    assert!(world.broker.on(RETRY).is_empty());
}

#[tokio::test]
async fn what_the_answer_means_may_be_poison_too() {
    let world = World::new(1);
    world.ask(&["gibberish"]).await;
    world.run(echo()).await.unwrap();
    assert_eq!(reason(&dead_letter(&world)), ("conclude", "unclear"));
}

#[tokio::test]
async fn a_connector_may_refuse_an_event() {
    let world = World::new(1);
    world.ask(&["bad", "dull"]).await;
    let mouth = Mouth(|word: String| async move {
        match word.as_str() {
            "bad" => Err(Trouble::poison("corrupt_media", "no moov atom")),
            _ => Err(Refusal::Skip("dull").into()),
        }
    });
    world.run(mouth).await.unwrap();
    assert_eq!(reason(&dead_letter(&world)), ("perform", "corrupt_media"));
    assert_eq!(world.counted("skipped", Some("dull")), 1);
}

#[tokio::test]
async fn bytes_that_are_no_event_are_dead_lettered_for_what_is_wrong_with_them() {
    let world = World::new(1);
    let good = world.word("words-asked", 0, "good").await;
    let garbage = [
        (Some(Bytes::from_static(b"not avro")), "malformed_event"),
        (Some(Bytes::from_static(b"\0\0\0\x03\xe7\0")), "unknown_schema"),
        (Some(Bytes::from_static(b"\0\0\0\0\x01\xff")), "malformed_event"),
        (None, "malformed_event"),
    ];
    for (value, _) in &garbage {
        world.broker.publish(Record { value: value.clone(), ..good.clone() });
    }
    world.broker.publish(good);
    world.run(echo()).await.unwrap();
    assert_eq!(world.words(SAID), ["good"]);
    let letters = world.broker.on(DEAD);
    let reasons: Vec<_> = letters.iter().map(reason).collect();
    assert_eq!(reasons, garbage.clone().map(|(_, reason)| ("read", reason)));
    assert!(letters.iter().zip(&garbage).all(|(letter, (value, _))| letter.value == *value));
}

#[tokio::test]
async fn the_world_is_tried_up_to_three_times_in_place() {
    let world = World::new(1);
    world.ask(&["hello"]).await;
    let (tries, mouth) = stammering(2);
    world.run(mouth).await.unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    assert_eq!(world.words(SAID), ["hello"]);
    assert!(world.broker.on(RETRY).is_empty());
    assert_eq!(world.counted("emitted", None), 1);
}

#[tokio::test]
async fn then_the_event_goes_to_the_retry_topic_and_the_lane_goes_on() {
    let world = World::new(1);
    world.ask(&["hello", "silence"]).await;
    let (tries, mouth) = stammering(3);
    world.run(mouth).await.unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 4);
    let retries = world.broker.on(RETRY);
    let [retry] = &retries[..] else { unreachable!("{retries:?}") };
    let text = |name| retry.headers.text(name).unwrap();
    assert_eq!(text(header::ATTEMPT), "2");
    assert_eq!(text(header::REASON), "throttled");
    assert_eq!(text(header::ORIGIN_TOPIC), "words-asked");
    assert_eq!((text(header::ORIGIN_PARTITION), text(header::ORIGIN_OFFSET)), ("0", "0"));
    let not_before: i64 = text(header::NOT_BEFORE).parse().unwrap();
    let waited = not_before - text(header::SINCE).parse::<i64>().unwrap();
    // Two pauses in place, then five seconds.
    assert_eq!(waited, 6_200);
    assert_eq!(world.counted("retried", Some("throttled")), 1);
    assert_eq!(world.counted("emitted", None), 1);
    // A second attempt makes the same event as the first would have made.
    let id = ids::output(&ids::foreign("words-asked", 0, 0), "say", 0);
    assert_eq!(world.broker.on(SAID)[0].headers.text("ce_id"), Some(id.as_str()));
}

#[tokio::test]
async fn a_retried_event_is_read_as_on_its_own_topic() {
    let world = World::new(1);
    world.broker.publish(world.word(SHOUTED, 0, "hey").await);
    let (_, mouth) = stammering(3);
    world.run(mouth).await.unwrap();
    assert_eq!(world.broker.on(RETRY).len(), 1);
    assert_eq!(world.words(SAID), ["hey"]);
}

#[tokio::test]
async fn after_eight_attempts_it_is_a_dead_letter_that_names_the_origin() {
    let world = World::new(1);
    world.ask(&["silence", "hello"]).await;
    let (tries, mouth) = stammering(u32::MAX);
    world.run(mouth).await.unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 8 * 3);
    assert_eq!(world.broker.on(RETRY).len(), 7);
    let letter = dead_letter(&world);
    assert_eq!(reason(&letter), ("perform", "throttled"));
    let text = |name| letter.headers.text(name).unwrap();
    assert_eq!((text(header::DEAD_TOPIC), text(header::DEAD_OFFSET)), ("words-asked", "1"));
    assert_eq!(text(header::DEAD_DETAIL), "gave up after 8 attempts: too many words");
    assert_eq!(world.counted("retried", None), 7);
    assert_eq!(world.counted("dead_lettered", Some("throttled")), 1);
}

#[tokio::test]
async fn past_the_deadline_it_is_a_dead_letter() {
    let mut world = World::new(1);
    world.context.policy.deadline = Duration::from_secs(30);
    world.ask(&["hello"]).await;
    let (_, mouth) = stammering(u32::MAX);
    world.run(mouth).await.unwrap();
    assert_eq!(world.broker.on(RETRY).len(), 2);
    let letter = dead_letter(&world);
    let detail = letter.headers.text(header::DEAD_DETAIL).unwrap();
    assert!(detail.contains("deadline"), "{detail}");
}

#[tokio::test]
async fn the_registry_and_the_store_are_the_world_too() {
    let world = World::new(1);
    world.ask(&["video v1", "write"]).await;
    world.registry.fail_next(vec![throttled()]);
    world.store.fail_next(vec![throttled(), throttled()]);
    world.run(echo()).await.unwrap();
    assert_eq!(world.words(SAID), ["video v1", "write"]);
    assert!(world.broker.on(RETRY).is_empty());
}

#[tokio::test]
async fn objects_are_stored_before_their_event_is_emitted() {
    let mut world = World::new(1);
    world.context.policy.attempts = 1;
    world.ask(&["write"]).await;
    world.store.fail_next(vec![throttled(), throttled(), throttled()]);
    world.run(echo()).await.unwrap();
    assert_eq!(reason(&dead_letter(&world)), ("store", "throttled"));
    assert!(world.broker.on(SAID).is_empty());

    let world = World::new(1);
    world.ask(&["write"]).await;
    world.run(echo()).await.unwrap();
    let written = ObjectRef::new(BUCKET, format!("written/{}", ids::foreign("words-asked", 0, 0)));
    assert_eq!(world.store.get(&written).as_deref(), Some(&b"write"[..]));
    assert_eq!(world.words(SAID), ["write"]);
}

#[tokio::test]
async fn our_fault_stops_the_processor_and_no_offset_moves() {
    let world = World::new(1);
    world.ask(&["one", "two"]).await;
    let mouth = Mouth(|word: String| async move {
        if word == "one" { Err(Trouble::fatal("no credentials")) } else { Ok(word) }
    });
    let error = world.run(mouth).await.unwrap_err();
    assert_eq!(error, Fatal("say: no credentials".to_owned()));
    assert_eq!(world.committed(0), 0);
    assert!(world.broker.on(SAID).is_empty() && world.broker.on(DEAD).is_empty());
}

#[tokio::test]
async fn give_ups_in_a_row_blow_the_fuse_before_the_last_is_committed() {
    let mut world = World::new(1);
    world.context.policy.attempts = 1;
    world.context.policy.fuse = 3;
    world.context.concurrency = 1;
    world.ask(&["one", "two", "three", "four"]).await;
    let (_, mouth) = stammering(u32::MAX);
    let error = world.run(mouth).await.unwrap_err();
    assert!(error.0.contains("gave up 3 events in a row"), "{error}");
    assert_eq!((world.committed(0), world.broker.on(DEAD).len()), (2, 2));
}

#[tokio::test]
async fn bad_events_never_blow_the_fuse() {
    let mut world = World::new(1);
    world.context.policy.fuse = 1;
    world.ask(&["curse"; 50]).await;
    world.run(echo()).await.unwrap();
    assert_eq!(world.broker.on(DEAD).len(), 50);
}

#[tokio::test]
async fn a_bug_in_one_event_is_a_dead_letter_and_many_blow_the_fuse() {
    let mut world = World::new(1);
    world.context.concurrency = 1;
    world.ask(&["gasp", "unspeakable", "hello"]).await;
    world.run(echo()).await.unwrap();
    assert_eq!(world.words(SAID), ["hello"]);
    let letters = world.broker.on(DEAD);
    assert_eq!(reason(&letters[0]).1, "panicked");
    assert_eq!(letters[0].headers.text(header::DEAD_DETAIL), Some("out of breath"));
    assert_eq!(reason(&letters[1]), ("emit", "malformed_output"));

    let world = World::new(1);
    world.ask(&["gasp"; 5]).await;
    assert!(world.run(echo()).await.is_err());
}

#[tokio::test]
async fn the_time_of_an_event_is_its_origins_and_ages_are_measured_from_it() {
    let world = World::new(1);
    world.ask(&["hello"]).await;
    let (_, mouth) = stammering(3);
    world.run(mouth).await.unwrap();
    let retry = &world.broker.on(RETRY)[0];
    let at: i64 = retry.headers.text(header::ORIGIN_TIMESTAMP).unwrap().parse().unwrap();
    assert_eq!(at, NOW - 60_000);
    // Both verdicts are of an event that was a minute old, and more, when it came.
    let text = world.context.metrics.gather();
    let line = r#"reelmill_event_age_seconds_bucket{processor="say",le="60"} 0"#;
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn an_effect_that_never_answers_is_abandoned_at_its_limit_and_tried_again() {
    let world = World::with_clock(1, TestClock::manual(NOW));
    world.ask(&["stuck", "next"]).await;
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let mouth = Mouth(move |word: String| {
        let first = word == "stuck" && counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            Ok(word)
        }
    });
    let started = world.start(mouth);
    // The answer to `next` waits in its lane behind the one that is stuck.
    super::world::a_while().await;
    assert_eq!(world.counted("emitted", None), 0);
    super::world::eventually(|| {
        world.clock.advance(Duration::from_secs(10));
        world.counted("emitted", None) == 2
    })
    .await;
    world.stop(started).await.unwrap();
    assert!(world.clock.naps().contains(&Duration::from_secs(30 * 60)), "the limit was kept");
    assert_eq!(tries.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_that_is_away_for_a_day_makes_no_dead_letter() {
    let world = World::new(1);
    world.ask(&["hello"]).await;
    let clock = world.clock.clone();
    let back_ms = NOW + 24 * 3_600_000;
    let mouth = Mouth(move |word| {
        let away = clock.now_ms() < back_ms;
        async move { if away { Err(Trouble::away("index_unreachable", "no route")) } else { Ok(word) } }
    });
    world.run(mouth).await.unwrap();
    assert_eq!(world.words(SAID), ["hello"]);
    assert!(world.broker.on(DEAD).is_empty());
    let retries = world.broker.on(RETRY);
    let attempts: Vec<_> = retries.iter().map(|r| r.headers.text(header::ATTEMPT)).collect();
    assert!(attempts.len() > 8 && attempts.iter().all(|n| *n == Some("1")), "{attempts:?}");
    assert_eq!(world.counted("retried", Some("index_unreachable")), attempts.len() as u64);
}

#[tokio::test]
async fn what_counts_is_still_given_up_after_eight_attempts_of_which_an_outage_is_none() {
    let world = World::new(1);
    world.ask(&["hello"]).await;
    let tries = Arc::new(AtomicU32::new(0));
    let tried = tries.clone();
    let mouth = Mouth(move |_| {
        let is_away = tried.fetch_add(1, Ordering::SeqCst) < 60;
        async move {
            Err(if is_away { Trouble::away("index_unreachable", "no route") } else { throttled() })
        }
    });
    world.run(mouth).await.unwrap();
    let letter = dead_letter(&world);
    assert_eq!(reason(&letter), ("perform", "throttled"));
    // Three tries in place each.
    assert_eq!(world.counted("retried", Some("index_unreachable")), 20);
    assert_eq!(world.counted("retried", Some("throttled")), 7);
}
