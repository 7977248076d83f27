//! Records of ours as Kafka's, and back.

use bytes::Bytes;
use ports::{Headers, Position, Record};
use rdkafka::message::{
    BorrowedHeaders, BorrowedMessage, Header, Headers as _, Message, OwnedHeaders,
};

/// Copies a record out of librdkafka's memory.
pub(super) fn record_of(message: &BorrowedMessage<'_>) -> Record {
    Record {
        topic: message.topic().to_owned(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: message.headers().map(headers_of).unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis(),
        position: Some(Position {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        }),
    }
}

fn headers_of(headers: &BorrowedHeaders) -> Headers {
    let named = headers.iter().map(|header| {
        (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
    });
    Headers(named.collect())
}

pub(super) fn headers_for(record: &Record) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(record.headers.0.len());
    record.headers.0.iter().fold(headers, |headers, (name, value)| {
        headers.insert(Header { key: name, value: Some(value.as_ref()) })
    })
}
