//! The place of an event in its trace: W3C Trace Context, version 00.

use std::fmt;
use uuid::Uuid;

/// The header, on Kafka as on HTTP.
pub const TRACEPARENT: &str = "traceparent";

const SAMPLED: u8 = 1;

/// A span in its trace, and whether the trace is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    pub trace: u128,
    pub span: u64,
    pub flags: u8,
}

impl Traceparent {
    /// `None` for what is none.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        if !is_traceparent(text) {
            return None;
        }
        let hex = |from, to| std::str::from_utf8(text.get(from..to)?).ok();
        Some(Self {
            trace: u128::from_str_radix(hex(3, 35)?, 16).ok()?,
            span: u64::from_str_radix(hex(36, 52)?, 16).ok()?,
            flags: u8::from_str_radix(hex(53, 55)?, 16).ok()?,
        })
    }

    /// A trace of its own for an event that came without, the same whenever it comes again.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let trace = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).as_u128();
        Self { trace, span: span_of(id), flags: SAMPLED }
    }

    /// Another span of the same trace, the same for the same words.
    #[must_use]
    pub fn another(self, words: &str) -> Self {
        Self { span: span_of(words), ..self }
    }

    /// As tools that show traces, and log lines, have it.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Whether spans of the trace are wanted.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// As in the header.
impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Never 0: four of the bits are the version of the UUID.
fn span_of(words: &str) -> u64 {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, words.as_bytes()).as_u64_pair().0
}

pub(crate) fn is_traceparent(text: &[u8]) -> bool {
    let hex = |part: &[u8], digits: usize| {
        part.len() == digits && part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &[u8]| part.iter().all(|b| *b == b'0');
    let mut parts = text.split(|b| *b == b'-');
    let (version, trace, span, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
    version == Some(b"00")
        && trace.is_some_and(|trace| hex(trace, 32) && !is_zero(trace))
        && span.is_some_and(|span| hex(span, 16) && !is_zero(span))
        && flags.is_some_and(|flags| hex(flags, 2))
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_passed_on_and_nonsense_is_replaced() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good.as_bytes()));
        let zeros = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for bad in
            ["", "00-x-y-01", zeros, &good[..52], &format!("{good}-00"), &good.to_uppercase()]
        {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
            assert_eq!(Traceparent::read(bad.as_bytes()), None);
        }
        let read = Traceparent::read(good.as_bytes()).unwrap();
        assert_eq!((read.to_string().as_str(), read.is_sampled()), (good, true));
        let unwanted = Traceparent { flags: 2, ..read };
        assert_eq!(Traceparent::read(unwanted.to_string().as_bytes()), Some(unwanted));
        assert!(!unwanted.is_sampled());
    }

    /// Mills of before derive the same: a trace must not fall apart while Deployments roll.
    #[test]
    fn the_trace_of_an_event_that_came_without_is_derived_from_its_id() {
        let derived = Traceparent::of("an id");
        assert_eq!(derived.to_string(), "00-deed316a4e86533d81c152a659c7c19a-d9e04f57f5a35708-01");
        assert_eq!(derived.another("an id"), derived);
        assert_ne!(derived.another("another").span, derived.span);
    }
}
