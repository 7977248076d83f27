//! What a query means, which moments come with a hit, and in which order.

use crate::support::*;
use ports::{Document, Moment, MomentKind, Page, SearchRequest, Trouble, parse_query};

#[tokio::test]
async fn words_operators_and_phrases_find_the_videos_they_mean() {
    let Some((index, _dir)) = super::index_of(&[
        document("talk", labels(&["Person", "Tie", "Traffic Light"])),
        document("walk", labels(&["Person", "Light Traffic"])),
        document("cut", labels(&["Traffic", "Light"])),
        Document {
            title: "Ann's first exam".to_owned(),
            words: vec!["Vehicle".to_owned()],
            ..document("drive", labels(&["Car"]))
        },
    ])
    .await
    else {
        return;
    };
    for (text, ids) in [
        ("*", &["cut", "drive", "talk", "walk"] as &[_]),
        ("person", &["talk", "walk"]),
        ("PERSON", &["talk", "walk"]),
        ("person AND NOT tie", &["walk"]),
        ("person -tie", &["walk"]),
        ("-person", &["cut", "drive"]),
        ("-person -car", &["cut"]),
        ("NOT (person OR car)", &["cut"]),
        ("NOT NOT tie", &["talk"]),
        ("car OR -person", &["cut", "drive"]),
        ("traffic light", &["cut", "talk", "walk"]),
        // Not "walk", where the words are turned round, nor "cut", where they are two names.
        ("\"traffic light\"", &["talk"]),
        ("\"light traffic\"", &["walk"]),
        ("-\"traffic light\"", &["cut", "drive", "walk"]),
        ("(tie OR car) AND (person OR exam)", &["drive", "talk"]),
        ("vehicle", &["drive"]),
        ("first exam", &["drive"]),
        ("\"first exam\"", &["drive"]),
        ("\"exam first\"", &[]),
        ("pers", &[]),
        ("giraffe", &[]),
    ] {
        assert_eq!(found(&index, text).await, ids, "{text}");
    }
}

/// What a query means, said without an index: a video's texts are lists of words.
fn is_meant(query: &ports::Query, texts: &[Vec<&str>]) -> bool {
    use ports::{Match, Query};
    match query {
        Query::All => true,
        Query::Term(Match { word, .. }) => texts.iter().flatten().any(|text| text == word),
        Query::Phrase(words) => {
            texts.iter().any(|text| text.windows(words.len()).any(|w| w == words))
        }
        Query::And(parts) => parts.iter().all(|part| is_meant(part, texts)),
        Query::Or(parts) => parts.iter().any(|part| is_meant(part, texts)),
        Query::Not(inner) => !is_meant(inner, texts),
    }
}

#[tokio::test]
async fn random_queries_find_exactly_what_they_mean() {
    let mut below = random(88_172_645_463_325_252);
    let words = ["red", "green", "blue", "car", "bus", "tram"];
    let videos: Vec<(String, Vec<Vec<&str>>)> = (0..24)
        .map(|n| {
            let names = (0..below(4)).map(|_| (0..=below(3)).map(|_| words[below(6)]).collect());
            (format!("v{n:02}"), names.collect())
        })
        .collect();
    let documents: Vec<Document> = videos
        .iter()
        .map(|(id, names)| {
            let names: Vec<String> = names.iter().map(|name| name.join(" ")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Document {
                owner: String::new(),
                assessment: String::new(),
                ..document(id, labels(&names))
            }
        })
        .collect();
    let Some((index, _dir)) = super::index_of(&documents).await else { return };
    let mut with_hits = 0;
    for _ in 0..600 {
        let mut text = String::new();
        let mut open = 0;
        for n in 0..=below(5) {
            text += if n == 0 { "" } else { [" ", " AND ", " OR "][below(3)] };
            text += ["", "", "-", "NOT -"][below(4)];
            if below(4) == 0 {
                text += "(";
                open += 1;
            }
            text += &match below(3) {
                0 => format!("\"{} {}\"", words[below(6)], words[below(6)]),
                _ => words[below(6)].to_owned(),
            };
            if open > 0 && below(2) == 0 {
                text += ")";
                open -= 1;
            }
        }
        text += &")".repeat(open);
        let query = parse_query(&text).unwrap();
        let meant: Vec<&str> = videos
            .iter()
            .filter(|(_, names)| is_meant(&query, names))
            .map(|(id, _)| id.as_str())
            .collect();
        let page = SearchRequest { page_size: 100, ..request(&text) };
        let hits = index.search(&page).await.unwrap().hits;
        let mut found: Vec<&str> = hits.iter().map(|hit| hit.video_id.as_str()).collect();
        found.sort();
        assert_eq!(found, meant, "{text}");
        with_hits += usize::from(!meant.is_empty() && meant.len() < videos.len());
    }
    assert!(with_hits > 200, "only {with_hits} queries told videos apart");
}

#[tokio::test]
async fn a_field_takes_only_what_is_in_it() {
    let Some((index, _dir)) = super::index_of(&[
        Document {
            owner: "Ann Lee".to_owned(),
            title: "Boston at night".to_owned(),
            ..document("a", vec![moment(MomentKind::Label, "Car", 0)])
        },
        Document {
            owner: "ben".to_owned(),
            assessment: "exam-2".to_owned(),
            ..document(
                "b",
                vec![
                    moment(MomentKind::Person, "Ann Lee", 0),
                    moment(MomentKind::Place, "Boston", 0),
                    moment(MomentKind::Text, "CAR PARK", 0),
                ],
            )
        },
    ])
    .await
    else {
        return;
    };
    for (text, ids) in [
        ("ann", &["a", "b"] as &[_]),
        ("owner:ann", &["a"]),
        ("owner:\"ann lee\"", &["a"]),
        ("owner:\"lee ann\"", &[]),
        ("person:ann", &["b"]),
        ("place:boston", &["b"]),
        ("title:boston", &["a"]),
        ("label:car", &["a"]),
        ("text:car", &["b"]),
        ("assessment:exam-2", &["b"]),
        ("assessment:exam", &["a", "b"]),
        ("car -text:park", &["a"]),
    ] {
        assert_eq!(found(&index, text).await, ids, "{text}");
    }
}

#[tokio::test]
async fn days_bound_the_recording_time_in_utc() {
    let at = |id, recorded_at_ms| Document { recorded_at_ms, ..document(id, labels(&["Car"])) };
    let Some((index, _dir)) = super::index_of(&[
        at("ancient", -DAY),
        at("the evening before", JAN_31 - 1),
        at("midnight", JAN_31),
        at("a day later", JAN_31 + DAY),
    ])
    .await
    else {
        return;
    };
    for (text, ids) in [
        ("before:2026-01-31", &["ancient", "the evening before"] as &[_]),
        ("after:2026-01-31", &["a day later", "midnight"]),
        ("after:2026-01-31 before:2026-02-01", &["midnight"]),
        ("car -after:1970-01-01", &["ancient"]),
        ("before:1969-12-31", &[]),
    ] {
        assert_eq!(found(&index, text).await, ids, "{text}");
    }
}

#[tokio::test]
async fn letters_of_all_scripts_are_found_whatever_their_case_or_accent() {
    let Some((index, _dir)) = super::index_of(&[document(
        "a",
        labels(&["Café", "ЖИРАФ", "日本 東京", "Straße", "हिन्दी", "don't"]),
    )])
    .await
    else {
        return;
    };
    for text in [
        "café",
        "CAFE",
        "cafe\u{301}",
        "жираф",
        "日本",
        "\"日本 東京\"",
        "STRASSE",
        "हिन्दी",
        "don't",
    ] {
        assert_eq!(found(&index, text).await, ["a"], "{text}");
    }
    assert!(found(&index, "東").await.is_empty(), "words are not cut where no space is");
}

#[tokio::test]
async fn the_filters_are_exact_and_do_not_change_the_score() {
    let of = |id, owner: &str, assessment: &str| Document {
        owner: owner.to_owned(),
        assessment: assessment.to_owned(),
        ..document(id, labels(&["Car"]))
    };
    let Some((index, _dir)) =
        super::index_of(&[of("a", "ann", "x 1"), of("b", "Ann", "x 1"), of("c", "ann", "x")]).await
    else {
        return;
    };
    let with = |owner: Option<&str>, assessment: Option<&str>| SearchRequest {
        owner: owner.map(str::to_owned),
        assessment: assessment.map(str::to_owned),
        ..request("car")
    };
    let ids = async |request| -> Vec<String> {
        let page = index.search(&request).await.unwrap();
        page.hits.into_iter().map(|hit| hit.video_id).collect()
    };
    let mut of_ann = ids(with(Some("ann"), None)).await;
    of_ann.sort();
    assert_eq!(of_ann, ["a", "c"]);
    assert_eq!(ids(with(Some("ann"), Some("x 1"))).await, ["a"]);
    assert_eq!(ids(with(None, Some("x"))).await, ["c"]);
    assert!(ids(with(Some("an"), None)).await.is_empty());

    let score = async |request| index.search(&request).await.unwrap().hits[0].score;
    assert_eq!(score(with(Some("Ann"), None)).await, {
        let all = index.search(&request("car")).await.unwrap().hits;
        all.iter().find(|hit| hit.video_id == "b").unwrap().score
    });
}

#[tokio::test]
async fn equal_scores_are_newest_first_then_by_id_over_all_pages() {
    let mut documents: Vec<Document> = (0..23)
        .map(|n| Document {
            recorded_at_ms: JAN_31 + (n / 2) * DAY,
            ..document(&format!("video-{n:02}"), labels(&["Car"]))
        })
        .collect();
    documents.reverse();
    let Some((index, _dir)) = super::index_of(&documents).await else { return };
    documents.sort_by(|a, b| {
        b.recorded_at_ms.cmp(&a.recorded_at_ms).then_with(|| a.video_id.cmp(&b.video_id))
    });
    for text in ["*", "car", "-bike"] {
        let mut seen = Vec::new();
        for (page, count) in [(0, 10), (1, 10), (2, 3), (3, 0)] {
            let request = SearchRequest { page, page_size: 10, ..request(text) };
            let page = index.search(&request).await.unwrap();
            assert_eq!((page.total, page.hits.len()), (23, count), "{text}");
            seen.extend(page.hits.into_iter().map(|hit| hit.video_id));
        }
        let expected: Vec<_> = documents.iter().map(|document| &document.video_id).collect();
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{text}");
    }
    let last = SearchRequest { page: u32::MAX, page_size: u32::MAX, ..request("*") };
    assert_eq!(index.search(&last).await.unwrap(), Page { total: 23, hits: Vec::new() });
    let none = SearchRequest { page_size: 0, ..request("*") };
    assert_eq!(index.search(&none).await.unwrap().hits.len(), 1);
}

#[tokio::test]
async fn the_better_match_comes_first_even_when_it_is_older() {
    let other = Document { recorded_at_ms: JAN_31 + DAY, ..document("newer", labels(&["Car"])) };
    let many = labels(&["Tree", "House", "Road", "Sky", "Person", "Dog"]);
    let both = document("older", [labels(&["Car", "Sports Car"]), Vec::new()].concat());
    let Some((index, _dir)) = super::index_of(&[other, both, document("none", many)]).await else {
        return;
    };
    let page = index.search(&request("car OR sports")).await.unwrap();
    let ids: Vec<_> = page.hits.iter().map(|hit| hit.video_id.as_str()).collect();
    assert_eq!(ids, ["older", "newer"]);
    assert!(page.hits[0].score > page.hits[1].score);
}

#[tokio::test]
async fn a_hit_shows_the_moments_of_the_words_it_has_in_order_of_time() {
    let Some((index, _dir)) = super::index_of(&[
        Document {
            title: "Person of the year".to_owned(),
            ..document(
                "a",
                vec![
                    moment(MomentKind::Person, "Ann", 9_000),
                    moment(MomentKind::Label, "Person", 4_000),
                    moment(MomentKind::Label, "Car", 2_000),
                    moment(MomentKind::Text, "no person", 1_000),
                    moment(MomentKind::Label, "Dog", 0),
                ],
            )
        },
        document("b", labels(&["Person", "Person"])),
    ])
    .await
    else {
        return;
    };
    let moments = async |text: &str| -> Vec<Moment> {
        let page = index.search(&request(text)).await.unwrap();
        page.hits.into_iter().find(|hit| hit.video_id == "a").unwrap().moments
    };
    let text = moment(MomentKind::Text, "no person", 1_000);
    let person = moment(MomentKind::Label, "Person", 4_000);
    let car = moment(MomentKind::Label, "Car", 2_000);
    let ann = moment(MomentKind::Person, "Ann", 9_000);
    assert_eq!(moments("person -tie").await, [text.clone(), person.clone()]);
    assert_eq!(moments("label:person").await, [person]);
    assert_eq!(moments("\"no person\"").await, [text]);
    assert_eq!(moments("person:ann OR car").await, [car, ann]);
    assert!(moments("-tie").await.is_empty());
    assert!(moments("*").await.is_empty());
    assert!(moments("title:person").await.is_empty());

    let hit = index.search(&request("dog")).await.unwrap().hits.remove(0);
    assert_eq!(hit.title, "Person of the year");
    assert_eq!((hit.owner.as_str(), hit.assessment.as_str()), ("ann", "exam-1"));
    assert_eq!((hit.recorded_at_ms, hit.duration_ms), (JAN_31, 60_000));
}

#[tokio::test]
async fn a_hit_shows_its_first_hundred_moments() {
    let many = (0..350).rev().map(|n| moment(MomentKind::Label, "Person", n * 100)).collect();
    let Some((index, _dir)) = super::index_of(&[document("a", many)]).await else { return };
    let moments = index.search(&request("person")).await.unwrap().hits.remove(0).moments;
    let starts: Vec<i64> = moments.iter().map(|moment| moment.start_ms).collect();
    assert_eq!(starts, (0..100).map(|n| n * 100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_tree_that_the_parser_would_not_build_is_the_askers_fault() {
    let Some((index, _dir)) = super::index_of(&[]).await else { return };
    for (field, word) in [("colour", "red"), ("after", "yesterday")] {
        let term = ports::Match { field: Some(field.to_owned()), word: word.to_owned() };
        let request = SearchRequest { query: ports::Query::Term(term), ..request("*") };
        let error = index.search(&request).await.unwrap_err();
        assert!(matches!(error, Trouble::Refused(_)), "{error:?}");
    }
    let punctuation = ports::Match { field: None, word: "!?".to_owned() };
    let request = SearchRequest { query: ports::Query::Term(punctuation), ..request("*") };
    assert_eq!(index.search(&request).await.unwrap().total, 0);
}
