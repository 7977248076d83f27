use kafka_protocol::{
    ResponseError,
    messages::{
        AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
        AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
        InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
        add_partitions_to_txn_response::{
            AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
        },
        txn_offset_commit_response::{
            TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
        },
    },
};

use super::{code, groups::caller, offsets::note};
use crate::{
    batch::{Outcome, Producer},
    locks::lock,
    metadata::GroupOffset,
    node::Node,
};

/// Clients below `since` know only the older error for a producer that was replaced.
fn fenced(error: ResponseError, version: i16, since: i16) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < since => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}

pub(super) fn init_producer_id(
    node: &Node,
    request: InitProducerIdRequest,
    version: i16,
) -> InitProducerIdResponse {
    let current = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    // Before version 3 there is no such field, and it reads as no producer.
    let current = (version >= 3 && current.id >= 0).then_some(current);
    let id = request.transactional_id.as_ref().map(|id| id.as_str());
    match node.init_producer(id, request.transaction_timeout_ms, current) {
        Ok(producer) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(fenced(error, version, 4).code())
            .with_producer_epoch(-1),
    }
}

pub(super) fn add_partitions(
    node: &Node,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> AddPartitionsToTxnResponse {
    let producer = Producer {
        id: request.v3_and_below_producer_id.0,
        epoch: request.v3_and_below_producer_epoch,
    };
    let topics = request.v3_and_below_topics;
    let exists = |topic: &str, number: i32| node.topics.get(topic, number).map(|_| ());
    let all_exist = topics
        .iter()
        .all(|topic| topic.partitions.iter().all(|number| exists(&topic.name, *number).is_ok()));
    // All or nothing: one unknown partition keeps the others out as well.
    let added = if all_exist {
        let partitions = topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|number| (topic.name.to_string(), *number))
        });
        node.add_partitions(&request.v3_and_below_transactional_id, producer, partitions)
            .map_err(|error| fenced(error, version, 2))
    } else {
        Err(ResponseError::OperationNotAttempted)
    };
    let results = topics.into_iter().map(|topic| {
        let results = topic.partitions.iter().map(|number| {
            let result = exists(&topic.name, *number).and(added);
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*number)
                .with_partition_error_code(code(&result))
        });
        let results = results.collect();
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name)
            .with_results_by_partition(results)
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

pub(super) fn add_offsets(
    node: &Node,
    request: AddOffsetsToTxnRequest,
    version: i16,
) -> AddOffsetsToTxnResponse {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let added = node
        .add_group(&request.transactional_id, producer, &request.group_id)
        .map_err(|error| fenced(error, version, 2));
    AddOffsetsToTxnResponse::default().with_error_code(code(&added))
}

pub(super) fn commit_offsets(
    node: &Node,
    request: TxnOffsetCommitRequest,
    version: i16,
) -> TxnOffsetCommitResponse {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let mut offsets = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            offsets.push(GroupOffset {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                note: note(partition.committed_metadata.as_ref()),
            });
        }
    }
    let committed = {
        // Held until the offsets are written: a member that lost its place in a rebalance must
        // not get them in after the next owner has asked where to begin.
        let mut groups = lock(&node.groups);
        // Before version 3 a producer could not say which member it speaks for.
        let speaks_for =
            version >= 3 && (request.generation_id >= 0 || !request.member_id.is_empty());
        let caller = caller(&request.member_id, request.group_instance_id.as_ref());
        let member = match speaks_for {
            true => groups.check_commit(&request.group_id, request.generation_id, caller),
            false => Ok(()),
        };
        // This API knows only the older error in all versions.
        member.and_then(|()| {
            node.add_offsets(&request.transactional_id, producer, &request.group_id, offsets)
                .map_err(|error| fenced(error, version, i16::MAX))
        })
    };
    let error = code(&committed);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error)
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

pub(super) fn end(node: &Node, request: EndTxnRequest, version: i16) -> EndTxnResponse {
    let producer = Producer { id: request.producer_id.0, epoch: request.producer_epoch };
    let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
    let ended = node
        .end_transaction(&request.transactional_id, producer, outcome)
        .map_err(|error| fenced(error, version, 2));
    EndTxnResponse::default().with_error_code(code(&ended))
}
