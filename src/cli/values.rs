//! Texts of the command line, read into values.

use crate::connections::{SCRATCH_FLOOR, SCRATCH_PER_SOURCE};
use broker::Sync;
use jiff::Timestamp;
use std::{ops::RangeInclusive, time::Duration};

pub(super) fn sync(text: &str) -> Result<Sync, String> {
    match (text, text.parse::<u32>()) {
        ("never", _) => Ok(Sync::Never),
        ("always", _) => Ok(Sync::Always),
        // 0 could mean either of the others.
        (_, Ok(ms)) if ms > 0 => Ok(Sync::Every(Duration::from_millis(ms.into()))),
        _ => Err("must be never, always or a number of milliseconds from 1".to_owned()),
    }
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (1.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds from 1 to 3600".to_owned()),
    }
}

pub(super) fn url(text: &str) -> Result<String, String> {
    let wrong = |cause: &dyn std::fmt::Display| {
        format!("must be a URL such as http://127.0.0.1:9000 ({cause})")
    };
    let parsed = reqwest::Url::parse(text).map_err(|e| wrong(&e))?;
    match parsed.scheme() {
        "http" | "https" if parsed.has_host() => Ok(text.to_owned()),
        other => Err(wrong(&format_args!("{other} is neither http nor https"))),
    }
}

/// AWS's names; whatever it is stands in host names.
pub(super) fn region(text: &str) -> Result<String, String> {
    let harmless = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !text.is_empty() && text.len() <= 40 && text.chars().all(harmless) {
        true => Ok(text.to_owned()),
        false => Err("must be a region of AWS such as eu-central-1".to_owned()),
    }
}

/// Where spans go. Credentials in it would be sent nowhere.
pub(super) fn collector(text: &str) -> Result<String, String> {
    let text = url(text)?;
    let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
    match rest.find(['@', '?', '#']) {
        None => Ok(text),
        Some(_) => Err("must be a URL such as http://127.0.0.1:4318, without @, ? and #; what a \
                        collector wants to know of you goes into OTEL_EXPORTER_OTLP_HEADERS"
            .to_owned()),
    }
}

/// Below 0.1 every patch of a picture is a face.
const LEAST_THRESHOLD: f32 = 0.1;
/// Photographs, where nobody is hidden, are looked at from 0.7: masking must not see less.
const MOST_MASKING: f32 = 0.7;
/// Beyond it the detector is sure of clear, upright faces only, and the check would find nothing.
const MOST_VERIFYING: f32 = 0.8;

pub(super) fn face_threshold(text: &str) -> Result<f32, String> {
    between(text, LEAST_THRESHOLD..=MOST_MASKING)
}

pub(super) fn verify_threshold(text: &str) -> Result<f32, String> {
    between(text, LEAST_THRESHOLD..=MOST_VERIFYING)
}

fn between(text: &str, bounds: RangeInclusive<f32>) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(format!("must be a number from {} to {}", bounds.start(), bounds.end())),
    }
}

/// A moment, in ms since 1970; a day begins in UTC.
pub(super) fn time(text: &str) -> Result<i64, String> {
    let moment = || text.parse::<Timestamp>().map(Timestamp::as_millisecond);
    ports::day_start_ms(text).map_or_else(moment, Ok).map_err(|e| {
        format!("must be a day such as 2026-01-31, or a time such as 2026-01-31T09:00:00Z ({e})")
    })
}

/// More would be a slip of the finger; a semaphore takes no arbitrary number.
const MOST_PERMITS: usize = 1024;

pub(super) fn permits(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(permits) if (1..=MOST_PERMITS).contains(&permits) => Ok(permits),
        _ => Err(format!("must be a number from 1 to {MOST_PERMITS}")),
    }
}

/// An upload that each mill takes: a short film of a phone.
const SMALL_UPLOAD: u64 = 64 << 20;
/// With less a mill would start and take in nothing, or next to nothing.
const LEAST_SCRATCH: u64 = SCRATCH_FLOOR + SCRATCH_PER_SOURCE * SMALL_UPLOAD;

pub(super) fn scratch(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes) if bytes >= LEAST_SCRATCH => Ok(bytes),
        _ => Err(format!(
            "must be a number of bytes from {LEAST_SCRATCH}, with which uploads of {} MiB are taken",
            SMALL_UPLOAD >> 20
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_tells_the_least_scratch() {
        assert_eq!(LEAST_SCRATCH, 1_275_068_416);
        assert_eq!(scratch("1275068416"), Ok(LEAST_SCRATCH));
        assert!(scratch("1275068415").is_err());
    }
}
