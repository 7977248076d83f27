//! The one broker and its disk.

use std::collections::BTreeMap;

use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    describe_cluster_response::DescribeClusterBroker,
    describe_log_dirs_response::{
        DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
    },
};

use super::{CLUSTER_ID, NODE_ID, text, topic_name};
use crate::node::Node;

/// What a client may do is not modelled: "not asked for".
const NO_OPERATIONS: i32 = i32::MIN;

pub(super) fn describe(node: &Node, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(NODE_ID)
        .with_host(text(node.address.ip().to_string()))
        .with_port(i32::from(node.address.port()));
    DescribeClusterResponse::default()
        .with_endpoint_type(request.endpoint_type.max(1))
        .with_cluster_id(text(CLUSTER_ID))
        .with_controller_id(NODE_ID)
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(NO_OPERATIONS)
}

/// How large each partition is.
pub(super) fn log_dirs(node: &Node, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted = |topic: &str, number: i32| match &request.topics {
        None => true,
        Some(topics) => topics
            .iter()
            .any(|wanted| wanted.topic.as_str() == topic && wanted.partitions.contains(&number)),
    };
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for (topic, number, partition) in node.topics.all() {
        let number = number as i32;
        if wanted(&topic, number) {
            let sized = DescribeLogDirsPartition::default()
                .with_partition_index(number)
                .with_partition_size(partition.bytes() as i64);
            topics.entry(topic).or_default().push(sized);
        }
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        DescribeLogDirsTopic::default().with_name(topic_name(&name)).with_partitions(partitions)
    });
    let result = DescribeLogDirsResult::default()
        .with_log_dir(text(node.topics.folder().display().to_string()))
        .with_topics(topics.collect())
        .with_total_bytes(-1)
        .with_usable_bytes(-1);
    DescribeLogDirsResponse::default().with_results(vec![result])
}
