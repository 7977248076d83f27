//! Which version of a video stays, and what is removed.

use crate::support::*;
use ports::Document;

#[tokio::test]
async fn a_newer_run_replaces_an_older_one_and_never_the_other_way() {
    let version = |version, label| Document { version, ..document("a", labels(&[label])) };
    let Some((index, _dir)) =
        super::index_of(&[version(5, "Car"), document("b", labels(&["Car"]))]).await
    else {
        return;
    };
    assert_eq!(found(&index, "car").await, ["a", "b"]);

    index.put(&version(6, "Bike")).await.unwrap();
    assert_eq!(found(&index, "car").await, ["b"]);
    assert_eq!(found(&index, "bike").await, ["a"]);

    index.put(&version(5, "Train")).await.unwrap();
    assert!(found(&index, "train").await.is_empty());
    assert_eq!(found(&index, "bike").await, ["a"]);

    index.put(&version(6, "Bike")).await.unwrap();
    let page = index.search(&request("bike")).await.unwrap();
    assert_eq!((page.total, page.hits[0].moments.len()), (1, 1), "a repeated event adds nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_at_once_the_newest_version_stays() {
    let Some((index, _dir)) = super::index_of(&[]).await else { return };
    let writers = (1..=12).map(|n| {
        let index = index.clone();
        let version = (n * 5) % 13;
        let name = format!("v{version}");
        let document = Document { version, ..document("a", labels(&[&name])) };
        tokio::spawn(async move { index.put(&document).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(found(&index, "*").await, ["a"]);
    assert_eq!(found(&index, "v12").await, ["a"]);
}

#[tokio::test]
async fn a_removed_video_is_gone_with_its_moments() {
    let Some((index, _dir)) =
        super::index_of(&[document("a", labels(&["Car"])), document("b", labels(&["Car"]))]).await
    else {
        return;
    };
    index.remove("a").await.unwrap();
    index.remove("never there").await.unwrap();
    assert_eq!(found(&index, "car").await, ["b"]);
    // Its moments are not found again under the same id.
    index.put(&document("a", labels(&["Dog"]))).await.unwrap();
    assert_eq!(index.search(&request("dog OR car")).await.unwrap().hits.len(), 2);
    let dog = index.search(&request("dog")).await.unwrap();
    assert_eq!(dog.hits[0].moments.len(), 1);
}

#[tokio::test]
async fn several_at_once_are_answered_one_by_one_in_their_order() {
    let Some((index, _dir)) = super::index_of(&[]).await else { return };
    let version = |id, version, label| Document { version, ..document(id, labels(&[label])) };
    let answers = index
        .put_all(&[
            version("a", 1, "Car"),
            version("b", 7, "Bus"),
            version("a", 3, "Tram"),
            version("b", 6, "Ship"),
            version("a", 2, "Bike"),
        ])
        .await;
    assert_eq!(answers, vec![Ok(()); 5]);
    for (word, ids) in
        [("car", &[] as &[&str]), ("bus", &["b"]), ("tram", &["a"]), ("ship", &[]), ("bike", &[])]
    {
        assert_eq!(found(&index, word).await, ids, "{word}");
    }
    assert!(index.put_all(&[]).await.is_empty());
}

#[tokio::test]
async fn names_of_any_length_and_letter_are_kept_apart() {
    let ids = [
        "a".to_owned(),
        "A".to_owned(),
        "a/b?c=d&e#f".to_owned(),
        "日本 東京\n\"\\".to_owned(),
        "x".repeat(600),
        "x".repeat(601),
        "sha256:0".to_owned(),
        "_doc".to_owned(),
    ];
    let documents: Vec<Document> = ids.iter().map(|id| document(id, labels(&["Car"]))).collect();
    let Some((index, _dir)) = super::index_of(&documents).await else { return };
    let mut sorted = ids.to_vec();
    sorted.sort();
    assert_eq!(found(&index, "car").await, sorted);
    for id in &ids {
        index.remove(id).await.unwrap();
        sorted.retain(|other| other != id);
        assert_eq!(found(&index, "car").await, sorted, "{id}");
    }
}

#[tokio::test]
async fn a_text_without_an_end_is_kept_and_found_by_its_other_words() {
    let endless = "x".repeat(200_000);
    let texts = [endless.as_str(), "and a car", &"word ".repeat(20_000)];
    let documents = [Document { title: endless.clone(), ..document("a", labels(&texts)) }];
    let Some((index, _dir)) = super::index_of(&documents).await else { return };
    assert_eq!(found(&index, "car").await, ["a"]);
    assert_eq!(found(&index, "\"word word\"").await, ["a"]);
    let hit = index.search(&request("word")).await.unwrap().hits.remove(0);
    assert_eq!(hit.title, endless);
    assert_eq!(hit.moments[0].name, texts[2]);
}
