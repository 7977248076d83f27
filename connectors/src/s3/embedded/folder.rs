//! What the guard does to s3s-fs's folder itself: it lists one run without walking the whole
//! bucket, and removes what s3s-fs leaves behind.

use s3s::dto::{ETag, Object, Timestamp};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The root of an s3s-fs store: a folder per bucket, a file per object, and beside the buckets a
/// hidden file or two per object with its metadata and ETag.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Creates the root where absent, and removes uploads a crash left unfinished.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(unfinished) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { root: root.to_owned() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join(bucket).join(key)
    }

    pub(super) fn create_bucket(&self, bucket: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(bucket))
    }

    pub(super) fn has_bucket(&self, bucket: &str) -> bool {
        self.root.join(bucket).is_dir()
    }

    /// Whether `key` is only the beginning of other keys.
    pub(super) fn is_folder(&self, bucket: &str, key: &str) -> bool {
        self.object(bucket, key).is_dir()
    }

    /// The object that stands where `key` needs a folder.
    pub(super) fn object_in_the_way(&self, bucket: &str, key: &str) -> Option<String> {
        let bucket = self.root.join(bucket);
        let folders = key.match_indices('/').map(|(at, _)| &key[..at]);
        folders.into_iter().find(|folder| bucket.join(folder).is_file()).map(str::to_owned)
    }

    /// Removes what a deleted object leaves: its hidden files and folders that became empty.
    pub(super) fn tidy(&self, bucket: &str, key: &str) {
        for hidden in [self.hidden(bucket, key, "metadata"), self.hidden(bucket, key, "internal")] {
            ignore_absent(fs::remove_file(hidden));
        }
        for (at, _) in key.rmatch_indices('/') {
            // Fails, as it should, where something else lives there.
            if fs::remove_dir(self.root.join(bucket).join(&key[..at])).is_err() {
                break;
            }
        }
    }

    /// All objects below a prefix, by key. Objects that come or go meanwhile may be missed.
    pub(super) fn list(&self, bucket: &str, prefix: &str) -> io::Result<Vec<Object>> {
        let mut found = Vec::new();
        let start = prefix.rfind('/').map_or("", |at| &prefix[..at]);
        let mut folders = vec![start.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.root.join(bucket).join(&folder)) {
                Ok(entries) => entries,
                Err(error) if absent(&error) => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
                let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let Ok(about) = entry.metadata() else { continue };
                if about.is_dir() {
                    if key.starts_with(prefix) || prefix.starts_with(&format!("{key}/")) {
                        folders.push(key);
                    }
                } else if key.starts_with(prefix) {
                    found.push(Object {
                        size: i64::try_from(about.len()).ok(),
                        last_modified: about.modified().ok().map(Timestamp::from),
                        e_tag: self.etag(bucket, &key),
                        key: Some(key),
                        ..Object::default()
                    });
                }
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn etag(&self, bucket: &str, key: &str) -> Option<ETag> {
        let text = fs::read(self.hidden(bucket, key, "internal")).ok()?;
        let info: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(ETag::Strong(info.get("e_tag")?.as_str()?.to_owned()))
    }

    /// The name s3s-fs 0.14 gives to what it keeps beside an object.
    fn hidden(&self, bucket: &str, key: &str, what: &str) -> PathBuf {
        self.root.join(format!(".bucket-{}.object-{}.{what}.json", base64(bucket), base64(key)))
    }
}

fn unfinished(name: &str) -> bool {
    name.starts_with(".upload_id-")
        || (name.starts_with(".upload-") && name.ends_with(".json"))
        || (name.starts_with(".bucket-") && name.contains(".upload-"))
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn ignore_absent(removed: io::Result<()>) {
    if let Err(error) = removed
        && !absent(&error)
    {
        tracing::warn!(%error, "the embedded store could not tidy up after an object");
    }
}

/// RFC 4648's base64url without padding.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::with_capacity(text.len().div_ceil(3) * 4);
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            let six = (bits >> (18 - 6 * digit)) & 63;
            encoded.push(char::from(ALPHABET[six as usize]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let table = [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("?>~ÿ", "Pz5-w78"),
        ];
        for (text, encoded) in table {
            assert_eq!(base64(text), encoded);
        }
    }

    #[test]
    fn only_unfinished_uploads_are_swept_at_the_start() {
        for name in [
            ".upload_id-0b7c.part-1",
            ".upload-0b7c.json",
            ".bucket-Yg.object-aw.upload-0b7c.metadata.json",
        ] {
            assert!(unfinished(name), "{name}");
        }
        for name in
            ["bucket", ".bucket-Yg.object-aw.metadata.json", ".bucket-Yg.object-aw.internal.json"]
        {
            assert!(!unfinished(name), "{name}");
        }
    }
}
