//! A schema registry in memory, with Confluent's wire format.

use super::lock;
use apache_avro::{Schema, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use async_trait::async_trait;
use ports::{SchemaRegistry, Trouble};
use schemas::AvroValue;
use std::sync::{Arc, Mutex};

/// Ids are places in the list, from 1. Checks no compatibility.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    schemas: Mutex<Vec<(String, Arc<Schema>)>>,
    troubles: Mutex<Vec<Trouble>>,
}

impl MemoryRegistry {
    /// The next calls fail so, the last first.
    pub fn fail_next(&self, troubles: Vec<Trouble>) {
        lock(&self.troubles).extend(troubles);
    }

    fn trouble(&self) -> Result<(), Trouble> {
        lock(&self.troubles).pop().map_or(Ok(()), Err)
    }

    fn id(&self, text: &str) -> Result<(u32, Arc<Schema>), Trouble> {
        let mut schemas = lock(&self.schemas);
        let found = schemas.iter().position(|(known, _)| known == text);
        let index = match found {
            Some(index) => index,
            None => {
                let schema = Schema::parse_str(text).map_err(|error| {
                    Trouble::fatal(format!("a schema of ours is wrong: {error}"))
                })?;
                schemas.push((text.to_owned(), Arc::new(schema)));
                schemas.len() - 1
            }
        };
        let id = u32::try_from(index + 1).map_err(|error| Trouble::fatal(error.to_string()))?;
        Ok((id, schemas[index].1.clone()))
    }
}

#[async_trait]
impl SchemaRegistry for MemoryRegistry {
    async fn encode(
        &self,
        _topic: &str,
        schema: &'static str,
        value: AvroValue,
    ) -> Result<Vec<u8>, Trouble> {
        self.trouble()?;
        let (id, schema) = self.id(schema)?;
        let datum = GenericDatumWriter::builder(&schema)
            .build()
            .and_then(|writer| writer.write_value_to_vec(value))
            .map_err(|error| Trouble::poison("malformed_event", error.to_string()))?;
        Ok([&[0][..], &id.to_be_bytes()[..], &datum[..]].concat())
    }

    async fn decode(&self, bytes: &[u8]) -> Result<AvroValue, Trouble> {
        self.trouble()?;
        let [0, a, b, c, d, datum @ ..] = bytes else {
            return Err(Trouble::poison("malformed_event", "the value is in no schema's format"));
        };
        let id = u32::from_be_bytes([*a, *b, *c, *d]);
        let index = usize::try_from(id).unwrap_or(usize::MAX).wrapping_sub(1);
        let known = lock(&self.schemas).get(index).map(|(_, schema)| schema.clone());
        let Some(schema) = known else {
            return Err(Trouble::poison("unknown_schema", format!("no schema has the id {id}")));
        };
        let mut datum = datum;
        GenericDatumReader::builder(&schema)
            .build()
            .and_then(|reader| reader.read_value(&mut datum))
            .map_err(|error| Trouble::poison("malformed_event", error.to_string()))
    }
}
