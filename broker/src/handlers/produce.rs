use kafka_protocol::{
    ResponseError,
    messages::{
        ProduceRequest, ProduceResponse,
        produce_request::PartitionProduceData,
        produce_response::{PartitionProduceResponse, TopicProduceResponse},
    },
};

use crate::node::Node;

/// Appends each partition's batch; no answer if the client wants no acknowledgement.
pub(super) fn produce(node: &Node, request: ProduceRequest) -> Option<ProduceResponse> {
    let mut responses = Vec::new();
    for topic in request.topic_data {
        let partitions = topic.partition_data.iter().map(|data| {
            let (error, (offset, start)) = match append(node, &topic.name, data) {
                Ok(written) => (0, written),
                Err(error) => (error.code(), (-1, -1)),
            };
            PartitionProduceResponse::default()
                .with_index(data.index)
                .with_error_code(error)
                .with_base_offset(offset)
                .with_log_start_offset(start)
        });
        let partitions = partitions.collect();
        responses.push(
            TopicProduceResponse::default()
                .with_name(topic.name)
                .with_partition_responses(partitions),
        );
    }
    (request.acks != 0).then(|| ProduceResponse::default().with_responses(responses))
}

/// The offset of the batch, and where the log begins.
fn append(
    node: &Node,
    topic: &str,
    data: &PartitionProduceData,
) -> Result<(i64, i64), ResponseError> {
    let records = data.records.as_ref().ok_or(ResponseError::CorruptMessage)?;
    let partition = node.topics.get(topic, data.index)?;
    let offset = partition.append(records, |header| node.admit(header, topic, data.index))?;
    Ok((offset, partition.start_offset()))
}
