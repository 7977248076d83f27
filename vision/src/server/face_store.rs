//! Collections and the embeddings of their faces, in one SQLite file.
//!
//! Every change is one transaction, synced before it is answered. Deleted rows are overwritten with
//! zeros (`secure_delete`), and there is no write-ahead log that could still hold them: a face that
//! was deleted is in no file of the data folder.

use crate::{BoundingBox, Embedding, VisionError, distance};
use futures::TryStreamExt;
use sqlx::{
    Row,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
        SqliteSynchronous,
    },
};
use std::path::Path;
use uuid::Uuid;

/// Ids of images and faces are derived within this and their collection's own namespace.
type Namespace = Uuid;

/// A face as it is kept: where it was seen and as whose, without the picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Face {
    pub(super) id: String,
    pub(super) image_id: String,
    pub(super) external_image_id: Option<String>,
    pub(super) region: BoundingBox,
    /// 0 to 100.
    pub(super) confidence: f32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collection {
    n: i64,
    pub(super) id: String,
    pub(super) namespace: Namespace,
    /// Milliseconds since 1970.
    pub(super) created_ms: i64,
}

impl Collection {
    /// Distinguishes this collection from an earlier one of the same name.
    pub(super) fn n(&self) -> i64 {
        self.n
    }
}

/// Part of a list and after which row the next part begins.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<i64>,
}

#[derive(Debug)]
pub(super) struct FaceStore {
    pool: SqlitePool,
}

impl FaceStore {
    /// Opens `faces.sqlite` in `data`, which must be there.
    pub(super) async fn open(data: &Path) -> Result<Self, VisionError> {
        let path = data.join("faces.sqlite");
        let failed = |detail: String| VisionError::Faces { path: path.clone(), detail };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Delete)
            .synchronous(SqliteSynchronous::Extra)
            .pragma("secure_delete", "ON")
            .foreign_keys(true);
        // One connection: without a write-ahead log a reader would hold up the writer anyway.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let migrated = sqlx::migrate!("./migrations").run(&pool).await;
        migrated.map_err(|error| failed(error.to_string()))?;
        Ok(Self { pool })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// False where there is a collection of that name.
    pub(super) async fn create(&self, id: &str, now_ms: i64) -> sqlx::Result<bool> {
        let made = sqlx::query(
            "INSERT INTO collections (id, namespace, created_ms) VALUES (?, ?, ?)
             ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(Uuid::new_v4().to_string())
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(made.rows_affected() == 1)
    }

    pub(super) async fn collection(&self, id: &str) -> sqlx::Result<Option<Collection>> {
        let row = sqlx::query("SELECT n, id, namespace, created_ms FROM collections WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(collection).transpose()
    }

    /// In the order they were made.
    pub(super) async fn collections(
        &self,
        after: i64,
        most: usize,
    ) -> sqlx::Result<Part<Collection>> {
        let rows = sqlx::query(
            "SELECT n, id, namespace, created_ms FROM collections WHERE n > ? ORDER BY n LIMIT ?",
        )
        .bind(after)
        .bind(one_more(most))
        .fetch_all(&self.pool)
        .await?;
        let items: Vec<Collection> = rows.iter().map(collection).collect::<sqlx::Result<_>>()?;
        Ok(part(items, most, |collection| collection.n))
    }

    /// Removes a collection with its faces; false where there is none.
    pub(super) async fn delete(&self, id: &str) -> sqlx::Result<bool> {
        let deleted = sqlx::query("DELETE FROM collections WHERE id = ?").bind(id);
        Ok(deleted.execute(&self.pool).await?.rows_affected() == 1)
    }

    pub(super) async fn count(&self, of: &Collection) -> sqlx::Result<u64> {
        let row = sqlx::query("SELECT count(*) FROM faces WHERE collection = ?").bind(of.n);
        Ok(row.fetch_one(&self.pool).await?.try_get::<i64, _>(0)?.unsigned_abs())
    }

    /// Adds all faces or none; those that are there already stay as they are. False where the
    /// collection has been deleted meanwhile.
    pub(super) async fn add(
        &self,
        to: &Collection,
        faces: &[(Face, Embedding)],
    ) -> sqlx::Result<bool> {
        let mut change = self.pool.begin().await?;
        let known = sqlx::query("SELECT 1 FROM collections WHERE n = ?").bind(to.n);
        if known.fetch_optional(&mut *change).await?.is_none() {
            return Ok(false);
        }
        for (face, embedding) in faces {
            let numbers: Vec<u8> = embedding.iter().flat_map(|n| n.to_le_bytes()).collect();
            sqlx::query(
                "INSERT INTO faces (collection, face_id, image_id, external_image_id,
                                    box_left, box_top, box_width, box_height, confidence, embedding)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO NOTHING",
            )
            .bind(to.n)
            .bind(&face.id)
            .bind(&face.image_id)
            .bind(&face.external_image_id)
            .bind(face.region.left)
            .bind(face.region.top)
            .bind(face.region.width)
            .bind(face.region.height)
            .bind(face.confidence)
            .bind(numbers)
            .execute(&mut *change)
            .await?;
        }
        change.commit().await?;
        Ok(true)
    }

    /// In the order they were added; only those of `ids` where given.
    pub(super) async fn faces(
        &self,
        of: &Collection,
        ids: Option<&[String]>,
        after: i64,
        most: usize,
    ) -> sqlx::Result<Part<Face>> {
        let rows = sqlx::query(
            "SELECT * FROM faces WHERE collection = ?1 AND n > ?2
                 AND (?3 IS NULL OR face_id IN (SELECT value FROM json_each(?3)))
             ORDER BY n LIMIT ?4",
        )
        .bind(of.n)
        .bind(after)
        .bind(ids.map(list))
        .bind(one_more(most))
        .fetch_all(&self.pool)
        .await?;
        let items = rows.iter().map(|row| Ok((row.try_get("n")?, face(row)?)));
        let items: Vec<(i64, Face)> = items.collect::<sqlx::Result<_>>()?;
        let Part { items, next } = part(items, most, |(n, _)| *n);
        Ok(Part { items: items.into_iter().map(|(_, face)| face).collect(), next })
    }

    /// Removes faces and returns the ids of those that were there.
    pub(super) async fn delete_faces(
        &self,
        of: &Collection,
        ids: &[String],
    ) -> sqlx::Result<Vec<String>> {
        let rows = sqlx::query(
            "DELETE FROM faces WHERE collection = ?
                 AND face_id IN (SELECT value FROM json_each(?)) RETURNING face_id",
        )
        .bind(of.n)
        .bind(list(ids))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    pub(super) async fn embedding(
        &self,
        of: &Collection,
        face_id: &str,
    ) -> sqlx::Result<Option<Embedding>> {
        let row = sqlx::query("SELECT embedding FROM faces WHERE collection = ? AND face_id = ?")
            .bind(of.n)
            .bind(face_id)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok(numbers(row.try_get(0)?))).transpose()
    }

    /// The faces nearest to `to` whose distance is `near` enough, at most `most`, with their
    /// distances, nearest first; without the face `but`. Looks at every face of the collection.
    pub(super) async fn nearest(
        &self,
        of: &Collection,
        to: &Embedding,
        most: usize,
        but: Option<&str>,
        near: impl Fn(f32) -> bool,
    ) -> sqlx::Result<Vec<(f32, Face)>> {
        let mut nearest: Vec<(f32, i64)> = Vec::new();
        {
            let mut rows = sqlx::query(
                "SELECT n, embedding FROM faces WHERE collection = ?1
                     AND (?2 IS NULL OR face_id <> ?2)",
            )
            .bind(of.n)
            .bind(but)
            .fetch(&self.pool);
            while let Some(row) = rows.try_next().await? {
                let apart = distance(&numbers(row.try_get(1)?), to);
                if near(apart) {
                    nearest.push((apart, row.try_get(0)?));
                }
            }
        }
        nearest.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        nearest.truncate(most);
        let mut found = Vec::with_capacity(nearest.len());
        for (apart, n) in nearest {
            let row = sqlx::query("SELECT * FROM faces WHERE n = ?").bind(n);
            // Deleted in between: it is not there any more.
            if let Some(row) = row.fetch_optional(&self.pool).await? {
                found.push((apart, face(&row)?));
            }
        }
        Ok(found)
    }
}

fn collection(row: &SqliteRow) -> sqlx::Result<Collection> {
    let namespace: &str = row.try_get("namespace")?;
    Ok(Collection {
        n: row.try_get("n")?,
        id: row.try_get("id")?,
        namespace: Uuid::try_parse(namespace).map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn face(row: &SqliteRow) -> sqlx::Result<Face> {
    Ok(Face {
        id: row.try_get("face_id")?,
        image_id: row.try_get("image_id")?,
        external_image_id: row.try_get("external_image_id")?,
        region: BoundingBox {
            left: row.try_get("box_left")?,
            top: row.try_get("box_top")?,
            width: row.try_get("box_width")?,
            height: row.try_get("box_height")?,
        },
        confidence: row.try_get("confidence")?,
    })
}

fn numbers(bytes: &[u8]) -> Embedding {
    let mut numbers = [0.0; 128];
    for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(4)) {
        *number = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    numbers
}

fn list(ids: &[String]) -> String {
    serde_json::Value::from(ids.to_vec()).to_string()
}

/// The extra row tells whether there is a next part.
fn one_more(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1)
}

fn part<T>(mut items: Vec<T>, most: usize, n: impl Fn(&T) -> i64) -> Part<T> {
    let more = items.len() > most;
    items.truncate(most);
    let next = items.last().filter(|_| more).map(n);
    Part { items, next }
}

#[cfg(test)]
#[path = "face_store_tests.rs"]
mod tests;
