//! Deployments roll one by one and replay reads every old version: schemas change only so that
//! every committed version can be read by every other.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it meets what it does not expect"
)]

use apache_avro::{
    Schema, reader::datum::GenericDatumReader, schema::RecordField,
    schema_compatibility::SchemaCompatibility,
};
use schemas::{ALL, decode_json};
use serde_json::Value as Json;
use std::{
    fs,
    path::{Path, PathBuf},
};

const OBJECTS: [&str; 2] = ["objects/tracks", "objects/labels"];

fn avro() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("avro")
}

/// Every schema there is, by its path without extension.
fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|kind| kind.topic).chain(OBJECTS)
}

fn current(name: &str) -> String {
    fs::read_to_string(avro().join(format!("{name}.avsc"))).unwrap()
}

/// All committed versions, from the first.
fn versions(name: &str) -> Vec<String> {
    let at = |n: usize| avro().join("versions").join(name).join(format!("v{n}.avsc"));
    (1..).map(at).take_while(|path| path.exists()).map(|p| fs::read_to_string(p).unwrap()).collect()
}

fn fixtures(topic: &str) -> Vec<(Vec<u8>, Json)> {
    let at = |n: usize| avro().join(format!("fixtures/{topic}.v{n}.bin"));
    let read = |path: PathBuf| {
        let json = fs::read_to_string(path.with_extension("json")).unwrap();
        (fs::read(path).unwrap(), serde_json::from_str(&json).unwrap())
    };
    (1..).map(at).take_while(|path| path.exists()).map(read).collect()
}

fn compatible(a: &str, b: &str) -> Result<(), String> {
    let (a, b) = (Schema::parse_str(a).unwrap(), Schema::parse_str(b).unwrap());
    SchemaCompatibility::mutual_read(&a, &b).map(drop).map_err(|e| e.to_string())
}

#[test]
fn the_current_schema_is_the_newest_committed_version() {
    for name in names() {
        assert_eq!(
            versions(name).last(),
            Some(&current(name)),
            "{name} has changed: run `cargo run -p schemas --example release`"
        );
    }
}

#[test]
fn every_version_reads_every_other() {
    for name in names() {
        let versions = versions(name);
        for (a, older) in versions.iter().enumerate() {
            for (b, newer) in versions.iter().enumerate() {
                let verdict = compatible(older, newer);
                assert_eq!(verdict, Ok(()), "{name}: v{} and v{}", a + 1, b + 1);
            }
        }
    }
}

#[test]
fn a_field_without_a_default_can_neither_come_nor_go() {
    let schema = current("clips-blurred");
    let mut json: Json = serde_json::from_str(&schema).unwrap();
    let fields = json["fields"].as_array_mut().unwrap();
    fields.push(serde_json::json!({ "name": "masks", "type": "int" }));
    assert!(compatible(&schema, &json.to_string()).is_err());
    json["fields"].as_array_mut().unwrap().last_mut().unwrap()["default"] = 0.into();
    assert_eq!(compatible(&schema, &json.to_string()), Ok(()));
}

#[test]
fn bytes_of_every_version_decode_for_ever() {
    for kind in ALL {
        let (versions, fixtures) = (versions(kind.topic), fixtures(kind.topic));
        assert_eq!(versions.len(), fixtures.len(), "{}: a fixture per version", kind.topic);
        for (version, (bytes, expected)) in versions.iter().zip(fixtures) {
            let writer = Schema::parse_str(version).unwrap();
            let reader = GenericDatumReader::builder(&writer).build().unwrap();
            let mut rest = bytes.as_slice();
            let value = reader.read_value(&mut rest).unwrap();
            assert!(rest.is_empty(), "{}: bytes are left over", kind.topic);
            let event = decode_json(kind.topic, value).unwrap();
            for (field, value) in expected.as_object().unwrap() {
                assert_eq!(&event[field], value, "{} {field}", kind.topic);
            }
        }
    }
}

#[test]
fn every_schema_explains_itself() {
    for name in names() {
        let schema = Schema::parse_str(&current(name)).unwrap();
        let Schema::Record(record) = &schema else { panic!("{name} is no record") };
        assert_eq!(record.name.namespace().map(|n| n.to_string()).as_deref(), Some("reelmill"));
        assert!(record.doc.as_ref().is_some_and(|doc| doc.ends_with('.')), "{name}");
        record.fields.iter().for_each(|field| explained(name, field));
    }
}

/// A doc on the field and on all below it, and null first where it may be null.
fn explained(name: &str, field: &RecordField) {
    assert!(field.doc.as_ref().is_some_and(|doc| !doc.is_empty()), "{name}: {}", field.name);
    let inner = match &field.schema {
        Schema::Array(array) => &array.items,
        Schema::Union(union) => {
            assert_eq!(union.variants().first(), Some(&Schema::Null), "{name}: {}", field.name);
            assert_eq!(field.default, Some(Json::Null), "{name}: {}", field.name);
            return;
        }
        other => other,
    };
    if let Schema::Record(record) = inner {
        assert!(record.doc.is_some(), "{name}: {}", record.name);
        record.fields.iter().for_each(|field| explained(name, field));
    }
}

#[test]
fn a_type_is_its_topic_in_camel_case() {
    for kind in ALL {
        let schema = Schema::parse_str(kind.schema).unwrap();
        let words = kind.topic.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
        assert_eq!(schema.name().unwrap().name(), words.collect::<String>());
    }
}
