//! The committed examples, and JSON as a person types it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it meets what it does not expect"
)]

use apache_avro::{Schema, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use schemas::{
    ALL, AvroValue, Catalogued, Event, EventKind, MetadataIndexed, VideoUploaded, decode_json,
    encode_json,
};
use serde_json::{Value as Json, json};

fn examples(kind: &EventKind) -> Vec<Json> {
    serde_json::from_str(kind.examples).unwrap()
}

/// Through the bytes a broker would see.
fn travel(schema: &str, value: AvroValue) -> AvroValue {
    let schema = Schema::parse_str(schema).unwrap();
    let mut bytes = Vec::new();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value(&mut bytes, value).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    reader.read_value(&mut bytes.as_slice()).unwrap()
}

fn uploaded(json: &Json) -> VideoUploaded {
    let value = encode_json(VideoUploaded::TOPIC, &json.to_string()).unwrap();
    VideoUploaded::from_value(travel(VideoUploaded::SCHEMA, value)).unwrap()
}

fn complaint(topic: &str, json: &str) -> String {
    encode_json(topic, json).unwrap_err().to_string()
}

#[test]
fn every_example_survives_json_avro_and_rust_unchanged() {
    for kind in ALL {
        assert!(examples(kind).len() >= 2, "{}", kind.topic);
        for example in examples(kind) {
            let value = encode_json(kind.topic, &example.to_string()).unwrap();
            let arrived = travel(kind.schema, value.clone());
            assert_eq!(decode_json(kind.topic, arrived.clone()).unwrap(), example);
            let event = Catalogued::from_value(kind.topic, arrived).unwrap();
            assert_eq!(event.to_value().unwrap(), value, "{}", kind.topic);
        }
    }
}

#[test]
fn examples_name_every_field() {
    for kind in ALL {
        let Schema::Record(record) = Schema::parse_str(kind.schema).unwrap() else {
            panic!("{}", kind.topic)
        };
        for example in examples(kind) {
            let fields: Vec<_> = record.fields.iter().map(|field| field.name.clone()).collect();
            for field in &fields {
                assert!(example.get(field).is_some(), "{}: {field}", kind.topic);
            }
            assert_eq!(example.as_object().unwrap().len(), fields.len(), "{}", kind.topic);
        }
    }
}

#[test]
fn a_clip_has_a_key_of_its_own_and_a_video_has_its_id() {
    for kind in ALL {
        for example in examples(kind) {
            let value = encode_json(kind.topic, &example.to_string()).unwrap();
            let key = Catalogued::from_value(kind.topic, value).unwrap().key();
            let video = example["video_id"].as_str().or(example["key"].as_str()).unwrap();
            let expected = match &example["index"] {
                Json::Null => video.to_owned(),
                index => format!("{video}/{index}"),
            };
            assert_eq!(key, expected);
            assert_eq!(kind.per_clip, example.get("index").is_some(), "{}", kind.topic);
        }
    }
}

#[test]
fn an_upload_needs_only_bucket_key_and_owner() {
    let event = uploaded(&json!({ "bucket": "b", "key": "k", "owner": "o" }));
    assert_eq!(
        event,
        VideoUploaded {
            bucket: "b".into(),
            key: "k".into(),
            owner: "o".into(),
            video_id: None,
            recorded_at_ms: None,
            assessment: String::new(),
            title: String::new(),
            blur: "all".into(),
            visibility: "private".into(),
            size_bytes: None,
            replay: 0,
            faces_of: None,
            labels_of: None,
        }
    );
}

#[test]
fn a_foreign_writer_with_three_fields_is_understood() {
    // A producer with a schema of its own, whose registry id is all we know of it.
    let theirs = r#"{"type":"record","name":"Upload","fields":[
        {"name":"owner","type":"string"},{"name":"key","type":"string"},
        {"name":"camera","type":"int"},{"name":"bucket","type":"string"}]}"#;
    let value = AvroValue::Record(vec![
        ("owner".into(), AvroValue::String("o".into())),
        ("key".into(), AvroValue::String("k".into())),
        ("camera".into(), AvroValue::Int(3)),
        ("bucket".into(), AvroValue::String("b".into())),
    ]);
    let event = VideoUploaded::from_value(travel(theirs, value)).unwrap();
    assert_eq!(event, uploaded(&json!({ "bucket": "b", "key": "k", "owner": "o" })));
}

#[test]
fn numbers_fit_the_fields_they_are_for() {
    let base = json!({ "bucket": "b", "key": "k", "owner": "o" });
    let with = |name: &str, value: Json| {
        let mut json = base.clone();
        json[name] = value;
        json
    };
    assert_eq!(uploaded(&with("recorded_at_ms", 5.into())).recorded_at_ms, Some(5));
    let late = 1_767_225_600_000_i64;
    assert_eq!(uploaded(&with("recorded_at_ms", late.into())).recorded_at_ms, Some(late));
    for (name, value) in [
        ("replay", json!(1_u64 << 40)),
        ("replay", json!("1")),
        ("size_bytes", json!("big")),
        ("size_bytes", json!(u64::MAX)),
        ("owner", json!(7)),
        ("owner", Json::Null),
        ("title", json!(["t"])),
    ] {
        let said = complaint("video-uploaded", &with(name, value.clone()).to_string());
        assert!(said.contains(name) && said.contains(&value.to_string()), "{said}");
    }
}

#[test]
fn mistakes_are_named_with_the_way_out() {
    let cases = [
        ("video-upload", "{}", "did you mean \"video-uploaded\"?"),
        ("video-uploaded", r#"{"bucket":"b","key":"k"}"#, "needs the field \"owner\""),
        ("video-uploaded", r#"{"bukcet":"b","key":"k","owner":"o"}"#, "did you mean \"bucket\"?"),
        ("video-uploaded", r#"{"recorded_at":1}"#, "did you mean \"recorded_at_ms\"?"),
        ("video-uploaded", "{", "is not JSON"),
        ("video-uploaded", "[]", "one JSON object"),
    ];
    for (topic, json, expected) in cases {
        let said = complaint(topic, json);
        assert!(said.contains(expected), "{said}");
        assert!(!said.ends_with('.') && !said.contains('\n'), "{said}");
    }
}

#[test]
fn a_value_of_something_else_is_malformed() {
    for value in [
        AvroValue::Null,
        AvroValue::String("video".into()),
        AvroValue::Record(Vec::new()),
        AvroValue::Record(vec![("bucket".into(), AvroValue::Int(1))]),
    ] {
        for kind in ALL {
            assert!(Catalogued::from_value(kind.topic, value.clone()).is_err(), "{}", kind.topic);
        }
    }
    let one = examples(ALL.last().unwrap()).remove(0);
    let value = encode_json(MetadataIndexed::TOPIC, &one.to_string()).unwrap();
    assert!(Catalogued::from_value("video-uploaded", value.clone()).is_err());
    assert!(decode_json("no-topic", value).is_err());
}
