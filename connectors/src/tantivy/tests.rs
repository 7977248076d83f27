#[path = "../../tests/search/documents.rs"]
mod documents;

use super::*;
use documents::{document, labels, request};
use tempfile::TempDir;

/// An index of these documents, in a directory that lives as long as the result.
async fn index_of(documents: &[Document]) -> (Tantivy, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let index = Tantivy::open(dir.path()).unwrap();
    for document in documents {
        index.put(document).await.unwrap();
    }
    (index, dir)
}

/// The ids that a query finds, sorted.
async fn found(index: &Tantivy, text: &str) -> Vec<String> {
    let page = index.search(&request(text)).await.unwrap();
    assert_eq!(page.total, page.hits.len() as u64);
    let mut ids: Vec<_> = page.hits.into_iter().map(|hit| hit.video_id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn the_next_write_works_after_one_that_failed_and_sees_nothing_of_it() {
    let (index, _dir) = index_of(&[]).await;
    let broken = document("a", labels(&["Car"]));
    let failed = index
        .blocking(move |shared| {
            shared.write(|writer| {
                for document in document::to_tantivy(&shared.fields, &broken)? {
                    writer.add_document(document)?;
                }
                Err(io::Error::from(io::ErrorKind::StorageFull).into())
            })
        })
        .await;
    assert!(matches!(failed, Err(Trouble::Transient { reason: "disk_full", .. })), "{failed:?}");
    index.put(&document("b", labels(&["Car"]))).await.unwrap();
    assert_eq!(found(&index, "car").await, ["b"]);
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart() {
    let (index, dir) = index_of(&[document("a", labels(&["Car"]))]).await;
    drop(index);
    let index = Tantivy::open(dir.path()).unwrap();
    assert_eq!(found(&index, "car").await, ["a"]);
    index.put(&Document { version: 0, ..document("a", labels(&["Dog"])) }).await.unwrap();
    assert_eq!(found(&index, "car").await, ["a"]);
}

#[tokio::test]
async fn an_index_in_use_is_not_opened_twice() {
    let (_index, dir) = index_of(&[]).await;
    let error = Tantivy::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[test]
fn an_index_of_another_version_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = ::tantivy::schema::Schema::builder();
    other.add_text_field("body", ::tantivy::schema::TEXT);
    Index::create_in_dir(dir.path(), other.build()).unwrap();
    let error = Tantivy::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Incompatible { .. }), "{error:?}");
    assert!(error.to_string().contains("remove the directory"), "{error}");
}

#[tokio::test]
async fn a_damaged_index_is_refused_with_a_remedy() {
    for damage in ["", "{", "not json"] {
        let (index, dir) = index_of(&[document("a", labels(&["Car"]))]).await;
        drop(index);
        fs::write(dir.path().join("meta.json"), damage).unwrap();
        let error = Tantivy::open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("restore it from a copy"), "{error}");
    }
    // A segment cut short.
    let (index, dir) = index_of(&[document("a", labels(&["Car"]))]).await;
    drop(index);
    let segments = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    for file in segments.filter(|path| path.extension().is_some_and(|end| end == "store")) {
        fs::write(file, b"short").unwrap();
    }
    let error = Tantivy::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_directory_that_cannot_be_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Tantivy::open(file.path().join("index")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
}
