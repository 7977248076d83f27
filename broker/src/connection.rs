//! One client's connection: requests in, responses out, in order.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    ResponseError,
    messages::{
        ApiKey, ApiVersionsResponse, RequestHeader, ResponseHeader,
        api_versions_response::ApiVersion,
    },
    protocol::Encodable,
};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::watch,
};

use crate::{
    handlers::{self, Request},
    node::Node,
    stopped,
    wire::{self, WireError},
};

/// What this broker understands: each API with its lowest and highest version.
const SUPPORTED: [(ApiKey, i16, i16); 34] = [
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 11),
    (ApiKey::ListOffsets, 1, 9),
    (ApiKey::Metadata, 0, 9),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 1, 7),
    (ApiKey::FindCoordinator, 0, 3),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 5),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::CreateTopics, 2, 5),
    (ApiKey::DeleteTopics, 1, 5),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 3),
    (ApiKey::TxnOffsetCommit, 0, 3),
    (ApiKey::EndTxn, 0, 3),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::OffsetForLeaderEpoch, 2, 3),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
    (ApiKey::DescribeLogDirs, 1, 4),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
];

/// Serves `stream` until the client leaves, breaks the protocol or `stopping` becomes true.
pub(crate) async fn serve(
    node: Arc<Node>,
    stream: TcpStream,
    stopping: watch::Receiver<bool>,
) -> Result<(), WireError> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    loop {
        let frame = tokio::select! {
            biased;
            () = stopped(&stopping) => return Ok(()),
            frame = wire::read_frame(&mut reader) => frame?,
        };
        let Some(frame) = frame else { return Ok(()) };
        if let Some(response) = respond(&node, frame, &stopping).await? {
            writer.write_all(&response).await?;
        }
    }
}

async fn respond(
    node: &Arc<Node>,
    mut frame: Bytes,
    stopping: &watch::Receiver<bool>,
) -> Result<Option<Bytes>, WireError> {
    let mut front = &frame[..];
    let (key, version) = (front.get_i16(), front.get_i16());
    let api = ApiKey::try_from(key).map_err(|()| WireError::UnknownApi(key))?;
    let supported = SUPPORTED
        .iter()
        .any(|(known, lowest, highest)| *known == api && (*lowest..=*highest).contains(&version));
    if !supported && api != ApiKey::ApiVersions {
        return Err(WireError::UnsupportedVersion { api, version });
    }
    let header: RequestHeader = wire::decode(&mut frame, api.request_header_version(version))?;
    if api == ApiKey::ApiVersions {
        // A client that asks in a version from the future is told in version 0 what there is.
        let version = if supported { version } else { 0 };
        let response = api_versions(supported);
        return encode(&header, ApiKey::ApiVersions.response_header_version(version), |out| {
            response.encode(out, version)
        })
        .map(Some);
    }
    let client = header.client_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let request = Request { api, version, client, body: frame };
    let Some(response) = handlers::handle(node, request, stopping).await? else {
        return Ok(None);
    };
    encode(&header, api.response_header_version(version), |out| response.encode(out, version))
        .map(Some)
}

/// Generic over the codec's error, which is not ours to name.
fn encode<E: std::fmt::Display>(
    request: &RequestHeader,
    header_version: i16,
    body: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Result<Bytes, WireError> {
    let mut out = BytesMut::new();
    out.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(request.correlation_id)
        .encode(&mut out, header_version)
        .map_err(|error| WireError::Encode(error.to_string()))?;
    body(&mut out).map_err(|error| WireError::Encode(error.to_string()))?;
    let length = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out.freeze())
}

fn api_versions(supported: bool) -> ApiVersionsResponse {
    let error = if supported { 0 } else { ResponseError::UnsupportedVersion.code() };
    let keys = SUPPORTED.map(|(api, lowest, highest)| {
        ApiVersion::default()
            .with_api_key(api as i16)
            .with_min_version(lowest)
            .with_max_version(highest)
    });
    ApiVersionsResponse::default().with_error_code(error).with_api_keys(keys.to_vec())
}
