use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
        OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProducerId,
        fetch_request::FetchPartition,
        fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData},
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
    },
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    index::Isolation,
    node::{Node, blocking},
    stopped,
    wire::WireError,
};

const LONGEST_WAIT_MS: i32 = 60_000;
/// Leadership never moves, so it stays in its first epoch.
const LEADER_EPOCH: i32 = 0;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Waits until enough is there to read, the client's patience ends or something is wrong.
pub(super) async fn fetch(
    node: &Arc<Node>,
    request: FetchRequest,
    stopping: &watch::Receiver<bool>,
) -> Result<FetchResponse, WireError> {
    let wait_ms = request.max_wait_ms.clamp(0, LONGEST_WAIT_MS) as u64;
    let deadline = Instant::now() + Duration::from_millis(wait_ms);
    let mut appended = node.appended();
    while !answerable(node, &request) {
        tokio::select! {
            changed = appended.changed() => if changed.is_err() { break },
            () = sleep_until(deadline) => break,
            () = stopped(stopping) => break,
        }
    }
    Ok(blocking(node, move |node| read(node, request)).await?)
}

/// Looks at indexes only: this runs for every waiting consumer whenever anything is appended.
fn answerable(node: &Node, request: &FetchRequest) -> bool {
    let mut bytes = 0;
    for topic in &request.topics {
        for wanted in &topic.partitions {
            let available = node.topics.get(&topic.topic, wanted.partition).and_then(|partition| {
                partition.available(wanted.fetch_offset, isolation(request.isolation_level))
            });
            match available {
                Ok(available) => bytes += available.min(limit(wanted.partition_max_bytes)),
                Err(_) => return true,
            }
        }
    }
    bytes >= limit(request.min_bytes.max(1))
}

fn read(node: &Node, request: FetchRequest) -> FetchResponse {
    let mut left = limit(request.max_bytes);
    let isolation = isolation(request.isolation_level);
    let mut topics = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for wanted in &topic.partitions {
            let data = PartitionData::default()
                .with_partition_index(wanted.partition)
                .with_records(Some(Bytes::new()));
            let data = match read_partition(node, &topic.topic, wanted, left, isolation) {
                Ok(found) => found.with_partition_index(wanted.partition),
                Err(error) => data.with_error_code(error.code()).with_high_watermark(-1),
            };
            left = left.saturating_sub(data.records.as_ref().map_or(0, Bytes::len) as u64);
            partitions.push(data);
        }
        topics.push(
            FetchableTopicResponse::default().with_topic(topic.topic).with_partitions(partitions),
        );
    }
    FetchResponse::default().with_responses(topics)
}

fn read_partition(
    node: &Node,
    topic: &str,
    wanted: &FetchPartition,
    left: u64,
    isolation: Isolation,
) -> Result<PartitionData, ResponseError> {
    let partition = node.topics.get(topic, wanted.partition)?;
    partition.available(wanted.fetch_offset, isolation)?;
    let mut data = PartitionData::default().with_records(Some(Bytes::new()));
    if left > 0 {
        let max_bytes = limit(wanted.partition_max_bytes).min(left);
        let slice = partition.read(wanted.fetch_offset, max_bytes, isolation).map_err(|error| {
            tracing::error!(topic, %error, "cannot read a log, check the disk");
            ResponseError::KafkaStorageError
        })?;
        let aborted = slice.aborted.into_iter().map(|(producer_id, first_offset)| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(producer_id))
                .with_first_offset(first_offset)
        });
        data.records = Some(slice.records);
        data.aborted_transactions = Some(aborted.collect());
    }
    // Asked after reading, so that no slice reaches beyond the end it comes with.
    Ok(data
        .with_high_watermark(partition.end_offset())
        .with_last_stable_offset(partition.readable_to(Isolation::Committed))
        .with_log_start_offset(0))
}

pub(super) fn list_offsets(
    node: &Node,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let isolation = isolation(request.isolation_level);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let response = ListOffsetsPartitionResponse::default()
                .with_partition_index(wanted.partition_index)
                .with_leader_epoch(if version >= 4 { LEADER_EPOCH } else { -1 });
            match node.topics.get(&topic.name, wanted.partition_index) {
                Err(error) => response.with_error_code(error.code()),
                Ok(partition) => {
                    let (timestamp, offset) = match wanted.timestamp {
                        LATEST => (-1, partition.readable_to(isolation)),
                        EARLIEST => (-1, 0),
                        timestamp => partition.offset_at(timestamp).unwrap_or((-1, -1)),
                    };
                    response.with_timestamp(timestamp).with_offset(offset)
                }
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

pub(super) fn offset_for_leader_epoch(
    node: &Node,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let response = EpochEndOffset::default().with_partition(wanted.partition);
            match node.topics.get(&topic.topic, wanted.partition) {
                Err(error) => response.with_error_code(error.code()).with_end_offset(-1),
                Ok(partition) => {
                    response.with_leader_epoch(LEADER_EPOCH).with_end_offset(partition.end_offset())
                }
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::Committed } else { Isolation::Uncommitted }
}

fn limit(bytes: i32) -> u64 {
    bytes.max(0) as u64
}
