//! Transactions and producers as an administrator sees them.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use kafka_protocol::{
    ResponseError,
    messages::{
        DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
        DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse,
        ProducerId, TransactionalId,
        describe_producers_response::{PartitionResponse, ProducerState, TopicResponse},
        describe_transactions_response::{TopicData, TransactionState as Described},
        list_transactions_response::TransactionState as Listed,
    },
};

use super::{code, text, topic_name};
use crate::{
    batch::Outcome,
    metadata::{Transaction, TransactionState},
    node::Node,
};

const STATES: [&str; 4] = ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort"];

/// Kafka's name for it.
fn state(transaction: &Transaction) -> &'static str {
    match transaction.state {
        TransactionState::Idle => match transaction.previous {
            None => "Empty",
            Some(Outcome::Commit) => "CompleteCommit",
            Some(Outcome::Abort) => "CompleteAbort",
        },
        TransactionState::Ongoing => "Ongoing",
        TransactionState::Ending(Outcome::Commit) => "PrepareCommit",
        TransactionState::Ending(Outcome::Abort) => "PrepareAbort",
    }
}

fn is_state(name: &str) -> bool {
    STATES.contains(&name) || matches!(name, "CompleteCommit" | "CompleteAbort")
}

pub(super) fn list(
    node: &Node,
    request: ListTransactionsRequest,
    version: i16,
) -> ListTransactionsResponse {
    let states = &request.state_filters;
    let unknown = states.iter().filter(|name| !is_state(name)).cloned();
    let producers = &request.producer_id_filters;
    let view = node.metadata.view();
    let wanted = |transaction: &Transaction| {
        let running = transaction.began.map(|began| began.elapsed().as_millis() as i64);
        let long = version < 1
            || request.duration_filter < 0
            || running.is_some_and(|running| running >= request.duration_filter);
        let of_state =
            states.is_empty() || states.iter().any(|name| name.as_str() == state(transaction));
        let of_producer =
            producers.is_empty() || producers.iter().any(|id| id.0 == transaction.producer_id);
        long && of_state && of_producer
    };
    let found = view.transactions.iter().filter(|(_, transaction)| wanted(transaction));
    let listed = found.map(|(id, transaction)| {
        Listed::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_transaction_state(text(state(transaction)))
    });
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown.collect())
        .with_transaction_states(listed.collect())
}

pub(super) fn describe(
    node: &Node,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let view = node.metadata.view();
    let described = request.transactional_ids.into_iter().map(|id| {
        let Some(transaction) = view.transactions.get(id.as_str()) else {
            let error = ResponseError::TransactionalIdNotFound.code();
            return Described::default().with_transactional_id(id).with_error_code(error);
        };
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &transaction.partitions {
            topics.entry(topic).or_default().push(*partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            TopicData::default().with_topic(topic_name(topic)).with_partitions(partitions)
        });
        Described::default()
            .with_transactional_id(id)
            .with_transaction_state(text(state(transaction)))
            .with_transaction_timeout_ms(transaction.timeout_ms)
            .with_transaction_start_time_ms(began_ms(transaction))
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_producer_epoch(transaction.epoch)
            .with_topics(topics.collect())
    });
    DescribeTransactionsResponse::default().with_transaction_states(described.collect())
}

/// Milliseconds since 1970; -1 while nothing is open.
fn began_ms(transaction: &Transaction) -> i64 {
    let began = transaction.began.and_then(|began| SystemTime::now().checked_sub(began.elapsed()));
    let since = began.and_then(|began| began.duration_since(UNIX_EPOCH).ok());
    since.map_or(-1, |since| since.as_millis() as i64)
}

/// Who wrote to some partitions with idempotence on, and what they have open there.
pub(super) fn producers(
    node: &Node,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|number| {
            let response = PartitionResponse::default().with_partition_index(*number);
            let partition = node.topics.get(&topic.name, *number);
            let error = code(&partition);
            let active = partition.map(|partition| {
                partition.producers(|sequences, open| {
                    let state = |(id, recent): (i64, &crate::sequences::Recent)| {
                        ProducerState::default()
                            .with_producer_id(ProducerId(id))
                            .with_producer_epoch(i32::from(recent.epoch))
                            .with_last_sequence(recent.last_sequence())
                            .with_last_timestamp(recent.last_timestamp_ms)
                            .with_coordinator_epoch(0)
                            .with_current_txn_start_offset(open.get(&id).copied().unwrap_or(-1))
                    };
                    sequences.iter().map(state).collect()
                })
            });
            response.with_error_code(error).with_active_producers(active.unwrap_or_default())
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}
