use std::collections::{BTreeMap, HashSet};

use kafka_protocol::{
    ResponseError,
    messages::{
        OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
        TopicName,
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
        offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic},
    },
    protocol::StrBytes,
};

use super::{code, groups::caller, text, topic_name};
use crate::{
    locks::lock,
    metadata::{GroupOffset, Record, TransactionState, View, unavailable},
    node::Node,
};

pub(super) fn commit(node: &Node, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let committed = record(node, &request);
    let error = code(&committed);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error)
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn record(node: &Node, request: &OffsetCommitRequest) -> Result<(), ResponseError> {
    let mut records = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let offset = GroupOffset {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                note: note(partition.committed_metadata.as_ref()),
            };
            records.push(Record::Offset { group: request.group_id.to_string(), offset });
        }
    }
    // Held until the offsets are written: no rebalance may come in between.
    let mut groups = lock(&node.groups);
    let generation = request.generation_id_or_member_epoch;
    let caller = caller(&request.member_id, request.group_instance_id.as_ref());
    groups.check_commit(&request.group_id, generation, caller)?;
    node.metadata.append(records).map_err(unavailable)
}

pub(super) fn note(metadata: Option<&StrBytes>) -> String {
    metadata.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn fetch(node: &Node, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let view = node.metadata.view();
    let group = request.group_id.as_str();
    let pending = if request.require_stable { pending(&view, group) } else { HashSet::new() };
    let wanted: Vec<(TopicName, Vec<i32>)> = match request.topics {
        Some(topics) => {
            topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect()
        }
        None => everything(&view, group),
    };
    let topics = wanted.into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|number| {
            let response = OffsetFetchResponsePartition::default()
                .with_partition_index(number)
                .with_committed_offset(-1);
            let key = (topic.to_string(), number);
            if pending.contains(&key) {
                return response.with_error_code(ResponseError::UnstableOffsetCommit.code());
            }
            match view.offsets.get(group).and_then(|offsets| offsets.get(&key)) {
                None => response,
                Some(committed) => response
                    .with_committed_offset(committed.offset)
                    .with_metadata(Some(text(&committed.note))),
            }
        });
        let partitions = partitions.collect();
        OffsetFetchResponseTopic::default().with_name(topic).with_partitions(partitions)
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

/// Partitions whose next offset an open transaction is about to decide.
fn pending(view: &View, group: &str) -> HashSet<(String, i32)> {
    view.transactions
        .values()
        .filter(|transaction| transaction.state != TransactionState::Idle)
        .filter_map(|transaction| transaction.offsets.get(group))
        .flatten()
        .map(|offset| (offset.topic.clone(), offset.partition))
        .collect()
}

fn everything(view: &View, group: &str) -> Vec<(TopicName, Vec<i32>)> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in view.offsets.get(group).into_iter().flat_map(BTreeMap::keys) {
        topics.entry(topic).or_default().push(*partition);
    }
    topics.into_iter().map(|(topic, partitions)| (topic_name(topic), partitions)).collect()
}
