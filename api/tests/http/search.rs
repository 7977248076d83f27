//! Where was that?

use crate::support::{Mill, problem};
use ports::{Hit, Match, Moment, MomentKind, Query, Viewer};

fn hit(video_id: &str) -> Hit {
    Hit {
        video_id: video_id.to_owned(),
        title: "talk".to_owned(),
        owner: "local".to_owned(),
        assessment: "exam 7".to_owned(),
        recorded_at_ms: 1000,
        duration_ms: 30_040,
        score: 1.5,
        moments: vec![Moment {
            kind: MomentKind::Label,
            name: "Person".to_owned(),
            start_ms: 1500,
            end_ms: 4250,
            confidence: 91.0,
            region: Some([0.1, 0.2, 0.3, 0.4]),
        }],
    }
}

#[tokio::test]
async fn a_hit_points_to_the_video_its_moments_and_links_that_play_it() {
    let mill = Mill::start().await;
    mill.publish("v", "talk", b"film");
    mill.search.hits.lock().unwrap().push(hit("v"));
    let found = mill.json("/api/search?q=person").await;
    assert_eq!(found["total"], 1);
    let hit = &found["hits"][0];
    assert_eq!(hit["video_id"], "v");
    assert_eq!(hit["duration_seconds"], 30.04);
    assert_eq!(hit["recording"], "s3://mill/recordings/local/exam-7-1000.mp4");
    let recording = format!("{}/api/videos/v/recording", mill.base);
    assert_eq!(hit["recording_url"], recording);
    let signed = hit["signed_url"].as_str().unwrap();
    assert!(signed.ends_with("exam-7-1000.mp4?expires=300"), "{signed}");
    assert_eq!(hit["signed_url_valid_seconds"], 300);
    let moment = &hit["moments"][0];
    assert_eq!(moment["start_seconds"], 1.5);
    assert_eq!(moment["end_seconds"], 4.25);
    assert_eq!(moment["kind"], "label");
    assert_eq!(moment["url"], format!("{recording}#t=1.5,4.25"));
}

#[tokio::test]
async fn a_hit_without_a_recording_has_no_link_to_one() {
    let mill = Mill::start().await;
    mill.search.hits.lock().unwrap().push(hit("unheard-of"));
    let found = mill.json("/api/search?q=person").await;
    let hit = &found["hits"][0];
    assert!(hit["recording_url"].is_null() && hit["signed_url"].is_null());
    assert!(hit["state"].is_null());
}

#[tokio::test]
async fn a_query_is_parsed_here_and_filters_never_become_the_viewer() {
    let mill = Mill::start().await;
    mill.json("/api/search?q=person%20AND%20NOT%20tie&owner=ann&assessment=7&page=2&page_size=5")
        .await;
    let asked = mill.search.asked.lock().unwrap();
    let term = |word: &str| Query::Term(Match { field: None, word: word.to_owned() });
    let tree = Query::And(vec![term("person"), Query::Not(Box::new(term("tie")))]);
    assert_eq!(asked[0].query, tree);
    assert_eq!(asked[0].viewer, Viewer::Local);
    assert_eq!(asked[0].owner.as_deref(), Some("ann"));
    assert_eq!(asked[0].assessment.as_deref(), Some("7"));
    assert_eq!((asked[0].page, asked[0].page_size), (2, 5));
}

#[tokio::test]
async fn a_query_of_nothing_finds_every_video() {
    let mill = Mill::start().await;
    mill.json("/api/search").await;
    mill.json("/api/search?q=%20").await;
    let asked = mill.search.asked.lock().unwrap();
    assert!(asked.iter().all(|request| request.query == Query::All));
}

#[tokio::test]
async fn a_query_that_cannot_be_read_says_where() {
    let mill = Mill::start().await;
    let told = problem(mill.get("/api/search?q=person%20AND"), 400, "bad_query").await;
    assert!(told["position"].as_u64().is_some_and(|at| at >= 7), "{told}");
    assert!(mill.search.asked.lock().unwrap().is_empty());
}
