//! Records of ours as Kafka's, and back.

use bytes::Bytes;
use ports::{Headers, Position, Record};
use rdkafka::message::{
    BorrowedHeaders, BorrowedMessage, Header, Headers as _, Message, OwnedHeaders,
};
use std::borrow::Cow;

/// Names of headers that most records have.
const COMMON: [&str; 7] =
    ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type", "traceparent"];

/// Copies a record out of librdkafka's memory: its bytes all into one piece, which is a tenth of
/// the work.
pub(super) fn record_of(message: &BorrowedMessage<'_>) -> Record {
    let headers: Vec<_> = message.headers().map(named).unwrap_or_default();
    let (key, value) = (message.key(), message.payload());
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let of_headers: usize = headers.iter().map(|(_, value)| value.len()).sum();
    let mut all = Vec::with_capacity(length(key) + length(value) + of_headers);
    all.extend_from_slice(key.unwrap_or_default());
    all.extend_from_slice(value.unwrap_or_default());
    headers.iter().for_each(|(_, value)| all.extend_from_slice(value));
    let mut rest = Bytes::from(all);
    let mut next = |length| rest.split_to(length);
    Record {
        topic: message.topic().to_owned(),
        key: key.map(|key| next(key.len())),
        value: value.map(|value| next(value.len())),
        headers: Headers(
            headers.into_iter().map(|(name, value)| (name_of(name), next(value.len()))).collect(),
        ),
        timestamp_ms: message.timestamp().to_millis(),
        position: Some(Position {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        }),
    }
}

fn named(headers: &BorrowedHeaders) -> Vec<(&str, &[u8])> {
    headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect()
}

fn name_of(name: &str) -> Cow<'static, str> {
    match COMMON.into_iter().find(|common| *common == name) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(name.to_owned()),
    }
}

pub(super) fn headers_for(record: &Record) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(record.headers.0.len());
    record.headers.0.iter().fold(headers, |headers, (name, value)| {
        headers.insert(Header { key: name, value: Some(value.as_ref()) })
    })
}
