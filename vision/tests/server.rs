//! The server as the AWS SDK sees it. Needs ONNX Runtime (`make setup`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot prepare itself has failed"
)]

mod boto3;
mod memory;
mod observed;
mod signatures;
mod strangers;
mod support;

use aws_sdk_rekognition::{
    Client,
    config::{BehaviorVersion, Config, Credentials, Region, retry::RetryConfig},
    error::ProvideErrorMetadata,
    operation::{
        get_face_detection::GetFaceDetectionOutput, get_label_detection::GetLabelDetectionOutput,
    },
    primitives::Blob,
    types::{FaceAttributes, Image, LabelDetectionSortBy, S3Object, Video, VideoJobStatus},
};
use memory::MemoryStore;
use ports::Store;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use support::{footage, models};
use tempfile::TempDir;
use tokio::{sync::Semaphore, time::sleep};
use vision::{Clock, FACE_THRESHOLD, PASSING_REASONS, Profile, Server, ServerOptions};

/// A server over a store in memory, with its data in a folder of its own.
struct Bench {
    server: Server,
    client: Client,
    store: Arc<MemoryStore>,
    permits: Arc<Semaphore>,
    data: TempDir,
}

fn options(data: &Path, store: Arc<dyn Store>) -> ServerOptions {
    ServerOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        keys: None,
        data: data.to_owned(),
        models: Arc::new(models()),
        store,
        permits: Arc::new(Semaphore::new(2)),
        threads: 1,
        helper: confine::Helper::in_place(),
        face_threshold: FACE_THRESHOLD,
        profile: Profile::Careful,
        clock: Clock::default(),
        observer: Arc::new(()),
    }
}

fn client(server: &Server) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(server.url())
        .credentials_provider(Credentials::new("reelmill", "secret", None, None, "static"))
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

async fn bench() -> Bench {
    let data = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    store.put("films", "pose.mp4", std::fs::read(footage("head-pose-two.mp4")).unwrap());
    store.put("films", "sign.mkv", std::fs::read(footage("signing-again.mkv")).unwrap());
    store.put("films", "notes.mp4", b"these are notes, not a film".to_vec());
    let options = options(data.path(), store.clone());
    let permits = options.permits.clone();
    let server = Server::start(options).await.unwrap();
    Bench { client: client(&server), server, store, permits, data }
}

fn film(key: &str) -> Video {
    let object = S3Object::builder().bucket("films").name(key).build();
    Video::builder().s3_object(object).build()
}

async fn start_faces(client: &Client, key: &str, token: Option<&str>) -> String {
    let start = client.start_face_detection().video(film(key));
    let answer = start.set_client_request_token(token.map(str::to_owned)).send().await.unwrap();
    answer.job_id.unwrap()
}

/// Polls until the job is no longer in progress.
async fn faces(client: &Client, job: &str) -> GetFaceDetectionOutput {
    for _ in 0..6000 {
        let answer = client.get_face_detection().job_id(job).send().await.unwrap();
        if answer.job_status() != Some(&VideoJobStatus::InProgress) {
            return answer;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("job {job} did not end within five minutes");
}

async fn labels(client: &Client, job: &str) -> GetLabelDetectionOutput {
    for _ in 0..6000 {
        let answer = client.get_label_detection().job_id(job).send().await.unwrap();
        if answer.job_status() != Some(&VideoJobStatus::InProgress) {
            return answer;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("job {job} did not end within five minutes");
}

/// The exception's name of a refused call.
fn refused<T: std::fmt::Debug, E: ProvideErrorMetadata>(answer: Result<T, E>) -> String {
    let error = answer.unwrap_err();
    assert!(error.message().is_some_and(|m| !m.is_empty()), "an error has a message");
    error.code().unwrap_or("no code").to_owned()
}

#[tokio::test]
async fn faces_of_every_frame_come_back_with_boxes_landmarks_and_the_videos_data() {
    let bench = bench().await;
    let job = start_faces(&bench.client, "pose.mp4", None).await;
    let answer = faces(&bench.client, &job).await;
    assert_eq!(answer.job_status(), Some(&VideoJobStatus::Succeeded));
    let video = answer.video_metadata().unwrap();
    assert_eq!(video.codec(), Some("h264"));
    assert_eq!(video.format(), Some("QuickTime / MOV"));
    assert!(video.frame_rate().is_some_and(|r| (11.9..12.1).contains(&r)));
    let frame_times: std::collections::BTreeSet<i64> =
        answer.faces().iter().map(|f| f.timestamp()).collect();
    assert!(frame_times.len() >= 54, "faces on {} of 56 frames", frame_times.len());
    for entry in answer.faces() {
        let face = entry.face().unwrap();
        let region = face.bounding_box().unwrap();
        assert!(region.width().unwrap() > 0.0 && region.left().unwrap() >= 0.0);
        assert!((50.0..=100.0).contains(&face.confidence().unwrap()));
        assert_eq!(face.landmarks().len(), 5);
    }
    let asked = answer.video().and_then(|v| v.s3_object()).and_then(|o| o.name());
    assert_eq!(asked, Some("pose.mp4"));
    bench.server.stop().await;
}

#[tokio::test]
async fn labels_come_back_by_second_with_instances_and_parents() {
    let bench = bench().await;
    let start = bench.client.start_label_detection().video(film("sign.mkv")).min_confidence(30.0);
    let job = start.job_tag("clip:1").send().await.unwrap().job_id.unwrap();
    let answer = labels(&bench.client, &job).await;
    assert_eq!(answer.job_status(), Some(&VideoJobStatus::Succeeded));
    assert_eq!(answer.job_tag(), Some("clip:1"));
    assert!(answer.label_model_version().is_some());
    let people: Vec<_> = answer
        .labels()
        .iter()
        .filter(|l| l.label().and_then(|l| l.name()) == Some("Person"))
        .collect();
    assert!(people.len() >= 3, "{people:?}");
    let person = people[0].label().unwrap();
    let instance = &person.instances()[0];
    assert_eq!(instance.confidence(), person.confidence());
    assert!(instance.bounding_box().unwrap().height().unwrap() > 0.3);
    let sure = bench.client.start_label_detection().video(film("sign.mkv")).min_confidence(100.0);
    let none = labels(&bench.client, &sure.send().await.unwrap().job_id.unwrap()).await;
    assert!(none.labels().is_empty(), "nothing is that sure");
    bench.server.stop().await;
}

#[tokio::test]
async fn one_token_is_one_job_and_other_parameters_are_a_mismatch() {
    let bench = bench().await;
    let first = start_faces(&bench.client, "pose.mp4", Some("clip-1")).await;
    assert_eq!(start_faces(&bench.client, "pose.mp4", Some("clip-1")).await, first);
    assert_ne!(start_faces(&bench.client, "pose.mp4", None).await, first);
    let other = bench.client.start_face_detection().video(film("sign.mkv"));
    let error = other.client_request_token("clip-1").send().await;
    assert_eq!(refused(error), "IdempotentParameterMismatchException");
    faces(&bench.client, &first).await;
    assert_eq!(start_faces(&bench.client, "pose.mp4", Some("clip-1")).await, first);
    bench.server.stop().await;
}

#[tokio::test]
async fn pages_together_are_the_whole_and_wrong_tokens_are_refused() {
    let bench = bench().await;
    let job = start_faces(&bench.client, "pose.mp4", None).await;
    let whole = faces(&bench.client, &job).await;
    let (mut entries, mut pages, mut token) = (Vec::new(), 0, None);
    loop {
        let get = bench.client.get_face_detection().job_id(&job).max_results(30);
        let page = get.set_next_token(token).send().await.unwrap();
        assert!(page.faces().len() <= 30);
        assert!(page.video_metadata().is_some());
        entries.extend_from_slice(page.faces());
        pages += 1;
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(entries, whole.faces());
    assert_eq!(pages, whole.faces().len().div_ceil(30));
    for wrong in ["nonsense".to_owned(), format!("{job}.3"), format!("{job}.99999999")] {
        let get = bench.client.get_face_detection().job_id(&job).next_token(wrong);
        assert_eq!(refused(get.send().await), "InvalidPaginationTokenException");
    }
    let none = bench.client.get_face_detection().job_id(&job).max_results(0).send().await;
    assert_eq!(refused(none), "InvalidParameterException");
    bench.server.stop().await;
}

#[tokio::test]
async fn every_page_of_faces_tells_how_closely_was_looked_also_after_a_start_with_another_profile()
{
    let data = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    store.put("films", "pose.mp4", std::fs::read(footage("head-pose-two.mp4")).unwrap());
    let with = |profile| ServerOptions { profile, ..options(data.path(), store.clone()) };
    let server = Server::start(with(Profile::Fast)).await.unwrap();
    let job = start_faces(&client(&server), "pose.mp4", Some("told")).await;
    let told = faces(&client(&server), &job).await.status_message;
    assert_eq!(told.as_deref(), Some("looked at a frame in 150 ms"));
    server.stop().await;
    let server = Server::start(with(Profile::Careful)).await.unwrap();
    let client = client(&server);
    assert_eq!(start_faces(&client, "pose.mp4", Some("told")).await, job);
    assert_eq!(faces(&client, &job).await.status_message, told);
    let anew = start_faces(&client, "pose.mp4", None).await;
    let get = client.get_face_detection().job_id(&anew).max_results(5);
    assert_eq!(
        faces(&client, &anew).await.status_message.as_deref(),
        Some("looked at every frame")
    );
    let page = get.send().await.unwrap();
    assert!(page.next_token.is_some() && page.status_message.is_some());
    let labels = client.start_label_detection().video(film("pose.mp4")).send().await.unwrap();
    let labels = labels.job_id.unwrap();
    loop {
        let page = client.get_label_detection().job_id(&labels).send().await.unwrap();
        if page.job_status() != Some(&VideoJobStatus::InProgress) {
            assert_eq!(page.status_message, None);
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_refused_by_the_names_aws_uses() {
    let bench = bench().await;
    let client = &bench.client;
    let unknown = client.get_face_detection().job_id("nobody").send().await;
    assert_eq!(refused(unknown), "ResourceNotFoundException");
    let faces_job = start_faces(client, "pose.mp4", None).await;
    let of_other_kind = client.get_label_detection().job_id(&faces_job).send().await;
    assert_eq!(refused(of_other_kind), "ResourceNotFoundException");
    let absent = client.start_face_detection().video(film("absent.mp4")).send().await;
    assert_eq!(refused(absent), "InvalidS3ObjectException");
    let nothing = client.start_face_detection().video(Video::builder().build()).send().await;
    assert_eq!(refused(nothing), "InvalidParameterException");
    let start = || client.start_face_detection().video(film("pose.mp4"));
    let bad_token = start().client_request_token("no spaces").send().await;
    assert_eq!(refused(bad_token), "InvalidParameterException");
    let some = start().face_attributes(FaceAttributes::from("SOME")).send().await;
    assert_eq!(refused(some), "InvalidParameterException");
    let label = client.start_label_detection().video(film("pose.mp4"));
    let job = label.clone().send().await.unwrap().job_id.unwrap();
    let by_name = client.get_label_detection().job_id(job).sort_by(LabelDetectionSortBy::Name);
    assert_eq!(refused(by_name.send().await), "InvalidParameterException");
    let unsure = label.min_confidence(101.0).send().await;
    assert_eq!(refused(unsure), "InvalidParameterException");
    let users = client.list_users().collection_id("people").send().await;
    assert_eq!(refused(users), "UnknownOperationException");
    bench.server.stop().await;
}

#[tokio::test]
async fn a_request_without_a_signature_is_denied() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = bench().await;
    let mut stream = tokio::net::TcpStream::connect(bench.server.address()).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\
        x-amz-target: RekognitionService.GetFaceDetection\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains(r#""__type":"AccessDeniedException""#), "{answer}");
    assert!(bench.server.address().ip().is_loopback());
    bench.server.stop().await;
}

#[tokio::test]
async fn a_text_file_fails_by_the_videos_fault_and_leaves_no_file_behind() {
    let bench = bench().await;
    let job = start_faces(&bench.client, "notes.mp4", Some("notes")).await;
    let answer = faces(&bench.client, &job).await;
    assert_eq!(answer.job_status(), Some(&VideoJobStatus::Failed));
    let message = answer.status_message().unwrap();
    assert!(message.starts_with("not_media: "), "{message}");
    assert!(answer.faces().is_empty());
    assert_eq!(start_faces(&bench.client, "notes.mp4", Some("notes")).await, job);
    let left: Vec<_> = std::fs::read_dir(bench.data.path().join("scratch")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    bench.server.stop().await;
}

#[tokio::test]
async fn a_store_that_recovers_is_waited_for_and_one_that_does_not_is_not_the_videos_fault() {
    let bench = bench().await;
    bench.store.fail_downloads(2);
    let job = start_faces(&bench.client, "pose.mp4", None).await;
    let answer = faces(&bench.client, &job).await;
    assert_eq!(answer.job_status(), Some(&VideoJobStatus::Succeeded));
    bench.store.fail_downloads(100);
    let job = start_faces(&bench.client, "pose.mp4", Some("again")).await;
    let answer = faces(&bench.client, &job).await;
    assert_eq!(answer.job_status(), Some(&VideoJobStatus::Failed));
    let word = answer.status_message().and_then(|m| m.split(':').next()).unwrap();
    assert!(PASSING_REASONS.contains(&word), "{answer:?}");
    bench.store.fail_downloads(0);
    let second = start_faces(&bench.client, "pose.mp4", Some("again")).await;
    assert_ne!(second, job, "a failure of the store does not bind the token");
    let answer = faces(&bench.client, &second).await;
    assert_eq!(answer.job_status(), Some(&VideoJobStatus::Succeeded));
    bench.server.stop().await;
}

#[tokio::test]
async fn results_are_there_for_seven_days_by_the_servers_clock_and_then_gone() {
    let data = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    store.put("films", "notes.mp4", b"these are notes, not a film".to_vec());
    let late = Arc::new(AtomicU64::new(0));
    let hours = late.clone();
    let clock = Clock::new(move || {
        SystemTime::now() + Duration::from_secs(3600 * hours.load(Ordering::SeqCst))
    });
    let server =
        Server::start(ServerOptions { clock, ..options(data.path(), store) }).await.unwrap();
    let client = client(&server);
    let job = start_faces(&client, "notes.mp4", Some("week")).await;
    faces(&client, &job).await;
    late.store(7 * 24 - 1, Ordering::SeqCst);
    faces(&client, &job).await;
    assert_eq!(start_faces(&client, "notes.mp4", Some("week")).await, job);
    late.store(7 * 24 + 1, Ordering::SeqCst);
    let gone = client.get_face_detection().job_id(&job).send().await;
    assert_eq!(refused(gone), "ResourceNotFoundException");
    assert_ne!(start_faces(&client, "notes.mp4", Some("week")).await, job);
    server.stop().await;
}

#[tokio::test]
async fn the_twenty_first_open_job_is_refused_until_one_ends() {
    let bench = bench().await;
    bench.store.hold_downloads(true);
    let mut jobs = Vec::new();
    for n in 0..20 {
        jobs.push(start_faces(&bench.client, "notes.mp4", Some(&format!("job-{n}"))).await);
    }
    let more = || bench.client.start_label_detection().video(film("notes.mp4")).send();
    assert_eq!(refused(more().await), "LimitExceededException");
    let known = start_faces(&bench.client, "notes.mp4", Some("job-7")).await;
    assert_eq!(known, jobs[7], "a known token takes no place");
    bench.store.hold_downloads(false);
    faces(&bench.client, &jobs[0]).await;
    more().await.unwrap();
    bench.server.stop().await;
}

#[tokio::test]
async fn pictures_above_the_limit_are_told_to_come_again_and_do_not_wait_for_videos() {
    let bench = bench().await;
    bench.store.put("photos", "rocket.jpg", std::fs::read(footage("rocket.jpg")).unwrap());
    let object = S3Object::builder().bucket("photos").name("rocket.jpg").build();
    let look = bench.client.detect_faces().image(Image::builder().s3_object(object).build());
    bench.store.hold_downloads(true);
    let waiting: Vec<_> = (0..30).map(|_| tokio::spawn(look.clone().send())).collect();
    sleep(Duration::from_secs(1)).await;
    // Every permit of the videos is taken, and none is needed.
    let _all = bench.permits.clone().acquire_many_owned(2).await.unwrap();
    bench.store.hold_downloads(false);
    let (mut seen, mut refusals) = (0, 0);
    for answer in waiting {
        match answer.await.unwrap() {
            Ok(answer) => {
                assert!(answer.face_details().is_empty());
                seen += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), Some("ProvisionedThroughputExceededException"));
                refusals += 1;
            }
        }
    }
    assert_eq!((seen, refusals), (16, 14));
    look.send().await.unwrap();
    bench.server.stop().await;
}

#[tokio::test]
async fn photographs_are_decoded_by_the_helper_and_by_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    let crashing = confine::Helper::program("/bin/sh", ["-c", "kill -SEGV $$"]);
    for (helper, kind) in [
        (confine::Helper::program("/nowhere", ["media-job"]), "InternalServerError"),
        (crashing, "InvalidImageFormatException"),
    ] {
        let options =
            ServerOptions { helper, ..options(data.path(), Arc::new(MemoryStore::default())) };
        let server = Server::start(options).await.unwrap();
        let photo = std::fs::read(footage("obama.jpg")).unwrap();
        let image = Image::builder().bytes(photo.into()).build();
        let answer = client(&server).detect_faces().image(image).send().await;
        assert_eq!(refused(answer), kind);
        server.stop().await;
    }
    assert_eq!(std::fs::read_dir(data.path().join("scratch")).unwrap().count(), 0);
}

#[tokio::test]
async fn collections_survive_a_restart() {
    let Bench { server, client: before, store, data, .. } = bench().await;
    before.create_collection().collection_id("people").send().await.unwrap();
    let photo = |name| {
        let bytes = Blob::new(std::fs::read(footage(name)).unwrap());
        Image::builder().bytes(bytes).build()
    };
    let index = before.index_faces().collection_id("people").external_image_id("ann");
    let added = index.image(photo("obama.jpg")).send().await.unwrap();
    let face = added.face_records()[0].face().unwrap().clone();
    server.stop().await;

    let server = Server::start(options(data.path(), store)).await.unwrap();
    let after = client(&server);
    let search = after.search_faces_by_image().collection_id("people");
    let found = search.image(photo("obama2.jpg")).send().await.unwrap();
    assert_eq!(found.face_matches()[0].face(), Some(&face));
    let again = after.create_collection().collection_id("people").send().await;
    assert_eq!(refused(again), "ResourceAlreadyExistsException");
    server.stop().await;
}

#[tokio::test]
async fn a_job_waits_for_a_permit_and_stopping_does_not_wait_for_such_a_job() {
    let bench = bench().await;
    let all = bench.permits.clone().acquire_many_owned(2).await.unwrap();
    let first = start_faces(&bench.client, "pose.mp4", None).await;
    sleep(Duration::from_millis(300)).await;
    let open = bench.client.get_face_detection().job_id(&first).send().await.unwrap();
    assert_eq!(open.job_status(), Some(&VideoJobStatus::InProgress));
    drop(all);
    let answer = faces(&bench.client, &first).await;
    assert_eq!(answer.job_status(), Some(&VideoJobStatus::Succeeded));
    assert_eq!(bench.permits.available_permits(), 2, "the permit was given back");

    let _all = bench.permits.clone().acquire_many_owned(2).await.unwrap();
    start_faces(&bench.client, "pose.mp4", None).await;
    let asked = std::time::Instant::now();
    bench.server.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    let left: Vec<_> = std::fs::read_dir(bench.data.path().join("scratch")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn finished_jobs_survive_a_restart_and_unfinished_ones_run_again() {
    let Bench { server, client: before, store, data, .. } = bench().await;
    let finished = start_faces(&before, "pose.mp4", Some("done")).await;
    let answer = faces(&before, &finished).await;
    store.hold_downloads(true);
    let waiting = start_faces(&before, "sign.mkv", Some("waiting")).await;
    let open = before.get_face_detection().job_id(&waiting).send().await.unwrap();
    assert_eq!(open.job_status(), Some(&VideoJobStatus::InProgress));
    server.stop().await;
    store.hold_downloads(false);

    let server = Server::start(options(data.path(), store)).await.unwrap();
    let after = client(&server);
    assert_eq!(faces(&after, &finished).await.faces(), answer.faces());
    assert_eq!(start_faces(&after, "sign.mkv", Some("waiting")).await, waiting);
    let answer = faces(&after, &waiting).await;
    assert_eq!(answer.job_status(), Some(&VideoJobStatus::Succeeded));
    server.stop().await;
}
