//! Frames on the wire, and decoding that a hostile frame cannot use to exhaust memory.

use std::io;

use bytes::{Buf, Bytes, BytesMut, TryGetError};
use kafka_protocol::{
    messages::ApiKey,
    protocol::{Decodable, buf::ByteBuf},
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Requests are small but for Produce, whose batches clients limit to 1 MB by default.
const LONGEST_FRAME_BYTES: usize = 16 << 20;
/// API key, version and correlation id.
const SHORTEST_FRAME_BYTES: usize = 8;

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("frame of {0} bytes, want 8 to 16777216; does the client speak Kafka without TLS?")]
    FrameLength(i32),
    #[error("unknown api key {0}")]
    UnknownApi(i16),
    #[error("{api:?} version {version} is not supported")]
    UnsupportedVersion { api: ApiKey, version: i16 },
    #[error("cannot decode a request: {0}")]
    Decode(String),
    #[error("cannot encode a response: {0}")]
    Encode(String),
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    #[error("request not finished: {0}")]
    Unfinished(#[from] tokio::task::JoinError),
}

impl WireError {
    /// Did the client leave without waiting for its answer?
    pub(crate) fn is_farewell(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let WireError::Io(error) = self else { return false };
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
    }
}

/// The next frame without its length; `None` at the end of the stream.
pub(crate) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Bytes>, WireError> {
    let said = match stream.read_i32().await {
        Ok(said) => said,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = usize::try_from(said)
        .ok()
        .filter(|length| (SHORTEST_FRAME_BYTES..=LONGEST_FRAME_BYTES).contains(length))
        .ok_or(WireError::FrameLength(said))?;
    // Memory follows what arrives, not what was announced.
    let mut frame = BytesMut::new();
    let mut rest = stream.take(length as u64);
    while frame.len() < length {
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(Some(frame.freeze()))
}

/// Decodes a message from the front of `body`.
///
/// The codec reserves memory for an array before it reads it, so an array that announces two
/// billion elements would end the process. A first run over [`Suspicious`] finds those.
pub(crate) fn decode<T: Decodable>(body: &mut Bytes, version: i16) -> Result<T, WireError> {
    let failed = |error| WireError::Decode(format!("{error:#}"));
    T::decode(&mut Suspicious::new(body.clone()), version).map_err(failed)?;
    T::decode(body, version).map_err(failed)
}

/// Bytes that lie about numbers no length can be: a 32-bit number larger than what is left reads
/// as -2, which every array refuses and every plain number accepts; a varint larger than what is
/// left (plus one, as compact lengths are) reads as the end of the input.
#[derive(Debug)]
struct Suspicious {
    bytes: Bytes,
    varint: u64,
    varint_bits: u32,
}

impl Suspicious {
    fn new(bytes: Bytes) -> Suspicious {
        Suspicious { bytes, varint: 0, varint_bits: 0 }
    }
}

impl Buf for Suspicious {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let number = self.bytes.try_get_i32()?;
        let fits = number < 0 || number as usize <= self.bytes.remaining();
        Ok(if fits { number } else { -2 })
    }

    /// The codec reads varints, and flags of 0 and 1, byte by byte through this.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        let available = self.bytes.remaining();
        self.varint |= u64::from(byte & 0x7f) << self.varint_bits;
        if self.varint > available as u64 + 1 {
            return Err(TryGetError { requested: self.varint as usize, available });
        }
        self.varint_bits += 7;
        if byte < 0x80 || self.varint_bits > 28 {
            (self.varint, self.varint_bits) = (0, 0);
        }
        Ok(byte)
    }
}

impl ByteBuf for Suspicious {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.get_bytes(size)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{messages::*, protocol::Encodable};

    use super::*;

    fn decodes<T: Decodable>(bytes: &[u8], version: i16) -> bool {
        decode::<T>(&mut Bytes::copy_from_slice(bytes), version).is_ok()
    }

    #[test]
    fn arrays_longer_than_their_frame_are_refused_before_memory_is_reserved() {
        // Metadata version 1: an array with a 32-bit length; version 9: one with a varint.
        assert!(!decodes::<MetadataRequest>(&[0x7f, 0xff, 0xff, 0xff], 1));
        assert!(!decodes::<MetadataRequest>(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0], 9));
        // A group, one topic, and its partitions.
        let nested = [0, 1, b'g', 0, 0, 0, 1, 0, 1, b't', 0x7f, 0xff, 0xff, 0xff];
        assert!(!decodes::<OffsetFetchRequest>(&nested, 1));
    }

    #[test]
    fn numbers_that_are_no_lengths_may_be_larger_than_their_frame() {
        let topic = fetch_request::FetchTopic::default()
            .with_topic(TopicName("t".into()))
            .with_partitions(vec![
                fetch_request::FetchPartition::default()
                    .with_fetch_offset(i64::MAX)
                    .with_partition_max_bytes(i32::MAX),
            ]);
        for version in 4..=11 {
            let request = FetchRequest::default()
                .with_max_bytes(i32::MAX)
                .with_max_wait_ms(1_000_000)
                .with_topics(vec![topic.clone()]);
            let mut bytes = BytesMut::new();
            request.encode(&mut bytes, version).unwrap();
            let decoded = decode::<FetchRequest>(&mut bytes.freeze(), version).unwrap();
            assert_eq!(decoded, request, "version {version}");
        }
    }
}
