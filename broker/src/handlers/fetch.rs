use std::{io, sync::Arc, time::Duration};

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
    log::Isolation,
    node::{Node, blocking},
    partition::Partition,
    stopped,
    waiters::Waiting,
    wire::WireError,
};

const LONGEST_WAIT_MS: i32 = 60_000;
/// Leadership never moves, so it stays in its first epoch.
const LEADER_EPOCH: i32 = 0;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// There is no tiered storage: all is local.
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// However much a client asks for at once.
const LARGEST_ANSWER_BYTES: u64 = 64 << 20;

/// Waits until enough is there to read, the client's patience ends or something is wrong. A wait
/// costs nothing until one of its own partitions changes.
pub(super) async fn fetch(
    node: &Arc<Node>,
    request: FetchRequest,
    stopping: &watch::Receiver<bool>,
) -> Result<FetchResponse, WireError> {
    let mut found = available(node, &request);
    if found < enough(&request) {
        let wait_ms = request.max_wait_ms.clamp(0, LONGEST_WAIT_MS) as u64;
        let deadline = Instant::now() + Duration::from_millis(wait_ms);
        let waiting = Waiting::on(partitions(node, &request));
        loop {
            found = available(node, &request);
            if found >= enough(&request) {
                break;
            }
            tokio::select! {
                () = waiting.changed() => {}
                () = sleep_until(deadline) => break,
                () = stopped(stopping) => break,
            }
        }
    }
    // Where nothing is to be read, no thread need be woken for it.
    if found == 0 {
        Ok(read(node, request))
    } else {
        Ok(blocking(node, |n| read(n, request)).await?)
    }
}

fn enough(request: &FetchRequest) -> u64 {
    limit(request.min_bytes.max(1))
}

fn partitions(node: &Node, request: &FetchRequest) -> Vec<Arc<Partition>> {
    let wanted = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|wanted| node.topics.get(&topic.topic, wanted.partition))
    });
    wanted.filter_map(Result::ok).collect()
}

/// How much there is to read, from indexes only; anything wrong is worth an answer at once.
fn available(node: &Node, request: &FetchRequest) -> u64 {
    let mut bytes = 0;
    for topic in &request.topics {
        for wanted in &topic.partitions {
            let available = node.topics.get(&topic.topic, wanted.partition).and_then(|partition| {
                partition.available(wanted.fetch_offset, isolation(request.isolation_level))
            });
            match available {
                Ok(available) => bytes += available.min(limit(wanted.partition_max_bytes).max(1)),
                Err(_) => return u64::MAX,
            }
        }
    }
    bytes
}

fn read(node: &Node, request: FetchRequest) -> FetchResponse {
    let mut left = limit(request.max_bytes).min(LARGEST_ANSWER_BYTES);
    let isolation = isolation(request.isolation_level);
    let mut topics = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for wanted in &topic.partitions {
            let data = match read_partition(node, &topic.topic, wanted, left, isolation) {
                Ok(found) => found.with_partition_index(wanted.partition),
                Err(error) => refusal(node, &topic.topic, wanted, error),
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

/// Tells a client that lost its way where the log begins and ends.
fn refusal(
    node: &Node,
    topic: &str,
    wanted: &FetchPartition,
    error: ResponseError,
) -> PartitionData {
    let (start, end) = match node.topics.get(topic, wanted.partition) {
        Ok(partition) => (partition.start_offset(), partition.end_offset()),
        Err(_) => (-1, -1),
    };
    PartitionData::default()
        .with_partition_index(wanted.partition)
        .with_error_code(error.code())
        .with_records(Some(Bytes::new()))
        .with_log_start_offset(start)
        .with_high_watermark(end)
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
        let slice = partition
            .read(wanted.fetch_offset, max_bytes, isolation)
            .map_err(|error| unreadable(&partition, wanted.fetch_offset, &error))?;
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
        .with_log_start_offset(partition.start_offset()))
}

fn unreadable(partition: &Partition, from: i64, error: &io::Error) -> ResponseError {
    if from < partition.start_offset() {
        // Retention took the segment while it was being read.
        return ResponseError::OffsetOutOfRange;
    }
    tracing::error!(%error, "cannot read a log, check the disk");
    ResponseError::KafkaStorageError
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
            let found = node
                .topics
                .get(&topic.name, wanted.partition_index)
                .and_then(|partition| look_up(&partition, wanted.timestamp, isolation));
            match found {
                Err(error) => response
                    .with_error_code(error.code())
                    .with_timestamp(-1)
                    .with_offset(-1)
                    .with_leader_epoch(-1),
                Ok((offset, timestamp)) => response.with_timestamp(timestamp).with_offset(offset),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// Offset and time of what is asked for by time or by one of Kafka's special numbers; -1 for none.
fn look_up(
    partition: &Partition,
    wanted: i64,
    isolation: Isolation,
) -> Result<(i64, i64), ResponseError> {
    let found = match wanted {
        LATEST => return Ok((partition.readable_to(isolation), -1)),
        EARLIEST | EARLIEST_LOCAL => return Ok((partition.start_offset(), -1)),
        LATEST_TIERED => return Ok((-1, -1)),
        MAX_TIMESTAMP => partition.latest(),
        timestamp => partition.offset_at(timestamp, isolation),
    };
    match found {
        Ok(found) => Ok(found.unwrap_or((-1, -1))),
        Err(error) => Err(unreadable(partition, i64::MAX, &error)),
    }
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
