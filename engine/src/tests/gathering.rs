//! Two processors: one makes parts, one joins them when all are there.

use super::world::{BUCKET, World, eventually};
use crate::{
    Connector, Effect, Events, Gather, Input, Object, Outcome, Output, Pipeline, Processor,
    Refusal, Trouble,
};
use bytes::Bytes;
use ports::{ObjectRef, Record};
use schemas::{AvroValue, Malformed, ids, keys};
use std::{collections::BTreeSet, sync::Arc};

/// A part of a run, as `video/index`.
#[derive(Debug, Clone, PartialEq)]
struct Part<const MADE: bool> {
    video: String,
    index: u32,
}

impl<const MADE: bool> Events for Part<MADE> {
    fn topics() -> Vec<String> {
        vec![if MADE { "part-made" } else { "part-asked" }.to_owned()]
    }

    fn read(_: &Record, value: Result<AvroValue, Malformed>) -> Result<Self, Malformed> {
        let AvroValue::String(text) = value? else { return Err(Malformed(String::new())) };
        let (video, index) = text.split_once('/').ok_or_else(|| Malformed(text.clone()))?;
        let index = index.parse().map_err(|_| Malformed(text.clone()))?;
        Ok(Self { video: video.to_owned(), index })
    }
}

impl Output for Part<true> {
    const TOPIC: Option<&'static str> = Some("part-made");
    const SCHEMA: &'static str = r#""string""#;

    fn key(&self) -> String {
        format!("{}/{}", self.video, self.index)
    }

    fn to_value(&self) -> Result<AvroValue, Malformed> {
        Ok(AvroValue::String(self.key()))
    }
}

#[derive(Debug)]
struct Whole(String);

impl Output for Whole {
    const TOPIC: Option<&'static str> = Some("whole-made");
    const SCHEMA: &'static str = r#""string""#;

    fn key(&self) -> String {
        self.0.clone()
    }

    fn to_value(&self) -> Result<AvroValue, Malformed> {
        Ok(AvroValue::String(self.0.clone()))
    }
}

#[derive(Debug)]
struct Nothing;

impl Effect for Nothing {
    type Answer = ();
}

struct Nobody;

impl Connector<Nothing> for Nobody {
    async fn perform(&self, _: &Nothing) -> Result<(), Trouble> {
        Ok(())
    }
}

struct Make;

impl Processor for Make {
    const NAME: &'static str = "make";
    type In = Part<false>;
    type Out = Part<true>;
    type Effect = Nothing;

    fn plan(&self, _: &Input<Self::In>) -> Result<Nothing, Refusal> {
        Ok(Nothing)
    }

    fn conclude(&self, part: Input<Self::In>, (): ()) -> Result<Outcome<Self::Out>, Refusal> {
        let Part { video, index } = part.event;
        let to = ObjectRef::new(BUCKET, keys::masked(&video, "r", index));
        let object = Object { to, content_type: "text/plain", body: Bytes::new() };
        Ok(Outcome::event(Part { video, index }).storing(object))
    }
}

struct Join;

impl Processor for Join {
    const NAME: &'static str = "join";
    type In = Part<true>;
    type Out = Whole;
    type Effect = Nothing;

    fn plan(&self, _: &Input<Self::In>) -> Result<Nothing, Refusal> {
        Ok(Nothing)
    }

    fn conclude(&self, part: Input<Self::In>, (): ()) -> Result<Outcome<Whole>, Refusal> {
        Ok(Outcome::event(Whole(part.event.video)))
    }

    fn gather(&self, part: &Input<Self::In>) -> Option<Gather> {
        Some(Gather {
            bucket: BUCKET.to_owned(),
            video_id: part.video.clone(),
            run_id: "r".to_owned(),
            parts: (0..2).map(|index| keys::masked(&part.video, "r", index)).collect(),
        })
    }
}

async fn ask(world: &World, videos: u32) {
    for video in 0..videos {
        for index in 0..2 {
            let text = format!("v{video}/{index}");
            world.broker.publish(world.word("part-asked", index, &text).await);
        }
    }
}

/// Runs two members of each group until nothing waits.
async fn run(world: &World) {
    let pipeline = || Pipeline::new().stage(Make, Nobody).stage(Join, Nobody);
    let specs: Vec<_> = pipeline().specs().cloned().collect();
    let broker = Arc::new(world.broker.clone());
    let members: Vec<_> = (0..2)
        .map(|_| tokio::spawn(pipeline().run(broker.clone(), world.context.clone())))
        .collect();
    eventually(|| specs.iter().all(|spec| world.broker.lag(spec) == 0)).await;
    world.context.shutdown.cancel();
    for member in members {
        member.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_two_parts_at_the_same_instant_make_one_whole_a_thousand_times() {
    let world = World::new(2);
    ask(&world, 1_000).await;
    run(&world).await;
    let mut wholes: Vec<_> = world.broker.on("whole-made");
    wholes.sort_by(|a, b| a.key.cmp(&b.key));
    let twice: Vec<_> = wholes.windows(2).filter(|two| two[0].key == two[1].key).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(wholes.len(), 1_000);
    let id = |whole: &Record| whole.headers.text("ce_id").map(str::to_owned);
    let ids: BTreeSet<_> = wholes.iter().filter_map(id).collect();
    let gathered = (0..1_000).map(|v| ids::gathered(&format!("v{v}"), "r", "join"));
    assert_eq!(ids, gathered.collect());
    let skipped = world.counted("skipped", Some("waiting_for_parts"))
        + world.counted("skipped", Some("claimed"));
    assert_eq!(skipped, 1_000);
}

#[tokio::test]
async fn a_claimant_that_was_interrupted_comes_back_and_finishes() {
    let world = World::new(2);
    ask(&world, 20).await;
    world.broker.abort_next(10);
    run(&world).await;
    assert_eq!(world.broker.on("whole-made").len(), 20);
}
