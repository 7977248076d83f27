//! The connector against a scripted server that speaks Rekognition's protocol (awsJson1_1).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use connectors::rekognition::{Rekognition, RekognitionConfig};
use engine::Connector;
use ports::{ObjectRef, Refusal, Trouble};
use processors::{
    detect::{FindFaces, FoundFaces, SeenFace, SeenFaces},
    label::{FindLabels, FoundLabels, SeenLabel},
};
use schemas::BoundingBox;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Answers in order; the last one is repeated.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    asked: Arc<Mutex<Vec<(String, Value, Instant)>>>,
}

impl Script {
    fn asked(&self, operation: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let of = asked.iter().filter(|(name, ..)| name == operation);
        of.map(|(_, request, _)| request.clone()).collect()
    }

    fn pauses_ms(&self) -> Vec<u128> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|pair| (pair[1].2 - pair[0].2).as_millis()).collect()
    }
}

async fn answer(State(script): State<Script>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.strip_prefix("RekognitionService.").unwrap().to_owned();
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    assert!(headers["authorization"].to_str().unwrap().starts_with("AWS4-HMAC-SHA256"));
    let request = serde_json::from_slice(&body).unwrap();
    script.asked.lock().unwrap().push((operation, request, Instant::now()));
    let mut answers = script.answers.lock().unwrap();
    let (status, body) =
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
    let kind = [("content-type", "application/x-amz-json-1.1")];
    (StatusCode::from_u16(status).unwrap(), kind, body.to_string()).into_response()
}

async fn start(answers: impl IntoIterator<Item = (u16, Value)>) -> (Script, Rekognition) {
    let script = Script::default();
    script.answers.lock().unwrap().extend(answers);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer)).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let connector = Rekognition::new(RekognitionConfig {
        endpoint: Some(endpoint),
        access_key: Some("local".to_owned()),
        secret_key: Some("secret".to_owned()),
        poll: Duration::from_millis(300),
        ..RekognitionConfig::default()
    })
    .await
    .unwrap();
    (script, connector)
}

fn faces() -> FindFaces {
    FindFaces {
        clip: ObjectRef::new("media", "work/v/r/clips/0.mp4"),
        token: "t-0".to_owned(),
        known: None,
    }
}

fn labels() -> FindLabels {
    FindLabels {
        clip: ObjectRef::new("media", "work/v/r/clips/0.mp4"),
        token: "t-1".to_owned(),
        known: None,
    }
}

fn started() -> (u16, Value) {
    (200, json!({ "JobId": "job-1" }))
}

fn running() -> (u16, Value) {
    (200, json!({ "JobStatus": "IN_PROGRESS" }))
}

fn error(status: u16, code: &str) -> (u16, Value) {
    (status, json!({ "__type": code, "Message": "said so" }))
}

const BOX: BoundingBox = BoundingBox { left: 0.25, top: 0.5, width: 0.125, height: 0.0625 };

fn aws_box() -> Value {
    json!({ "Left": 0.25, "Top": 0.5, "Width": 0.125, "Height": 0.0625 })
}

fn face_at(at_ms: i64) -> Value {
    json!({ "Timestamp": at_ms, "Face": { "BoundingBox": aws_box(), "Confidence": 99.5 } })
}

fn poison(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Refused(Refusal::Poison(poison)) => poison.reason,
        other => panic!("no poison: {other:?}"),
    }
}

#[tokio::test]
async fn faces_of_every_page_come_back_in_order() {
    let pages = [
        (
            200,
            json!({ "JobStatus": "SUCCEEDED", "Faces": [face_at(0), face_at(40)], "NextToken": "n2" }),
        ),
        (200, json!({ "JobStatus": "SUCCEEDED", "Faces": [], "NextToken": "n3" })),
        (200, json!({ "JobStatus": "SUCCEEDED", "Faces": [face_at(80)] })),
    ];
    let (script, rekognition) =
        start([started(), running(), running()].into_iter().chain(pages)).await;
    let found = rekognition.perform(&faces()).await.unwrap();
    let expected: Vec<SeenFace> =
        [0, 40, 80].map(|at_ms| SeenFace { at_ms, region: BOX, confidence: 99.5 }).to_vec();
    assert_eq!(found, FoundFaces::Seen(SeenFaces { faces: expected, looked_every_ms: None }));

    let start = &script.asked("StartFaceDetection");
    assert_eq!(start.len(), 1);
    assert_eq!(start[0]["ClientRequestToken"], "t-0");
    assert_eq!(
        start[0]["Video"]["S3Object"],
        json!({ "Bucket": "media", "Name": "work/v/r/clips/0.mp4" })
    );
    let looks = script.asked("GetFaceDetection");
    assert!(looks.iter().all(|look| look["JobId"] == "job-1" && look["MaxResults"] == 1000));
    let tokens: Vec<&Value> = looks.iter().map(|look| &look["NextToken"]).collect();
    let none = Value::Null;
    assert_eq!(tokens, [&none, &none, &none, &json!("n2"), &json!("n3")]);
}

#[tokio::test]
async fn labels_have_parents_and_boxes() {
    let person = json!({ "Timestamp": 1000, "Label": {
        "Name": "Person", "Confidence": 91.5, "Parents": [],
        "Instances": [{ "BoundingBox": aws_box(), "Confidence": 91.5 }],
    }});
    let car = json!({ "Timestamp": 2000, "Label": {
        "Name": "Car", "Confidence": 80.0, "Parents": [{ "Name": "Vehicle" }], "Instances": [],
    }});
    let pages = [
        started(),
        (200, json!({ "JobStatus": "SUCCEEDED", "Labels": [person], "NextToken": "n2" })),
        (200, json!({ "JobStatus": "SUCCEEDED", "Labels": [car], "NextToken": "" })),
    ];
    let (script, rekognition) = start(pages).await;
    let found = rekognition.perform(&labels()).await.unwrap();
    let label =
        |at_ms, name: &str, parents: &[&str], confidence, regions: &[BoundingBox]| SeenLabel {
            at_ms,
            name: name.to_owned(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            confidence,
            regions: regions.to_vec(),
        };
    let person = label(1000, "Person", &[], 91.5, &[BOX]);
    let car = label(2000, "Car", &["Vehicle"], 80.0, &[]);
    assert_eq!(found, FoundLabels::Seen(vec![person, car]));
    assert_eq!(script.asked("StartLabelDetection")[0]["ClientRequestToken"], "t-1");
}

#[tokio::test]
async fn a_running_job_is_looked_at_less_and_less_often() {
    let answers = [started(), running(), running(), running(), running(), running()]
        .into_iter()
        .chain([(200, json!({ "JobStatus": "SUCCEEDED", "Faces": [] }))]);
    let (script, rekognition) = start(answers).await;
    assert_eq!(
        rekognition.perform(&faces()).await.unwrap(),
        FoundFaces::Seen(SeenFaces::default())
    );
    let pauses = script.pauses_ms();
    for (pause, least) in pauses[1..].iter().zip([100, 200, 300, 300, 300]) {
        assert!(*pause >= least, "{pauses:?}");
    }
    assert_eq!(pauses.len(), 6, "no look more than needed");
}

#[tokio::test]
async fn used_up_jobs_are_a_wait_of_half_a_minute() {
    let (script, rekognition) = start([error(400, "LimitExceededException")]).await;
    let trouble = rekognition.perform(&faces()).await.unwrap_err();
    assert!(
        matches!(trouble, Trouble::Transient { reason: "detector_full", after: Some(after), .. } if after.as_secs() == 30),
        "{trouble:?}"
    );
    assert!(script.asked("StartFaceDetection").len() <= 2, "no hammering");
    let tokens = script.asked("StartFaceDetection");
    assert!(tokens.iter().all(|start| start["ClientRequestToken"] == "t-0"), "one job, paid once");
}

#[tokio::test]
async fn a_failed_look_does_not_lose_the_job() {
    let answers = [
        started(),
        running(),
        error(500, "InternalServerError"),
        error(500, "InternalServerError"),
        error(400, "ProvisionedThroughputExceededException"),
        (200, json!({ "JobStatus": "SUCCEEDED", "Faces": [face_at(0)] })),
    ];
    let (script, rekognition) = start(answers).await;
    let FoundFaces::Seen(found) = rekognition.perform(&faces()).await.unwrap() else {
        panic!("nothing was known")
    };
    assert_eq!(found.faces.len(), 1);
    assert_eq!(script.asked("StartFaceDetection").len(), 1);
}

#[tokio::test]
async fn how_closely_the_detector_looked_is_what_all_pages_tell() {
    let page = |words: &str, next: &str| {
        let body = json!({
            "JobStatus": "SUCCEEDED", "StatusMessage": words, "Faces": [], "NextToken": next,
        });
        (200, body)
    };
    let (every, fast) = ("looked at every frame", "looked at a frame in 150 ms");
    for (first, second, expected) in [
        (every, every, Some(0)),
        (fast, fast, Some(150)),
        (every, fast, Some(150)),
        (every, "", None),
        ("", every, None),
        ("all is well", "all is well", None),
    ] {
        let (_script, rekognition) = start([started(), page(first, "n2"), page(second, "")]).await;
        let found = FoundFaces::Seen(SeenFaces { faces: Vec::new(), looked_every_ms: expected });
        assert_eq!(rekognition.perform(&faces()).await.unwrap(), found, "{first}, {second}");
    }
}

#[tokio::test]
async fn a_lost_job_is_started_again_by_the_engine() {
    let (_script, rekognition) = start([started(), error(400, "ResourceNotFoundException")]).await;
    let trouble = rekognition.perform(&labels()).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Transient { reason: "job_lost", .. }), "{trouble:?}");
}

#[tokio::test]
async fn a_failed_job_is_the_medias_fault_and_says_why() {
    for (message, reason) in [
        ("no_video: the file has no video stream; upload a file with a picture", "no_video"),
        ("Unsupported codec/format.", "undetectable_media"),
    ] {
        let failed = (200, json!({ "JobStatus": "FAILED", "StatusMessage": message }));
        let (_script, rekognition) = start([started(), failed]).await;
        let trouble = rekognition.perform(&faces()).await.unwrap_err();
        assert_eq!(poison(&trouble), reason);
        assert!(trouble.to_string().contains(message), "{trouble}");
    }
}

#[tokio::test]
async fn a_missing_clip_is_the_events_fault_and_missing_rights_are_ours() {
    let (_script, rekognition) = start([error(400, "InvalidS3ObjectException")]).await;
    assert_eq!(poison(&rekognition.perform(&faces()).await.unwrap_err()), "missing_object");
    let (_script, rekognition) = start([error(400, "AccessDeniedException")]).await;
    let trouble = rekognition.perform(&faces()).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Fatal(_)), "{trouble:?}");
}

#[tokio::test]
async fn no_detector_and_a_wrong_one_are_passing_troubles() {
    let nobody = Rekognition::new(RekognitionConfig {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        access_key: Some("local".to_owned()),
        secret_key: Some("secret".to_owned()),
        ..RekognitionConfig::default()
    })
    .await
    .unwrap();
    let trouble = nobody.perform(&faces()).await.unwrap_err();
    assert!(
        matches!(trouble, Trouble::Transient { reason: "detector_unreachable", .. }),
        "{trouble:?}"
    );

    let faceless = json!({ "JobStatus": "SUCCEEDED", "Faces": [{ "Timestamp": 0, "Face": {} }] });
    let (_script, rekognition) = start([started(), (200, faceless)]).await;
    let trouble = rekognition.perform(&faces()).await.unwrap_err();
    assert!(
        matches!(trouble, Trouble::Transient { reason: "detector_garbled", .. }),
        "{trouble:?}"
    );
}

#[tokio::test]
async fn half_a_pair_of_keys_is_a_mistake_of_the_configuration() {
    let half =
        RekognitionConfig { access_key: Some("id".to_owned()), ..RekognitionConfig::default() };
    let trouble = Rekognition::new(half).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Fatal(_)), "{trouble:?}");
}
