//! Adds the current schemas to the committed history where they are new: `versions/…/vN.avsc`, and
//! for events a fixture, which is the first example as Avro bytes and as JSON.
//!
//! Run with `cargo run -p schemas --example release` after changing a schema; the tests in
//! `tests/history.rs` say whether the change is allowed.

use apache_avro::{Schema, writer::datum::GenericDatumWriter};
use schemas::{ALL, encode_json};
use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let avro = Path::new(env!("CARGO_MANIFEST_DIR")).join("avro");
    for kind in ALL {
        let Some(version) = release(&avro, kind.topic)? else { continue };
        let examples: Vec<serde_json::Value> = serde_json::from_str(kind.examples)?;
        let example = examples.first().ok_or("an event needs an example")?;
        let value = encode_json(kind.topic, &example.to_string())?;
        let schema = Schema::parse_str(kind.schema)?;
        let mut bytes = Vec::new();
        GenericDatumWriter::builder(&schema).build()?.write_value(&mut bytes, value)?;
        let fixture = avro.join(format!("fixtures/{}.v{version}", kind.topic));
        fs::write(fixture.with_added_extension("bin"), bytes)?;
        fs::write(fixture.with_added_extension("json"), serde_json::to_vec_pretty(example)?)?;
    }
    for object in ["objects/tracks", "objects/labels"] {
        release(&avro, object)?;
    }
    Ok(())
}

/// Commits a schema as its next version, unless it is the newest one already.
fn release(avro: &Path, name: &str) -> Result<Option<usize>, Box<dyn Error>> {
    let current = fs::read_to_string(avro.join(format!("{name}.avsc")))?;
    let history = avro.join("versions").join(name);
    fs::create_dir_all(&history)?;
    let version = |n: usize| history.join(format!("v{n}.avsc"));
    let newest = (1..).take_while(|n| version(*n).exists()).last().unwrap_or(0);
    if newest > 0 && fs::read_to_string(version(newest))? == current {
        return Ok(None);
    }
    fs::write(version(newest + 1), current)?;
    println!("{name} v{}", newest + 1);
    Ok(Some(newest + 1))
}
