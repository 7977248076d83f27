use kafka_protocol::{
    ResponseError,
    messages::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
        CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
        DeleteTopicsResponse, MetadataRequest, MetadataResponse, TopicName,
        create_partitions_request::CreatePartitionsTopic,
        create_partitions_response::CreatePartitionsTopicResult,
        create_topics_request::CreatableTopic,
        create_topics_response::CreatableTopicResult,
        delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
        delete_topics_response::DeletableTopicResult,
        metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        },
    },
};

use super::{CLUSTER_ID, NODE_ID, code, text, topic_name};
use crate::{
    config::{self, Overrides},
    log::Isolation,
    metadata::{Record, TopicSpec, unavailable},
    node::Node,
    topics,
};

pub(super) fn metadata(node: &Node, request: MetadataRequest, version: i16) -> MetadataResponse {
    let all = || node.metadata.view().topics.keys().map(|name| topic_name(name)).collect();
    let wanted: Vec<TopicName> = match request.topics {
        None => all(),
        Some(topics) if topics.is_empty() && version == 0 => all(),
        Some(topics) => topics.into_iter().filter_map(|topic| topic.name).collect(),
    };
    // Before version 4 a client could not say that it does not want this.
    let allowed = version < 4 || request.allow_auto_topic_creation;
    let topics = wanted.into_iter().map(|name| {
        let found = find(node, &name).or_else(|unknown| {
            if !(node.auto_create_topics && allowed) {
                return Err(unknown);
            }
            create(node, &name, node.default_partitions, Overrides::new(), false)
        });
        let response = MetadataResponseTopic::default().with_error_code(code(&found));
        let partitions = (0..found.unwrap_or(0)).map(|number| {
            MetadataResponsePartition::default()
                .with_partition_index(number)
                .with_leader_id(NODE_ID)
                .with_leader_epoch(0)
                .with_replica_nodes(vec![NODE_ID])
                .with_isr_nodes(vec![NODE_ID])
        });
        response.with_name(Some(name)).with_partitions(partitions.collect())
    });
    let topics = topics.collect();
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE_ID)
        .with_host(text(node.address.ip().to_string()))
        .with_port(i32::from(node.address.port()));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(CLUSTER_ID)))
        .with_controller_id(NODE_ID)
        .with_topics(topics)
}

/// A topic's number of partitions.
fn find(node: &Node, name: &str) -> Result<i32, ResponseError> {
    let view = node.metadata.view();
    let spec = view.topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
    Ok(spec.partitions)
}

fn create(
    node: &Node,
    name: &str,
    partitions: i32,
    config: Overrides,
    validate_only: bool,
) -> Result<i32, ResponseError> {
    topics::check(name, partitions)?;
    config::check(&config)?;
    if find(node, name).is_ok() {
        return Err(ResponseError::TopicAlreadyExists);
    }
    if !validate_only {
        node.topics.create(&node.metadata, name, TopicSpec { partitions, config })?;
    }
    Ok(partitions)
}

pub(super) fn create_topics(node: &Node, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let config = overrides(&topic);
        let complaint = config::complaint(&config);
        let created = create_topic(node, &topic, config, request.validate_only);
        CreatableTopicResult::default()
            .with_name(topic.name)
            .with_error_code(code(&created))
            .with_error_message(
                created.err().map(|error| text(complaint.unwrap_or_else(|| error.to_string()))),
            )
            .with_num_partitions(created.unwrap_or(-1))
            .with_replication_factor(1)
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create_topic(
    node: &Node,
    topic: &CreatableTopic,
    config: Overrides,
    validate_only: bool,
) -> Result<i32, ResponseError> {
    let assigned = topic.assignments.len() as i32;
    if assigned == 0 && !matches!(topic.replication_factor, -1 | 1) {
        return Err(ResponseError::InvalidReplicationFactor);
    }
    let elsewhere = |brokers: &Vec<kafka_protocol::messages::BrokerId>| *brokers != [NODE_ID];
    if topic.assignments.iter().any(|assignment| elsewhere(&assignment.broker_ids)) {
        return Err(ResponseError::InvalidReplicaAssignment);
    }
    let partitions = match topic.num_partitions {
        _ if assigned > 0 => assigned,
        -1 => node.default_partitions,
        partitions => partitions,
    };
    create(node, &topic.name, partitions, config, validate_only)
}

fn overrides(topic: &CreatableTopic) -> Overrides {
    let configs = topic.configs.iter();
    let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.unwrap_or("").to_owned());
    configs.map(|config| pair(&config.name, config.value.as_deref())).collect()
}

pub(super) fn delete_topics(node: &Node, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let results = request.topic_names.into_iter().map(|name| {
        let deleted = node.topics.delete(&node.metadata, &name);
        DeletableTopicResult::default().with_name(Some(name)).with_error_code(code(&deleted))
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

pub(super) fn create_partitions(
    node: &Node,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let grown = grow(node, &topic, request.validate_only);
        CreatePartitionsTopicResult::default()
            .with_name(topic.name)
            .with_error_code(code(&grown))
            .with_error_message(grown.err().map(|error| text(error.to_string())))
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(
    node: &Node,
    topic: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), ResponseError> {
    let known = node.metadata.view().topics.get(topic.name.as_str()).cloned();
    let spec = known.ok_or(ResponseError::UnknownTopicOrPartition)?;
    topics::check(&topic.name, topic.count)?;
    if topic.count <= spec.partitions {
        return Err(ResponseError::InvalidPartitions);
    }
    if validate_only {
        return Ok(());
    }
    let spec = TopicSpec { partitions: topic.count, ..spec };
    node.topics.create(&node.metadata, &topic.name, spec)
}

/// Moves the beginnings of logs; what lies in front of them is deleted soon after.
pub(super) fn delete_records(node: &Node, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let number = wanted.partition_index;
            let start = advance_start(node, &topic.name, number, wanted.offset);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(number)
                .with_error_code(code(&start))
                .with_low_watermark(start.unwrap_or(-1))
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// Returns where the log begins now; -1 asks for its end.
fn advance_start(node: &Node, topic: &str, number: i32, to: i64) -> Result<i64, ResponseError> {
    let partition = node.topics.get(topic, number)?;
    let end = partition.readable_to(Isolation::Committed);
    let offset = if to == -1 { end } else { to };
    if !(0..=end).contains(&offset) {
        return Err(ResponseError::OffsetOutOfRange);
    }
    if offset > partition.start_offset() {
        let record = Record::LogStart { topic: topic.to_owned(), partition: number, offset };
        node.metadata.append(vec![record]).map_err(unavailable)?;
        partition.advance_start(offset);
    }
    Ok(partition.start_offset())
}
