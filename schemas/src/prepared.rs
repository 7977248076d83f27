//! Schemas ready to be used: building a reader or a writer takes longer than what it then does to
//! an event.

use crate::{
    AvroValue, Event, Malformed,
    codec::{self, malformed},
};
use apache_avro::{Schema, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use std::{
    fmt,
    io::{self, Read},
};

/// Confluent's wire format: a zero, the schema's id in four bytes, then Avro.
pub const WIRE_HEADER: usize = 5;

/// Where most events fit.
const ROOM: usize = 512;

/// Reads what one schema wrote.
pub struct Reader {
    datum: GenericDatumReader<'static>,
    /// The one of our committed schemas that it is, if it is one.
    ours: Option<&'static str>,
}

impl Reader {
    /// Keeps the schema for the life of the process.
    ///
    /// # Errors
    /// A schema that refers to one it does not hold.
    pub fn new(schema: &Schema) -> Result<Self, Malformed> {
        let datum = GenericDatumReader::builder(kept(schema)).build().map_err(malformed)?;
        Ok(Self { datum, ours: codec::ours(schema) })
    }

    /// A value as it was written.
    ///
    /// # Errors
    /// Bytes that this schema did not write, or not all of them.
    pub fn value(&self, datum: &[u8]) -> Result<AvroValue, Malformed> {
        let mut datum = Watched { rest: datum, ended: false };
        let value = self.datum.read_value(&mut datum).map_err(malformed)?;
        match datum.ended {
            true => Err(Malformed("the bytes end before the event does".to_owned())),
            false => Ok(value),
        }
    }

    /// The event, without a value between it and its bytes. `None` where another schema than the
    /// event's own wrote them, and where they are no such event: [`Reader::value`] and
    /// [`Event::from_value`] say more.
    #[must_use]
    pub fn event<E: Event>(&self, mut datum: &[u8]) -> Option<E> {
        if self.ours != Some(E::SCHEMA) {
            return None;
        }
        self.datum.read_deser(&mut datum).ok()
    }
}

/// Writes with one schema, in Confluent's wire format.
pub struct Writer {
    id: u32,
    datum: GenericDatumWriter<'static>,
    ours: Option<&'static str>,
}

impl Writer {
    /// Keeps the schema for the life of the process. `id` is the registry's.
    ///
    /// # Errors
    /// A schema that refers to one it does not hold.
    pub fn new(id: u32, schema: &Schema) -> Result<Self, Malformed> {
        let datum = GenericDatumWriter::builder(kept(schema)).build().map_err(malformed)?;
        Ok(Self { id, datum, ours: codec::ours(schema) })
    }

    /// # Errors
    /// A value that is none of this schema.
    pub fn value(&self, value: &AvroValue) -> Result<Vec<u8>, Malformed> {
        let mut bytes = self.header();
        self.datum.write_value_ref(&mut bytes, value).map_err(malformed)?;
        Ok(bytes)
    }

    /// The same for an event, without a value between it and its bytes. `None` where this is not
    /// the event's own schema, and where the event does not fit it: [`Event::to_value`] and
    /// [`Writer::value`] say more.
    #[must_use]
    pub fn event<E: Event>(&self, event: &E) -> Option<Vec<u8>> {
        if self.ours != Some(E::SCHEMA) {
            return None;
        }
        let mut bytes = self.header();
        self.datum.write_ser(&mut bytes, event).ok()?;
        Some(bytes)
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ROOM);
        bytes.push(0);
        bytes.extend(self.id.to_be_bytes());
        bytes
    }
}

/// Notices that more was wanted than there is: of some types, apache-avro makes a null of it.
struct Watched<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(into)?;
        self.ended |= read == 0 && !into.is_empty();
        Ok(read)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Readers and writers borrow their schema. There are as many as a registry has.
fn kept(schema: &Schema) -> &'static Schema {
    Box::leak(Box::new(schema.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ALL, ClipsBlurred, ClipsReady, FacesDetected, LabelsDetected, MetadataIndexed,
        RecordingReady, RecordingStitched, ThumbnailReady, VideoUploaded, encode_json,
    };

    fn schema<E: Event>() -> Schema {
        Schema::parse_str(E::SCHEMA).unwrap()
    }

    fn examples<E: Event>() -> Vec<E> {
        let kind = ALL.iter().find(|kind| kind.topic == E::TOPIC).unwrap();
        let examples: Vec<serde_json::Value> = serde_json::from_str(kind.examples).unwrap();
        let value = |json: serde_json::Value| encode_json(E::TOPIC, &json.to_string()).unwrap();
        examples.into_iter().map(|json| E::from_value(value(json)).unwrap()).collect()
    }

    /// Both ways of writing give the same bytes, and both ways of reading give the event back.
    fn both_ways_agree<E: Event>() -> usize {
        let (writer, reader) =
            (Writer::new(258, &schema::<E>()).unwrap(), Reader::new(&schema::<E>()).unwrap());
        for event in examples::<E>() {
            let bytes = writer.value(&event.to_value().unwrap()).unwrap();
            assert_eq!(bytes[..WIRE_HEADER], [0, 0, 0, 1, 2]);
            assert_eq!(writer.event(&event), Some(bytes.clone()), "{event:?}");
            let datum = &bytes[WIRE_HEADER..];
            assert_eq!(E::from_value(reader.value(datum).unwrap()), Ok(event.clone()));
            assert_eq!(reader.event(datum), Some(event));
            // Cut short anywhere it is no event, either way.
            for end in 0..datum.len() {
                assert_eq!(reader.event::<E>(&datum[..end]), None);
                assert!(reader.value(&datum[..end]).is_err());
            }
        }
        examples::<E>().len()
    }

    #[test]
    fn the_short_way_and_the_long_one_agree_on_every_example() {
        let examples = [
            both_ways_agree::<VideoUploaded>(),
            both_ways_agree::<ClipsReady>(),
            both_ways_agree::<FacesDetected>(),
            both_ways_agree::<LabelsDetected>(),
            both_ways_agree::<ClipsBlurred>(),
            both_ways_agree::<RecordingStitched>(),
            both_ways_agree::<RecordingReady>(),
            both_ways_agree::<ThumbnailReady>(),
            both_ways_agree::<MetadataIndexed>(),
        ];
        assert_eq!(examples.len(), ALL.len());
        assert!(examples.iter().all(|count| *count > 0), "{examples:?}");
    }

    #[test]
    fn events_of_another_schema_go_the_long_way() {
        let clip = &examples::<LabelsDetected>()[0];
        let (writer, reader) = (
            Writer::new(1, &schema::<ClipsBlurred>()).unwrap(),
            Reader::new(&schema::<ClipsBlurred>()).unwrap(),
        );
        assert_eq!(writer.event(clip), None);
        let its = Writer::new(1, &schema::<LabelsDetected>()).unwrap().event(clip).unwrap();
        assert_eq!(reader.event::<LabelsDetected>(&its[WIRE_HEADER..]), None);

        // An older version lacks a field that has a default since.
        let mut older: serde_json::Value =
            serde_json::from_str(<LabelsDetected as Event>::SCHEMA).unwrap();
        older["fields"].as_array_mut().unwrap().pop();
        let older = Schema::parse_str(&older.to_string()).unwrap();
        assert_eq!(Reader::new(&older).unwrap().event::<LabelsDetected>(&its[WIRE_HEADER..]), None);
    }
}
