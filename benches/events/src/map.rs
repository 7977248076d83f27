//! The map itself: an event of eleven fields in Confluent's wire format, one of them counted up.

use crate::Failure;
use apache_avro::{
    Schema, reader::datum::GenericDatumReader, types::Value, writer::datum::GenericDatumWriter,
};
use schemas::{Event, LabelsDetected};

/// The first schema of a fresh registry has this id.
const HEADER: [u8; 5] = [0, 0, 0, 0, 1];

/// The schema of every topic here.
pub(crate) const SCHEMA: &str = <LabelsDetected as Event>::SCHEMA;

/// An event as a fleet's look.
pub(crate) fn event(number: u32) -> LabelsDetected {
    let (video_id, run_id) =
        (format!("video-{:08}", number / 100), "run-0123456789abcdef".to_owned());
    let index = i32::try_from(number % 100).unwrap_or_default();
    LabelsDetected {
        manifest_key: format!("work/{video_id}/{run_id}/manifest.json"),
        labels_key: format!("work/{video_id}/{run_id}/labels/{index}.avro"),
        video_id,
        run_id,
        owner: "owner-0001".to_owned(),
        assessment: "assessment-0001".to_owned(),
        visibility: "private".to_owned(),
        index,
        count: Some(100),
        bucket: "reelmill".to_owned(),
        labels: i32::try_from(number).unwrap_or_default(),
        replay: 0,
    }
}

/// The headers that events of the mill have.
pub(crate) fn headers(number: u32) -> [(&'static str, String); 7] {
    [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{number:08x}-0000-5000-8000-000000000000")),
        ("ce_source", "reelmill/label".to_owned()),
        ("ce_type", "LabelsDetected".to_owned()),
        ("ce_time", "2026-01-02T03:04:05.678Z".to_owned()),
        ("content-type", "application/avro".to_owned()),
        ("traceparent", format!("00-{:032x}-{:016x}-01", number + 1, number + 1)),
    ]
}

/// The bytes of an event.
pub(crate) fn encode(schema: &Schema, number: u32) -> Result<Vec<u8>, Failure> {
    let value = event(number).to_value()?;
    let datum = GenericDatumWriter::builder(schema).build()?.write_value_to_vec(value)?;
    Ok([&HEADER[..], &datum].concat())
}

/// The bare loop's map: generic values, schemas at hand.
pub(crate) struct Map<'a> {
    reader: GenericDatumReader<'a>,
    writer: GenericDatumWriter<'a>,
}

impl<'a> Map<'a> {
    pub(crate) fn new(schema: &'a Schema) -> Result<Self, Failure> {
        let reader = GenericDatumReader::builder(schema).build()?;
        Ok(Self { reader, writer: GenericDatumWriter::builder(schema).build()? })
    }

    pub(crate) fn map(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut datum = bytes.get(HEADER.len()..).ok_or("too short")?;
        let mut value = self.reader.read_value(&mut datum)?;
        let Value::Record(fields) = &mut value else { return Err("no record".into()) };
        for (name, field) in fields {
            if let ("labels", Value::Int(labels)) = (name.as_str(), field) {
                *labels = labels.wrapping_add(1);
            }
        }
        let mut out = Vec::with_capacity(bytes.len() + 8);
        out.extend(HEADER);
        self.writer.write_value_ref(&mut out, &value)?;
        Ok(out)
    }
}
