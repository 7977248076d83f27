//! What a person who looks for a fault asks of a store. Nothing is changed.

use super::S3;
use crate::aws::{Failure, Unfit};

impl S3 {
    /// One key of a bucket, where it has any.
    ///
    /// # Errors
    /// Where it cannot be listed.
    pub async fn look(&self, bucket: &str) -> Result<Option<String>, Unfit> {
        let page = self.client.list_objects_v2().bucket(bucket).max_keys(1).send().await;
        let page = page.map_err(|e| Unfit::from(Failure::from(e)))?;
        Ok(page.contents.into_iter().flatten().find_map(|object| object.key))
    }
}
