//! What the store of faces promises, also when it is killed.

use super::*;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// Names the folder to a process that is there to be killed.
const FOLDER: &str = "REELMILL_TEST_FACES";
/// And the number of its first pair of faces.
const FROM: &str = "REELMILL_TEST_FACES_FROM";

/// Numbers of which no run comes twice.
fn embedding(seed: usize) -> Embedding {
    std::array::from_fn(|i| {
        let mixed = (seed * 128 + i + 1) as u64 ^ 0x5bd1_e995;
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)) as u32 as f32 / u32::MAX as f32
    })
}

fn face(n: usize) -> (Face, Embedding) {
    let face = Face {
        id: format!("{n:08x}-0000-4000-8000-000000000000"),
        image_id: format!("{:08x}-1111-4000-8000-000000000000", n / 2),
        external_image_id: n.is_multiple_of(2).then(|| format!("photo:{n}")),
        region: BoundingBox { left: 0.1, top: 0.2, width: 0.3, height: 0.4 },
        confidence: 91.25,
    };
    (face, embedding(n))
}

async fn with_faces(data: &Path, count: usize) -> (FaceStore, Collection) {
    let store = FaceStore::open(data).await.unwrap();
    assert!(store.create("pupils", 1_000).await.unwrap());
    let pupils = store.collection("pupils").await.unwrap().unwrap();
    let faces: Vec<_> = (0..count).map(face).collect();
    assert!(store.add(&pupils, &faces).await.unwrap());
    (store, pupils)
}

/// Whether any file below the folder holds these numbers.
fn holds(folder: &Path, embedding: &Embedding) -> bool {
    let wanted: Vec<u8> = embedding.iter().flat_map(|n| n.to_le_bytes()).collect();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // A part is enough, since a page of the file may end within.
    files.map(|file| fs::read(file).unwrap()).any(|bytes| {
        bytes.windows(64).any(|window| wanted.chunks_exact(64).any(|part| part == window))
    })
}

#[tokio::test]
async fn what_was_added_comes_back_in_parts_and_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let (store, pupils) = with_faces(data.path(), 5).await;
    let first = store.faces(&pupils, None, 0, 3).await.unwrap();
    assert_eq!(first.items, (0..3).map(|n| face(n).0).collect::<Vec<_>>());
    store.close().await;
    let store = FaceStore::open(data.path()).await.unwrap();
    assert_eq!(store.collection("pupils").await.unwrap().unwrap(), pupils);
    let rest = store.faces(&pupils, None, first.next.unwrap(), 3).await.unwrap();
    assert_eq!(rest.items, [face(3).0, face(4).0]);
    assert_eq!(rest.next, None);
    let exact = store.faces(&pupils, None, 0, 5).await.unwrap();
    assert_eq!((exact.items.len(), exact.next), (5, None));
    let asked = [face(4).0.id, face(9).0.id];
    let some = store.faces(&pupils, Some(&asked), 0, 10).await.unwrap();
    assert_eq!(some.items, [face(4).0]);
}

#[tokio::test]
async fn adding_the_same_faces_again_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (store, pupils) = with_faces(data.path(), 3).await;
    assert!(store.add(&pupils, &[face(1), face(3)]).await.unwrap());
    assert_eq!(store.count(&pupils).await.unwrap(), 4);
}

#[tokio::test]
async fn the_nearest_faces_come_first_and_the_asking_face_is_left_out() {
    let data = tempfile::tempdir().unwrap();
    let (store, pupils) = with_faces(data.path(), 50).await;
    let all = store.nearest(&pupils, &embedding(7), 100, None, |_| true).await.unwrap();
    assert_eq!(all.len(), 50);
    assert_eq!((all[0].0, all[0].1.id.as_str()), (0.0, face(7).0.id.as_str()));
    assert!(all.is_sorted_by(|a, b| a.0 <= b.0));
    for (apart, found) in &all {
        let n = usize::from_str_radix(&found.id[..8], 16).unwrap();
        assert_eq!(*apart, distance(&embedding(7), &embedding(n)));
    }
    let but = Some(face(7).0.id);
    let limit = all[10].0;
    let near = store
        .nearest(&pupils, &embedding(7), 100, but.as_deref(), |apart| apart <= limit)
        .await
        .unwrap();
    assert_eq!(near, all[1..11]);
    let two = store.nearest(&pupils, &embedding(7), 2, None, |_| true).await.unwrap();
    assert_eq!(two, all[..2]);
}

#[tokio::test]
async fn a_deleted_face_is_in_no_file_any_more_and_the_others_are() {
    let data = tempfile::tempdir().unwrap();
    let (store, pupils) = with_faces(data.path(), 40).await;
    let gone: Vec<String> = (10..20).map(|n| face(n).0.id).collect();
    let deleted = store.delete_faces(&pupils, &[&gone[..], &[face(99).0.id]].concat()).await;
    assert_eq!(deleted.unwrap().len(), 10);
    assert!(store.embedding(&pupils, &gone[0]).await.unwrap().is_none());
    for n in 0..40 {
        assert_eq!(holds(data.path(), &embedding(n)), !(10..20).contains(&n), "face {n}");
    }
    assert!(store.delete("pupils").await.unwrap());
    assert!((0..40).all(|n| !holds(data.path(), &embedding(n))));
    assert!(!store.add(&pupils, &[face(1)]).await.unwrap(), "the collection is gone");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = with_faces(data.path(), 1).await;
    sqlx::query("INSERT INTO _sqlx_migrations SELECT 99, 'later', installed_on, 1, x'00', 1 FROM _sqlx_migrations")
        .execute(&store.pool)
        .await
        .unwrap();
    store.close().await;
    let error = FaceStore::open(data.path()).await.unwrap_err().to_string();
    assert!(error.contains("use the version that wrote them"), "{error}");
    assert!(holds(data.path(), &embedding(0)));
}

/// Not a test of its own: adds pairs of faces, deletes every third pair, and tells of each change
/// once it is promised, until it is killed.
#[tokio::test]
async fn changes_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let from: usize = std::env::var(FROM).unwrap().parse().unwrap();
    let store = FaceStore::open(&folder).await.unwrap();
    store.create("pupils", 1).await.unwrap();
    let pupils = store.collection("pupils").await.unwrap().unwrap();
    for pair in from.. {
        let faces = [face(2 * pair), face(2 * pair + 1)];
        assert!(store.add(&pupils, &faces).await.unwrap());
        println!("\nadded {pair}");
        if pair.is_multiple_of(3) {
            let ids = faces.map(|(face, _)| face.id);
            assert_eq!(store.delete_faces(&pupils, &ids).await.unwrap().len(), 2);
            println!("\ndeleted {pair}");
        }
    }
}

/// Runs that process until it has worked for a while, kills it, and returns what it promised: pairs
/// and whether they are to be there.
fn promises_of_a_killed(folder: &Path, from: usize, after: Duration) -> Vec<(usize, bool)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::face_store::tests::changes_until_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let promise = |line: String| -> Option<(usize, bool)> {
        let (what, pair) = line.split_once(' ')?;
        matches!(what, "added" | "deleted").then_some((pair.parse().ok()?, what == "added"))
    };
    // Not before it works: the moment is to fall into a change.
    let first = lines.by_ref().find_map(|line| promise(line.unwrap())).unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    std::iter::once(first).chain(lines.map_while(Result::ok).filter_map(promise)).collect()
}

#[tokio::test]
async fn whatever_moment_it_is_killed_at_a_change_is_whole_or_not_there_and_promises_hold() {
    let data = tempfile::tempdir().unwrap();
    let mut certain = BTreeMap::new();
    for round in 0..12 {
        let after = Duration::from_micros(120_000 + round as u64 * 7_733);
        let promised = promises_of_a_killed(data.path(), round * 1_000_000, after);
        certain.extend(promised.iter().copied());
        // What came after the last promise may have happened.
        let (last, added) = *promised.last().unwrap();
        if added && last.is_multiple_of(3) {
            certain.remove(&last);
        }

        let store = FaceStore::open(data.path()).await.unwrap();
        let pupils = store.collection("pupils").await.unwrap().unwrap();
        let kept = store.faces(&pupils, None, 0, 1_000_000).await.unwrap().items;
        let mut pairs: BTreeMap<usize, u32> = BTreeMap::new();
        for face in &kept {
            *pairs.entry(usize::from_str_radix(&face.id[..8], 16).unwrap() / 2).or_default() += 1;
        }
        assert!(pairs.values().all(|faces| *faces == 2), "round {round}: half a change {pairs:?}");
        for (pair, there) in &certain {
            assert_eq!(pairs.contains_key(pair), *there, "round {round}: pair {pair}");
        }
        store.close().await;
    }
    println!("{} promises held over 12 kills", certain.len());
    assert!(certain.len() > 24, "too few changes to tell anything: {}", certain.len());
}
