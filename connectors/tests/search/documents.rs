//! Documents and requests, for the suite of both engines and for the tests inside tantivy's connector.

use ports::{Document, Moment, MomentKind, SearchRequest, Viewer, parse_query};

/// 2026-01-31, midnight UTC.
pub(crate) const JAN_31: i64 = 1_769_817_600_000;

pub(crate) fn moment(kind: MomentKind, name: &str, start_ms: i64) -> Moment {
    Moment {
        kind,
        name: name.to_owned(),
        start_ms,
        end_ms: start_ms + 500,
        confidence: 91.5,
        region: Some([0.1, 0.2, 0.3, 0.4]),
    }
}

pub(crate) fn labels(names: &[&str]) -> Vec<Moment> {
    (0..).zip(names).map(|(n, name)| moment(MomentKind::Label, name, n * 1_000)).collect()
}

pub(crate) fn document(video_id: &str, moments: Vec<Moment>) -> Document {
    Document {
        video_id: video_id.to_owned(),
        run_id: "run-1".to_owned(),
        version: 1,
        owner: "ann".to_owned(),
        assessment: "exam-1".to_owned(),
        title: String::new(),
        visibility: "private".to_owned(),
        recorded_at_ms: JAN_31,
        duration_ms: 60_000,
        words: Vec::new(),
        moments,
    }
}

pub(crate) fn request(text: &str) -> SearchRequest {
    SearchRequest {
        query: parse_query(text).unwrap(),
        viewer: Viewer::Local,
        owner: None,
        assessment: None,
        page: 0,
        page_size: 20,
    }
}
