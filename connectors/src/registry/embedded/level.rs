//! How schemas of one subject must relate.

use apache_avro::{
    Schema,
    schema_compatibility::{Compatibility, SchemaCompatibility},
};
use serde::{Deserialize, Serialize};

/// Confluent's compatibility levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    None,
    /// The new schema reads what the last one wrote.
    Backward,
    /// The new schema reads what any earlier one wrote.
    BackwardTransitive,
    /// The last schema reads what the new one writes.
    Forward,
    /// Every earlier schema reads what the new one writes.
    ForwardTransitive,
    Full,
    FullTransitive,
}

impl Level {
    /// Whether all earlier versions count, not only the last.
    #[must_use]
    pub fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    /// Why `new` may not follow `old`.
    pub(in crate::registry) fn objection(self, old: &Schema, new: &Schema) -> Option<String> {
        let backward = || reads(new, old).map(|why| format!("it cannot read older events: {why}"));
        let forward =
            || reads(old, new).map(|why| format!("older programs cannot read its events: {why}"));
        match self {
            Self::None => None,
            Self::Backward | Self::BackwardTransitive => backward(),
            Self::Forward | Self::ForwardTransitive => forward(),
            Self::Full | Self::FullTransitive => backward().or_else(forward),
        }
    }
}

/// Why `reader` cannot read everything that `writer` writes.
fn reads(reader: &Schema, writer: &Schema) -> Option<String> {
    match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => None,
        Ok(Compatibility::Partial) => {
            Some("some values of a union or an enum are unknown".to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> Schema {
        let text = format!(r#"{{"type":"record","name":"E","fields":[{fields}]}}"#);
        Schema::parse_str(&text).unwrap()
    }

    #[test]
    fn each_level_allows_what_confluents_allows() {
        use Level::*;
        let a = r#"{"name":"a","type":"string"}"#;
        let required = format!(r#"{a},{{"name":"b","type":"string"}}"#);
        let optional = format!(r#"{a},{{"name":"b","type":["null","string"],"default":null}}"#);
        let words = |symbols: &str| {
            record(&format!(
                r#"{{"name":"w","type":{{"type":"enum","name":"W","symbols":[{symbols}]}}}}"#
            ))
        };
        let old = record(a);
        // change, old, new, levels that allow it
        let table = [
            ("nothing", old.clone(), old.clone(), vec![None, Backward, Forward, Full]),
            ("a required field", old.clone(), record(&required), vec![None, Forward]),
            ("a required field less", record(&required), old.clone(), vec![None, Backward]),
            (
                "a field with a default",
                old.clone(),
                record(&optional),
                vec![None, Backward, Forward, Full],
            ),
            ("another type", old.clone(), record(r#"{"name":"a","type":"long"}"#), vec![None]),
            (
                "a wider number",
                record(r#"{"name":"a","type":"int"}"#),
                record(r#"{"name":"a","type":"long"}"#),
                vec![None, Backward],
            ),
            (
                "null where none was",
                old.clone(),
                record(r#"{"name":"a","type":["null","string"]}"#),
                vec![None, Backward],
            ),
            ("one word more", words(r#""x""#), words(r#""x","y""#), vec![None, Backward]),
            ("one word less", words(r#""x","y""#), words(r#""x""#), vec![None, Forward]),
        ];
        for (change, old, new, allowed) in table {
            for level in [None, Backward, Forward, Full] {
                let objection = level.objection(&old, &new);
                assert_eq!(
                    objection.is_none(),
                    allowed.contains(&level),
                    "{change}: {level:?} {objection:?}"
                );
            }
        }
    }

    #[test]
    fn levels_have_confluents_names() {
        let name = serde_json::to_string(&Level::FullTransitive).unwrap();
        assert_eq!(name, r#""FULL_TRANSITIVE""#);
    }
}
