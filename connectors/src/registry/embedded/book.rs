//! The registry's schemas, versions and levels, in one file.

use super::level::Level;
use apache_avro::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Confluent's default.
const DEFAULT: Level = Level::Backward;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("{file} cannot be used ({cause}): choose another data folder")]
    Io { file: PathBuf, cause: io::Error },
    #[error("{file} is damaged ({cause}): restore it, without it no stored event can be read")]
    Damaged { file: PathBuf, cause: String },
}

/// What the registry answers where it does not do what was asked.
#[derive(Debug)]
pub(super) enum Refused {
    NoSubject,
    NoVersion,
    NoSchema,
    NotASchema(String),
    Incompatible(String),
    Unsaved(BookError),
}

/// A schema as one version of a subject. Versions count from 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Version {
    pub(super) subject: String,
    pub(super) version: usize,
    pub(super) id: u32,
    pub(super) schema: String,
}

/// Which version of a subject.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    Latest,
    Number(usize),
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Pages {
    /// As they were registered.
    schemas: BTreeMap<u32, String>,
    /// Ids by version.
    subjects: BTreeMap<String, Vec<u32>>,
    levels: BTreeMap<String, Level>,
    level: Option<Level>,
}

/// Every change is on the disk before it is answered.
#[derive(Debug)]
pub(super) struct Book {
    file: PathBuf,
    pages: Pages,
    parsed: BTreeMap<u32, Schema>,
}

impl Book {
    pub(super) fn open(folder: &Path) -> Result<Self, BookError> {
        let file = folder.join("registry.json");
        let unusable = |cause| BookError::Io { file: file.clone(), cause };
        let damaged = |cause: String| BookError::Damaged { file: file.clone(), cause };
        fs::create_dir_all(folder).map_err(unusable)?;
        let pages: Pages = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Pages::default(),
            Err(error) => return Err(unusable(error)),
        };
        let mut parsed = BTreeMap::new();
        for (id, text) in &pages.schemas {
            let schema =
                Schema::parse_str(text).map_err(|e| damaged(format!("schema {id}: {e}")))?;
            parsed.insert(*id, schema);
        }
        for id in pages.subjects.values().flatten() {
            if !parsed.contains_key(id) {
                return Err(damaged(format!("schema {id} is missing")));
            }
        }
        Ok(Self { file, pages, parsed })
    }

    pub(super) fn subjects(&self) -> Vec<&String> {
        self.pages.subjects.keys().collect()
    }

    pub(super) fn schema(&self, id: u32) -> Result<&str, Refused> {
        self.pages.schemas.get(&id).map(String::as_str).ok_or(Refused::NoSchema)
    }

    pub(super) fn versions(&self, subject: &str) -> Result<&[u32], Refused> {
        self.pages.subjects.get(subject).map(Vec::as_slice).ok_or(Refused::NoSubject)
    }

    pub(super) fn version(&self, subject: &str, which: Which) -> Result<Version, Refused> {
        let ids = self.versions(subject)?;
        let version = match which {
            Which::Latest => ids.len(),
            Which::Number(number) => number,
        };
        let at = version.checked_sub(1).ok_or(Refused::NoVersion)?;
        let id = *ids.get(at).ok_or(Refused::NoVersion)?;
        Ok(Version {
            subject: subject.to_owned(),
            version,
            id,
            schema: self.schema(id)?.to_owned(),
        })
    }

    /// The version of a subject that is this schema.
    pub(super) fn look_up(&self, subject: &str, text: &str) -> Result<Version, Refused> {
        let ids = self.versions(subject)?;
        let id = self.id_of(&parse(text)?).ok_or(Refused::NoSchema)?;
        let at = ids.iter().position(|known| *known == id).ok_or(Refused::NoSchema)?;
        self.version(subject, Which::Number(at + 1))
    }

    /// The id of a schema, new or not. Ids are of the whole registry.
    pub(super) fn register(&mut self, subject: &str, text: &str) -> Result<u32, Refused> {
        let schema = parse(text)?;
        let known = self.id_of(&schema);
        let ids = self.pages.subjects.get(subject).map_or(&[][..], Vec::as_slice);
        if let Some(id) = known.filter(|id| ids.contains(id)) {
            return Ok(id);
        }
        let objections = self.objections(subject, &schema);
        if !objections.is_empty() {
            return Err(Refused::Incompatible(objections.join("; ")));
        }
        let mut pages = self.pages.clone();
        let id = known.unwrap_or_else(|| {
            let id = pages.schemas.last_key_value().map_or(1, |(last, _)| last + 1);
            pages.schemas.insert(id, text.to_owned());
            id
        });
        pages.subjects.entry(subject.to_owned()).or_default().push(id);
        self.turn_to(pages)?;
        self.parsed.insert(id, schema);
        Ok(id)
    }

    /// What the subject's level has against a schema.
    pub(super) fn check(&self, subject: &str, text: &str) -> Result<Vec<String>, Refused> {
        Ok(self.objections(subject, &parse(text)?))
    }

    /// What the subject's level has against a schema after this one version.
    pub(super) fn check_against(
        &self,
        subject: &str,
        which: Which,
        text: &str,
    ) -> Result<Vec<String>, Refused> {
        let new = parse(text)?;
        let old = self.version(subject, which)?;
        Ok(self.objection(subject, old.version, old.id, &new).into_iter().collect())
    }

    /// The subject's own level.
    pub(super) fn own_level(&self, subject: &str) -> Option<Level> {
        self.pages.levels.get(subject).copied()
    }

    /// The level of subjects without one of their own.
    pub(super) fn level(&self) -> Level {
        self.pages.level.unwrap_or(DEFAULT)
    }

    pub(super) fn set_level(&mut self, subject: Option<&str>, level: Level) -> Result<(), Refused> {
        let mut pages = self.pages.clone();
        match subject {
            Some(subject) => drop(pages.levels.insert(subject.to_owned(), level)),
            None => pages.level = Some(level),
        }
        self.turn_to(pages)
    }

    fn objections(&self, subject: &str, new: &Schema) -> Vec<String> {
        let ids = self.pages.subjects.get(subject).map_or(&[][..], Vec::as_slice);
        let level = self.own_level(subject).unwrap_or_else(|| self.level());
        let first = if level.is_transitive() { 0 } else { ids.len().saturating_sub(1) };
        let counted = ids.iter().enumerate().skip(first);
        counted.filter_map(|(at, id)| self.objection(subject, at + 1, *id, new)).collect()
    }

    fn objection(&self, subject: &str, version: usize, id: u32, new: &Schema) -> Option<String> {
        let level = self.own_level(subject).unwrap_or_else(|| self.level());
        let why = level.objection(self.parsed.get(&id)?, new)?;
        Some(format!("version {version}: {why}"))
    }

    /// Two texts are one schema when they say the same, defaults and docs included.
    fn id_of(&self, schema: &Schema) -> Option<u32> {
        let wanted = meaning(schema)?;
        let same = |(_, known): &(&u32, &Schema)| meaning(known).as_ref() == Some(&wanted);
        self.parsed.iter().find(same).map(|(id, _)| *id)
    }

    fn turn_to(&mut self, pages: Pages) -> Result<(), Refused> {
        save(&self.file, &pages)
            .map_err(|cause| Refused::Unsaved(BookError::Io { file: self.file.clone(), cause }))?;
        self.pages = pages;
        Ok(())
    }
}

fn parse(text: &str) -> Result<Schema, Refused> {
    Schema::parse_str(text).map_err(|e| Refused::NotASchema(e.to_string()))
}

fn meaning(schema: &Schema) -> Option<Value> {
    serde_json::to_value(schema).ok()
}

/// The whole file or the old one, also after a power cut.
fn save(file: &Path, pages: &Pages) -> io::Result<()> {
    let new = file.with_extension("json.new");
    let mut out = fs::File::create(&new)?;
    out.write_all(&serde_json::to_vec_pretty(pages)?)?;
    out.sync_all()?;
    fs::rename(&new, file)?;
    match file.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
