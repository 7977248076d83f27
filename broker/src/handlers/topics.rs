use std::collections::BTreeMap;

use kafka_protocol::{
    ResponseError,
    messages::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
        CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest,
        DescribeConfigsResponse, MetadataRequest, MetadataResponse, TopicName,
        create_partitions_request::CreatePartitionsTopic,
        create_partitions_response::CreatePartitionsTopicResult,
        create_topics_request::CreatableTopic,
        create_topics_response::CreatableTopicResult,
        delete_topics_response::DeletableTopicResult,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult},
        metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        },
    },
};

use super::{NODE_ID, code, text, topic_name};
use crate::{locks::lock, metadata::TopicSpec, node::Node, topics};

const CLUSTER_ID: &str = "embedded";
const RESOURCE_TOPIC: i8 = 2;
const SOURCE_TOPIC: i8 = 1;

pub(super) fn metadata(node: &Node, request: MetadataRequest, version: i16) -> MetadataResponse {
    let all = || lock(&node.metadata).view().topics.keys().map(|name| topic_name(name)).collect();
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
            create(node, &name, node.default_partitions, BTreeMap::new(), false)
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
    let metadata = lock(&node.metadata);
    let spec = metadata.view().topics.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
    Ok(spec.partitions)
}

fn create(
    node: &Node,
    name: &str,
    partitions: i32,
    config: BTreeMap<String, String>,
    validate_only: bool,
) -> Result<i32, ResponseError> {
    topics::check(name, partitions)?;
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
        let created = create_topic(node, &topic, request.validate_only);
        CreatableTopicResult::default()
            .with_name(topic.name)
            .with_error_code(code(&created))
            .with_error_message(created.err().map(|error| text(error.to_string())))
            .with_num_partitions(created.unwrap_or(-1))
            .with_replication_factor(1)
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create_topic(
    node: &Node,
    topic: &CreatableTopic,
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
    let config = topic.configs.iter().map(|config| {
        (config.name.to_string(), config.value.as_deref().unwrap_or_default().to_owned())
    });
    create(node, &topic.name, partitions, config.collect(), validate_only)
}

pub(super) fn delete_topics(node: &Node, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let results = request.topic_names.into_iter().map(|name| {
        let deleted = node.topics.delete(&node.metadata, &name);
        DeletableTopicResult::default().with_name(Some(name)).with_error_code(code(&deleted))
    });
    let results = results.collect();
    // Consumers that wait for its records learn that it is gone.
    node.announce();
    DeleteTopicsResponse::default().with_responses(results)
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
    let known = lock(&node.metadata).view().topics.get(topic.name.as_str()).cloned();
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

pub(super) fn describe_configs(
    node: &Node,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let config = topic_config(node, &resource);
        let error = code(&config);
        let entries = config.unwrap_or_default().into_iter().map(|(name, value)| {
            DescribeConfigsResourceResult::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
                .with_config_source(SOURCE_TOPIC)
        });
        DescribeConfigsResult::default()
            .with_error_code(error)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_configs(entries.collect())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn topic_config(
    node: &Node,
    resource: &DescribeConfigsResource,
) -> Result<BTreeMap<String, String>, ResponseError> {
    if resource.resource_type != RESOURCE_TOPIC {
        return Ok(BTreeMap::new());
    }
    let metadata = lock(&node.metadata);
    let spec = metadata.view().topics.get(resource.resource_name.as_str());
    let mut config = spec.ok_or(ResponseError::UnknownTopicOrPartition)?.config.clone();
    if let Some(wanted) = &resource.configuration_keys {
        config.retain(|name, _| wanted.iter().any(|wanted| wanted.as_str() == name));
    }
    Ok(config)
}
