//! One byte range of a recording (RFC 9110, section 14).

use std::ops::Range;

/// What a `Range` header asks for, of an object of a known length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// Half open, not empty, inside the object.
    Part(Range<u64>),
    Unsatisfiable,
}

/// Reads a `Range` header. What is no byte range, or several, is answered with everything, as the
/// standard allows.
pub(crate) fn wanted(header: &str, length: u64) -> Wanted {
    parse(header, length).unwrap_or(Wanted::All)
}

fn parse(header: &str, length: u64) -> Option<Wanted> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let range = match (first, last) {
        ("", suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) })
}

/// Digits only; more than fits is more than any object has.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_object() {
        assert_eq!(wanted("bytes=0-0", 10), Wanted::Part(0..1));
        assert_eq!(wanted("bytes=2-5", 10), Wanted::Part(2..6));
        assert_eq!(wanted("bytes=2-", 10), Wanted::Part(2..10));
        assert_eq!(wanted("bytes=-3", 10), Wanted::Part(7..10));
        assert_eq!(wanted("bytes=-30", 10), Wanted::Part(0..10));
        assert_eq!(wanted("bytes=5-99999999999999999999999", 10), Wanted::Part(5..10));
        assert_eq!(wanted("Bytes=9-", 10), Wanted::Part(9..10));
    }

    #[test]
    fn a_range_outside_the_object_cannot_be_satisfied() {
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(wanted(header, 10), Wanted::Unsatisfiable, "{header}");
        }
    }

    #[test]
    fn what_is_no_single_byte_range_is_answered_with_everything() {
        for header in ["bytes=5-2", "bytes=a-b", "bytes=-", "bytes", "lines=1-2", "bytes=0-1,4-5"] {
            assert_eq!(wanted(header, 10), Wanted::All, "{header}");
        }
    }
}
