//! What each request does: decode, ask the state, encode. One file per family of APIs.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{ApiKey, BrokerId, ResponseKind, TopicName},
    protocol::{Decodable, StrBytes},
};
use tokio::sync::watch;

use crate::{
    node::{Node, blocking},
    wire::{self, WireError},
};

mod cluster;
mod configs;
mod fetch;
mod group_admin;
mod groups;
mod offsets;
mod produce;
mod topics;
mod transaction_admin;
mod transactions;

/// The only broker there is.
const NODE_ID: BrokerId = BrokerId(1);
const CLUSTER_ID: &str = "embedded";

/// A request whose header has been read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    /// The client's name for itself.
    pub(crate) client: String,
    pub(crate) body: Bytes,
}

impl Request {
    fn decode<T: Decodable>(&mut self) -> Result<T, WireError> {
        wire::decode(&mut self.body, self.version)
    }
}

/// Answers `request`; `None` where the client wants no answer.
pub(crate) async fn handle(
    node: &Arc<Node>,
    mut request: Request,
    stopping: &watch::Receiver<bool>,
) -> Result<Option<ResponseKind>, WireError> {
    let response = match request.api {
        // These wait for other clients; all others are done at once.
        ApiKey::Fetch => {
            ResponseKind::Fetch(fetch::fetch(node, request.decode()?, stopping).await?)
        }
        ApiKey::JoinGroup => ResponseKind::JoinGroup(groups::join(node, request, stopping).await?),
        ApiKey::SyncGroup => ResponseKind::SyncGroup(groups::sync(node, request, stopping).await?),
        _ => return blocking(node, |node| handle_at_once(node, request)).await?,
    };
    Ok(Some(response))
}

fn handle_at_once(node: &Node, mut request: Request) -> Result<Option<ResponseKind>, WireError> {
    let version = request.version;
    let response = match request.api {
        ApiKey::Produce => {
            let answer = produce::produce(node, request.decode()?);
            return Ok(answer.map(ResponseKind::Produce));
        }
        ApiKey::Metadata => {
            ResponseKind::Metadata(topics::metadata(node, request.decode()?, version))
        }
        ApiKey::CreateTopics => {
            ResponseKind::CreateTopics(topics::create_topics(node, request.decode()?))
        }
        ApiKey::DeleteTopics => {
            ResponseKind::DeleteTopics(topics::delete_topics(node, request.decode()?))
        }
        ApiKey::CreatePartitions => {
            ResponseKind::CreatePartitions(topics::create_partitions(node, request.decode()?))
        }
        ApiKey::DeleteRecords => {
            ResponseKind::DeleteRecords(topics::delete_records(node, request.decode()?))
        }
        ApiKey::DescribeConfigs => {
            ResponseKind::DescribeConfigs(configs::describe(node, request.decode()?))
        }
        ApiKey::AlterConfigs => {
            ResponseKind::AlterConfigs(configs::alter_all(node, request.decode()?))
        }
        ApiKey::IncrementalAlterConfigs => {
            ResponseKind::IncrementalAlterConfigs(configs::alter_some(node, request.decode()?))
        }
        ApiKey::DescribeCluster => {
            ResponseKind::DescribeCluster(cluster::describe(node, request.decode()?))
        }
        ApiKey::DescribeLogDirs => {
            ResponseKind::DescribeLogDirs(cluster::log_dirs(node, request.decode()?))
        }
        ApiKey::ListOffsets => {
            ResponseKind::ListOffsets(fetch::list_offsets(node, request.decode()?, version))
        }
        ApiKey::OffsetForLeaderEpoch => ResponseKind::OffsetForLeaderEpoch(
            fetch::offset_for_leader_epoch(node, request.decode()?),
        ),
        ApiKey::OffsetCommit => {
            ResponseKind::OffsetCommit(offsets::commit(node, request.decode()?))
        }
        ApiKey::OffsetFetch => ResponseKind::OffsetFetch(offsets::fetch(node, request.decode()?)),
        ApiKey::FindCoordinator => {
            ResponseKind::FindCoordinator(groups::find_coordinator(node, request.decode()?))
        }
        ApiKey::Heartbeat => ResponseKind::Heartbeat(groups::heartbeat(node, request.decode()?)),
        ApiKey::LeaveGroup => {
            ResponseKind::LeaveGroup(groups::leave(node, request.decode()?, version))
        }
        ApiKey::ListGroups => ResponseKind::ListGroups(group_admin::list(node, request.decode()?)),
        ApiKey::DescribeGroups => {
            ResponseKind::DescribeGroups(group_admin::describe(node, request.decode()?))
        }
        ApiKey::DeleteGroups => {
            ResponseKind::DeleteGroups(group_admin::delete(node, request.decode()?))
        }
        ApiKey::OffsetDelete => {
            ResponseKind::OffsetDelete(group_admin::delete_offsets(node, request.decode()?))
        }
        ApiKey::ListTransactions => ResponseKind::ListTransactions(transaction_admin::list(
            node,
            request.decode()?,
            version,
        )),
        ApiKey::DescribeTransactions => {
            ResponseKind::DescribeTransactions(transaction_admin::describe(node, request.decode()?))
        }
        ApiKey::DescribeProducers => {
            ResponseKind::DescribeProducers(transaction_admin::producers(node, request.decode()?))
        }
        ApiKey::InitProducerId => ResponseKind::InitProducerId(transactions::init_producer_id(
            node,
            request.decode()?,
            version,
        )),
        ApiKey::AddPartitionsToTxn => ResponseKind::AddPartitionsToTxn(
            transactions::add_partitions(node, request.decode()?, version),
        ),
        ApiKey::AddOffsetsToTxn => ResponseKind::AddOffsetsToTxn(transactions::add_offsets(
            node,
            request.decode()?,
            version,
        )),
        ApiKey::TxnOffsetCommit => ResponseKind::TxnOffsetCommit(transactions::commit_offsets(
            node,
            request.decode()?,
            version,
        )),
        ApiKey::EndTxn => ResponseKind::EndTxn(transactions::end(node, request.decode()?, version)),
        api => return Err(WireError::UnsupportedVersion { api, version }),
    };
    Ok(Some(response))
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// The code on the wire; 0 is success.
fn code<T>(result: &Result<T, ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}
