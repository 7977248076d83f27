//! User metadata travels in HTTP headers, which carry printable ASCII only. Other bytes are
//! percent-encoded, so that a title in any script comes back as it was.

use std::collections::{BTreeMap, HashMap};

pub(super) fn encode(metadata: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    let encoded = metadata.iter().map(|(name, value)| (name.to_lowercase(), percent(value)));
    (!metadata.is_empty()).then(|| encoded.collect())
}

pub(super) fn decode(metadata: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    let decoded = metadata.into_iter().flatten();
    decoded.map(|(name, value)| (name.to_lowercase(), plain(&value))).collect()
}

fn percent(value: &str) -> String {
    // Headers lose spaces at their ends.
    let inner = value.trim_matches(' ').len();
    let from = value.len() - value.trim_start_matches(' ').len();
    let mut encoded = String::with_capacity(value.len());
    for (at, byte) in value.bytes().enumerate() {
        let edge = byte == b' ' && !(from..from + inner).contains(&at);
        if (b' '..=b'~').contains(&byte) && byte != b'%' && !edge {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What is no percent-encoding of UTF-8 was written by somebody else, and is left as it is.
fn plain(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let Some((digits, after)) = rest.split_at_checked(2) else { return value.to_owned() };
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let Ok(decoded) = u8::from_str_radix(digits, 16) else { return value.to_owned() };
        bytes.push(decoded);
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_in_any_script_comes_back() {
        for title in
            ["", "plain", "Prüfung № 4 — 試験", "100 % sure", " edges ", "line\nbreak", "%41"]
        {
            assert_eq!(plain(&percent(title)), title);
            assert!(percent(title).bytes().all(|b| (b' '..=b'~').contains(&b)), "{title}");
        }
    }

    #[test]
    fn foreign_metadata_is_left_as_it_is() {
        for foreign in ["100%", "50% off", "%zz", "%FF"] {
            assert_eq!(plain(foreign), foreign);
        }
    }
}
