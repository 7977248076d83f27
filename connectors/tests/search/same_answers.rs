//! A thousand videos, some hundred queries: both engines give the same pages.

use crate::support::*;
use ports::{Document, MomentKind, SearchRequest};

const WORDS: [&str; 14] = [
    "car",
    "bus",
    "tram",
    "traffic light",
    "person",
    "Café",
    "ЖИРАФ",
    "日本 東京",
    "don't",
    "e-mail",
    "red car",
    "Straße",
    "dog",
    "हिन्दी",
];
const KINDS: [MomentKind; 4] =
    [MomentKind::Label, MomentKind::Person, MomentKind::Place, MomentKind::Text];

fn videos() -> Vec<Document> {
    let mut below = random(0x5eed);
    (0..1000)
        .map(|n| {
            // Few are long, and some words are much rarer than others.
            let count = if below(10) == 0 { 150 } else { below(12) };
            let moments = (0..count)
                .map(|_| {
                    let name = WORDS[below(WORDS.len()).min(below(WORDS.len()))];
                    moment(KINDS[below(4)], name, below(600_000) as i64)
                })
                .collect();
            Document {
                owner: ["ann", "Ann Lee", "ben", "zoë"][below(4)].to_owned(),
                assessment: format!("exam-{}", below(5)),
                title: (0..below(6))
                    .map(|_| WORDS[below(WORDS.len())])
                    .collect::<Vec<_>>()
                    .join(" "),
                visibility: ["private", "listed"][below(2)].to_owned(),
                recorded_at_ms: JAN_31 + (below(40) as i64 - 20) * DAY,
                words: (0..below(3)).map(|_| WORDS[below(WORDS.len())].to_owned()).collect(),
                ..document(&format!("video-{n:04}"), moments)
            }
        })
        .collect()
}

fn query(below: &mut impl FnMut(usize) -> usize) -> String {
    let mut text = String::new();
    for n in 0..=below(4) {
        text += if n == 0 { "" } else { [" ", " AND ", " OR "][below(3)] };
        text += ["", "", "", "-"][below(4)];
        let word = WORDS[below(WORDS.len())];
        let quoted = format!("\"{word}\"");
        let field = ["label", "person", "place", "text", "title"][below(5)];
        text += &match below(9) {
            0 => quoted,
            8 => "*".to_owned(),
            1 | 2 => format!("{field}:{quoted}"),
            3 => format!("owner:{}", ["ann", "lee", "zoe"][below(3)]),
            4 => format!("after:2026-02-{:02}", 1 + below(28)),
            5 => format!("before:2026-01-{:02}", 1 + below(31)),
            _ => word.to_owned(),
        };
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn both_give_the_same_pages_of_a_thousand_videos() {
    let Some((opensearch, _)) = on_opensearch(&videos()).await else { return };
    let Some((tantivy, _dir)) = on_tantivy(&videos()).await else { return };
    let mut below = random(77);
    let (mut pages, mut hits, mut moments) = (0, 0, 0);
    for n in 0..300 {
        let text = ["*", "-car", "* car", "car OR -bus"].get(n).map(|text| (*text).to_owned());
        let text = text.unwrap_or_else(|| query(&mut below));
        let request = SearchRequest {
            owner: (n % 7 == 0).then(|| "ann".to_owned()),
            assessment: (n % 11 == 0).then(|| "exam-3".to_owned()),
            page: below(4) as u32,
            page_size: 1 + below(30) as u32,
            ..request(&text)
        };
        let one = tantivy.search(&request).await.unwrap();
        let other = opensearch.search(&request).await.unwrap();
        assert_eq!(one.total, other.total, "{text}");
        assert_eq!(one.hits.len(), other.hits.len(), "{text}");
        for (a, b) in one.hits.iter().zip(&other.hits) {
            assert!((a.score - b.score).abs() <= 1e-4 * a.score.abs(), "{text}: {a:?}\n{b:?}");
            let b = ports::Hit { score: a.score, ..b.clone() };
            assert_eq!(*a, b, "{text}");
            moments += a.moments.len();
        }
        pages += usize::from(!one.hits.is_empty());
        hits += one.hits.len();
    }
    assert!(pages > 150 && moments > 1000, "{pages} pages, {hits} hits, {moments} moments");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_give_the_same_pages_beyond_ten_thousand_videos() {
    let mut below = random(4);
    let videos: Vec<Document> = (0..10_130)
        .map(|n| Document {
            recorded_at_ms: JAN_31 + below(50) as i64 * DAY,
            ..document(&format!("video-{n:05}"), labels(&["Car", "Red Car"][..1 + below(2)]))
        })
        .collect();
    let Some((opensearch, _)) = on_opensearch(&videos).await else { return };
    let Some((tantivy, _dir)) = on_tantivy(&videos).await else { return };
    let mut seen = 0;
    for (page, page_size) in [(0, 100), (99, 100), (100, 100), (101, 100), (102, 100), (204, 49)] {
        let request = SearchRequest { page, page_size, ..request("car") };
        let (one, other) =
            (tantivy.search(&request).await.unwrap(), opensearch.search(&request).await.unwrap());
        assert_eq!((one.total, other.total), (10_130, 10_130));
        let ids = |page: ports::Page| -> Vec<String> {
            page.hits.into_iter().map(|hit| hit.video_id).collect()
        };
        let (one, other) = (ids(one), ids(other));
        assert_eq!(one, other, "page {page} of {page_size}");
        seen += one.len();
    }
    assert_eq!(seen, 330 + 49);
}
