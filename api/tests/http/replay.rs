//! Videos are worked on again.

use crate::{
    ports_in_memory::video_row,
    support::{Mill, problem},
};
use ports::{NextRun, ObjectRef, Put, Store, VideoRow, VideoState};
use schemas::{
    AudioPlan, Blur, ClipEntry, Manifest, Masking, RenderMode, SourceInfo, TimeBase, VideoUploaded,
    keys,
};
use serde_json::Value;
use std::sync::atomic::Ordering;

fn source() -> ObjectRef {
    ObjectRef::new("mill", "uploads/ann/v/source.mp4")
}

fn manifest(etag: String) -> Manifest {
    let clip = |index| ClipEntry {
        index,
        core_start: 0,
        core_end: 10,
        margin_start: 0,
        margin_end: 10,
        core_frames: 10,
        frames: 10,
    };
    Manifest {
        version: 1,
        video_id: "v".into(),
        run_id: "run-1".into(),
        run_order: 5,
        owner: "ann".into(),
        assessment: "viva".into(),
        title: "talk".into(),
        visibility: "listed".into(),
        recorded_at_ms: 77,
        source: SourceInfo {
            bucket: "mill".into(),
            key: source().key,
            etag,
            bytes: 4,
            sha256: "s".into(),
            container: "mp4".into(),
            video_codec: "h264".into(),
            audio_codec: None,
        },
        time_base: TimeBase { num: 1, den: 10 },
        start_pts: 0,
        duration_ms: 2000,
        frames: 20,
        width: 64,
        height: 36,
        frame_rate: TimeBase { num: 10, den: 1 },
        clips: vec![clip(0), clip(1)],
        render: RenderMode::Full,
        render_reason: String::new(),
        masking: Masking {
            blur: Blur::None,
            style: "pixelate".into(),
            detector: "d".into(),
            threshold: 0.5,
            verify_threshold: 0.6,
            extend_ms: 0,
        },
        audio: AudioPlan::None,
        replay: 1,
        faces_of: None,
        labels_of: None,
        probe: Value::Null,
    }
}

fn ready() -> VideoRow {
    VideoRow {
        state: VideoState::Ready,
        run_id: "run-1".into(),
        recording_bucket: Some("mill".into()),
        recording_key: Some("recordings/r.mp4".into()),
        runs: 2,
        ..video_row("v")
    }
}

/// A mill with one video of two clips, its faces known.
async fn mill(row: VideoRow) -> Mill {
    let mill = Mill::start().await;
    mill.store.insert(&source(), b"film", Put::default());
    let etag = mill.store.head(&source()).await.unwrap().unwrap().etag;
    let at = |key: String| ObjectRef::new("mill", key);
    let body = manifest(etag).to_json().unwrap();
    mill.store.insert(&at(keys::manifest("v", "run-1")), &body, Put::default());
    for clip in 0..2 {
        mill.store.insert(&at(keys::tracks("v", "run-1", clip)), b"?", Put::default());
    }
    mill.catalog.add(row);
    mill
}

async fn replayed(mill: &Mill, from: &str) -> (Value, VideoUploaded, String) {
    let answer = mill.post(&format!("/api/videos/v/replay?from={from}"), "").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let (event, id, _) = mill.uploads.announced.lock().unwrap().last().cloned().unwrap();
    (answer.json().await.unwrap(), event, id)
}

async fn refused(mill: &Mill, from: &str) -> String {
    let path = format!("/api/videos/v/replay?from={from}");
    let told = problem(mill.post(&path, ""), 409, "nothing_to_replay").await;
    assert!(mill.uploads.announced.lock().unwrap().is_empty());
    told["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_source_is_announced_once_more_as_its_run_describes_it() {
    let mill = mill(ready()).await;
    let (told, event, _) = replayed(&mill, "detect").await;
    assert_eq!((&told["replay"], &told["faces_of"]), (&2.into(), &Value::Null));
    let expected = VideoUploaded {
        bucket: "mill".into(),
        key: source().key,
        owner: "ann".into(),
        video_id: Some("v".into()),
        recorded_at_ms: Some(77),
        assessment: "viva".into(),
        title: "talk".into(),
        blur: "none".into(),
        visibility: "listed".into(),
        size_bytes: Some(4),
        replay: 2,
        faces_of: None,
        labels_of: None,
    };
    assert_eq!(event, expected);
}

#[tokio::test]
async fn what_earlier_stages_found_is_taken_over_where_all_of_it_is_there() {
    let mill = mill(ready()).await;
    assert_eq!(refused(&mill, "blur").await, "the labels of clip 0 of v were never found");
    for clip in 0..2 {
        let at = ObjectRef::new("mill", keys::labels("v", "run-1", clip));
        mill.store.insert(&at, b"?", Put::default());
    }
    let run = Some("run-1".to_owned());
    let mut ids = Vec::new();
    for (from, faces, labels) in
        [("cut", false, false), ("label", true, false), ("blur", true, true), ("index", true, true)]
    {
        let (_, event, id) = replayed(&mill, from).await;
        assert_eq!((event.faces_of == run, event.labels_of == run), (faces, labels), "{from}");
        ids.push(id);
    }
    // What is the same run is the same event.
    assert_eq!(ids[2], ids[3]);
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[tokio::test]
async fn a_run_that_failed_has_used_its_number_up() {
    let mill = mill(VideoRow { runs: 5, ..ready() }).await;
    assert_eq!(replayed(&mill, "cut").await.1.replay, 5);
}

#[tokio::test]
async fn a_video_that_is_worked_on_is_not_begun_again() {
    let busy = mill(VideoRow { state: VideoState::Processing, ..ready() }).await;
    assert_eq!(refused(&busy, "cut").await, "v is still worked on");
    let next = |state| Some(NextRun { run_id: "run-2".into(), state, stages: Vec::new() });
    let next_run = next(VideoState::Processing);
    let busy = mill(VideoRow { next_run, ..ready() }).await;
    assert_eq!(refused(&busy, "cut").await, "v is still worked on");
    let next_run = next(VideoState::Failed);
    let failed = mill(VideoRow { next_run, ..ready() }).await;
    replayed(&failed, "cut").await;
}

#[tokio::test]
async fn a_source_that_is_gone_or_another_file_is_not_worked_on() {
    let mill = mill(ready()).await;
    mill.store.insert(&source(), b"another film", Put::default());
    assert!(refused(&mill, "cut").await.ends_with("is another file now"));
    mill.store.delete("mill", &[source().key]).await.unwrap();
    assert!(refused(&mill, "cut").await.ends_with("is gone"));
}

#[tokio::test]
async fn what_there_is_none_of_is_refused_as_what_it_is() {
    let mill = mill(ready()).await;
    let told =
        problem(mill.post("/api/videos/v/replay?from=blurr", ""), 400, "bad_parameter").await;
    assert!(told["next_step"].as_str().unwrap().contains("did you mean `blur`"), "{told}");
    problem(mill.post("/api/videos/v/replay", ""), 400, "bad_parameter").await;
    problem(mill.post("/api/videos/w/replay?from=cut", ""), 404, "no_such_video").await;
    mill.catalog.add(VideoRow {
        state: VideoState::Failed,
        run_id: String::new(),
        video_id: "u".into(),
        ..ready()
    });
    let path = "/api/videos/u/replay?from=cut";
    let told = problem(mill.post(path, ""), 409, "nothing_to_replay").await;
    assert_eq!((&told["detail"], &told["state"]), (&"u was never cut".into(), &"failed".into()));
    mill.uploads.down.store(true, Ordering::SeqCst);
    problem(mill.post("/api/videos/v/replay?from=cut", ""), 503, "broker_unavailable").await;
}
