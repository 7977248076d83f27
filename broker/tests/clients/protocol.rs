//! The wire protocol byte by byte: every API in every version, and frames no client would send.

use std::{net::SocketAddr, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::*,
    protocol::{Decodable, Encodable},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{PATIENCE, World, in_time, send};

/// A connection without a client library behind it.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Wire {
        Wire(TcpStream::connect(address).await.unwrap())
    }

    async fn send(&mut self, frame: &[u8]) {
        let length = (frame.len() as i32).to_be_bytes();
        self.0.write_all(&[&length[..], frame].concat()).await.unwrap();
    }

    /// The next frame; `None` when the broker closed the connection.
    async fn receive(&mut self) -> Option<Bytes> {
        let length = timeout(PATIENCE, self.0.read_i32()).await.expect("no answer").ok()?;
        let mut frame = vec![0; length as usize];
        self.0.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }

    pub(crate) async fn call(&mut self, version: i16, request: RequestKind) -> ResponseKind {
        let api = api_of(&request);
        self.send(&frame(api, version, &request)).await;
        let mut answer = self.receive().await.unwrap_or_else(|| panic!("{api:?} v{version}"));
        let header = api.response_header_version(version);
        assert_eq!(ResponseHeader::decode(&mut answer, header).unwrap().correlation_id, 7);
        let response = ResponseKind::decode(api, &mut answer, version).unwrap();
        assert!(!answer.has_remaining(), "{api:?} v{version}: bytes behind the response");
        response
    }
}

fn frame(api: ApiKey, version: i16, request: &RequestKind) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_client_id(Some("wire".into()))
        .with_correlation_id(7);
    let mut frame = BytesMut::new();
    header.encode(&mut frame, api.request_header_version(version)).unwrap();
    request.encode(&mut frame, version).unwrap_or_else(|error| panic!("{api:?} {error}"));
    frame.freeze()
}

fn api_of(request: &RequestKind) -> ApiKey {
    every_request().into_iter().find(|(_, known)| same_kind(known, request)).unwrap().0
}

fn same_kind(one: &RequestKind, other: &RequestKind) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// One request of each kind, with fields that exist in every version.
fn every_request() -> Vec<(ApiKey, RequestKind)> {
    let group = || GroupId("group".into());
    let topic = || TopicName("topic".into());
    let id = || TransactionalId("writer".into());
    let fetch = fetch_request::FetchTopic::default().with_topic(topic()).with_partitions(vec![
        fetch_request::FetchPartition::default().with_partition_max_bytes(1 << 20),
    ]);
    let produce =
        produce_request::TopicProduceData::default().with_name(topic()).with_partition_data(vec![
            produce_request::PartitionProduceData::default().with_records(Some("no".into())),
        ]);
    let list =
        list_offsets_request::ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![
            list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1),
        ]);
    let commit = offset_commit_request::OffsetCommitRequestTopic::default()
        .with_name(topic())
        .with_partitions(vec![Default::default()]);
    let txn_commit = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
        .with_name(topic())
        .with_partitions(vec![Default::default()]);
    let epoch = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
        .with_topic(topic())
        .with_partitions(vec![Default::default()]);
    let join = join_group_request::JoinGroupRequestProtocol::default().with_name("range".into());
    let config = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name("topic".into())
        .with_configuration_keys(None);
    let wanted = offset_fetch_request::OffsetFetchRequestTopic::default()
        .with_name(topic())
        .with_partition_indexes(vec![0]);
    let added = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
        .with_name(topic())
        .with_partitions(vec![0, 9]);
    let created = create_topics_request::CreatableTopic::default()
        .with_name(topic())
        .with_num_partitions(1)
        .with_replication_factor(1);
    let deleted = delete_records_request::DeleteRecordsTopic::default()
        .with_name(topic())
        .with_partitions(vec![Default::default()]);
    let set = || ("retention.ms".into(), Some("1000".into()));
    let (name, value) = set();
    let altered = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name("topic".into())
        .with_configs(vec![
            alter_configs_request::AlterableConfig::default().with_name(name).with_value(value),
        ]);
    let (name, value) = set();
    let changed = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name("topic".into())
        .with_configs(vec![
            incremental_alter_configs_request::AlterableConfig::default()
                .with_name(name)
                .with_value(value),
        ]);
    let forgotten = offset_delete_request::OffsetDeleteRequestTopic::default()
        .with_name(topic())
        .with_partitions(vec![Default::default()]);
    let dirs = describe_log_dirs_request::DescribableLogDirTopic::default()
        .with_topic(topic())
        .with_partitions(vec![0]);
    let producers = describe_producers_request::TopicRequest::default()
        .with_name(topic())
        .with_partition_indexes(vec![0, 9]);
    let grown = create_partitions_request::CreatePartitionsTopic::default()
        .with_name(topic())
        .with_count(1);
    vec![
        (ApiKey::Metadata, RequestKind::Metadata(MetadataRequest::default())),
        (
            ApiKey::Produce,
            RequestKind::Produce(
                ProduceRequest::default().with_acks(-1).with_topic_data(vec![produce]),
            ),
        ),
        (
            ApiKey::Fetch,
            RequestKind::Fetch(
                FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![fetch]),
            ),
        ),
        (
            ApiKey::ListOffsets,
            RequestKind::ListOffsets(ListOffsetsRequest::default().with_topics(vec![list])),
        ),
        (
            ApiKey::OffsetCommit,
            RequestKind::OffsetCommit(
                OffsetCommitRequest::default()
                    .with_group_id(group())
                    .with_generation_id_or_member_epoch(-1)
                    .with_topics(vec![commit]),
            ),
        ),
        (
            ApiKey::OffsetFetch,
            RequestKind::OffsetFetch(
                OffsetFetchRequest::default()
                    .with_group_id(group())
                    .with_topics(Some(vec![wanted])),
            ),
        ),
        (
            ApiKey::FindCoordinator,
            RequestKind::FindCoordinator(
                FindCoordinatorRequest::default().with_key("group".into()),
            ),
        ),
        (
            ApiKey::JoinGroup,
            RequestKind::JoinGroup(
                JoinGroupRequest::default()
                    .with_group_id(GroupId("joined".into()))
                    .with_session_timeout_ms(10_000)
                    .with_protocol_type("consumer".into())
                    .with_protocols(vec![join])
                    .with_member_id("unknown".into()),
            ),
        ),
        (
            ApiKey::SyncGroup,
            RequestKind::SyncGroup(SyncGroupRequest::default().with_group_id(group())),
        ),
        (
            ApiKey::Heartbeat,
            RequestKind::Heartbeat(HeartbeatRequest::default().with_group_id(group())),
        ),
        (
            ApiKey::LeaveGroup,
            RequestKind::LeaveGroup(LeaveGroupRequest::default().with_group_id(group())),
        ),
        (
            ApiKey::DescribeGroups,
            RequestKind::DescribeGroups(
                DescribeGroupsRequest::default().with_groups(vec![group()]),
            ),
        ),
        (ApiKey::ListGroups, RequestKind::ListGroups(ListGroupsRequest::default())),
        (ApiKey::ApiVersions, RequestKind::ApiVersions(ApiVersionsRequest::default())),
        (
            ApiKey::CreateTopics,
            RequestKind::CreateTopics(CreateTopicsRequest::default().with_topics(vec![created])),
        ),
        (
            ApiKey::DeleteTopics,
            RequestKind::DeleteTopics(
                DeleteTopicsRequest::default().with_topic_names(vec![TopicName("no".into())]),
            ),
        ),
        (
            ApiKey::CreatePartitions,
            RequestKind::CreatePartitions(
                CreatePartitionsRequest::default().with_topics(vec![grown]),
            ),
        ),
        (
            ApiKey::DescribeConfigs,
            RequestKind::DescribeConfigs(
                DescribeConfigsRequest::default().with_resources(vec![config]),
            ),
        ),
        (
            ApiKey::OffsetForLeaderEpoch,
            RequestKind::OffsetForLeaderEpoch(
                OffsetForLeaderEpochRequest::default().with_topics(vec![epoch]),
            ),
        ),
        (
            ApiKey::InitProducerId,
            RequestKind::InitProducerId(
                InitProducerIdRequest::default()
                    .with_transactional_id(Some(id()))
                    .with_transaction_timeout_ms(10_000)
                    .with_producer_id(ProducerId(-1))
                    .with_producer_epoch(-1),
            ),
        ),
        (
            ApiKey::AddPartitionsToTxn,
            RequestKind::AddPartitionsToTxn(
                AddPartitionsToTxnRequest::default()
                    .with_v3_and_below_transactional_id(id())
                    .with_v3_and_below_topics(vec![added]),
            ),
        ),
        (
            ApiKey::AddOffsetsToTxn,
            RequestKind::AddOffsetsToTxn(
                AddOffsetsToTxnRequest::default()
                    .with_transactional_id(id())
                    .with_group_id(group()),
            ),
        ),
        (
            ApiKey::TxnOffsetCommit,
            RequestKind::TxnOffsetCommit(
                TxnOffsetCommitRequest::default()
                    .with_transactional_id(id())
                    .with_group_id(group())
                    .with_topics(vec![txn_commit]),
            ),
        ),
        (
            ApiKey::DeleteRecords,
            RequestKind::DeleteRecords(DeleteRecordsRequest::default().with_topics(vec![deleted])),
        ),
        (
            ApiKey::AlterConfigs,
            RequestKind::AlterConfigs(AlterConfigsRequest::default().with_resources(vec![altered])),
        ),
        (
            ApiKey::IncrementalAlterConfigs,
            RequestKind::IncrementalAlterConfigs(
                IncrementalAlterConfigsRequest::default().with_resources(vec![changed]),
            ),
        ),
        (
            ApiKey::DeleteGroups,
            RequestKind::DeleteGroups(
                DeleteGroupsRequest::default().with_groups_names(vec![group()]),
            ),
        ),
        (
            ApiKey::OffsetDelete,
            RequestKind::OffsetDelete(
                OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![forgotten]),
            ),
        ),
        (ApiKey::DescribeCluster, RequestKind::DescribeCluster(DescribeClusterRequest::default())),
        (
            ApiKey::DescribeLogDirs,
            RequestKind::DescribeLogDirs(
                DescribeLogDirsRequest::default().with_topics(Some(vec![dirs])),
            ),
        ),
        (
            ApiKey::DescribeProducers,
            RequestKind::DescribeProducers(
                DescribeProducersRequest::default().with_topics(vec![producers]),
            ),
        ),
        (
            ApiKey::DescribeTransactions,
            RequestKind::DescribeTransactions(
                DescribeTransactionsRequest::default().with_transactional_ids(vec![id()]),
            ),
        ),
        (
            ApiKey::ListTransactions,
            RequestKind::ListTransactions(ListTransactionsRequest::default()),
        ),
        (ApiKey::EndTxn, RequestKind::EndTxn(EndTxnRequest::default().with_transactional_id(id()))),
    ]
}

#[tokio::test]
async fn every_announced_api_answers_in_every_announced_version() {
    let world = World::start().await;
    world.clients().create_topic("topic", 1).await;
    let mut wire = Wire::connect(world.broker.address()).await;
    let asked = RequestKind::ApiVersions(ApiVersionsRequest::default());
    let ResponseKind::ApiVersions(announced) = wire.call(0, asked).await else {
        panic!("not an answer about versions")
    };
    let requests = every_request();
    assert_eq!(announced.api_keys.len(), requests.len());
    for api in announced.api_keys {
        let (_, request) =
            requests.iter().find(|(key, _)| *key as i16 == api.api_key).expect("not tested");
        for version in api.min_version..=api.max_version {
            in_time(wire.call(version, request.clone())).await;
        }
    }
}

#[tokio::test]
async fn a_client_from_the_future_is_told_what_there_is() {
    let world = World::start().await;
    let mut wire = Wire::connect(world.broker.address()).await;
    let request = RequestKind::ApiVersions(ApiVersionsRequest::default());
    let mut asked = BytesMut::from(&frame(ApiKey::ApiVersions, 3, &request)[..]);
    asked[2..4].copy_from_slice(&99i16.to_be_bytes());
    wire.send(&asked).await;
    let mut answer = wire.receive().await.unwrap();
    answer.advance(4);
    let answer = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    assert_eq!((answer.error_code, answer.api_keys.len()), (35, 34));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_closes_its_own_connection_and_nothing_else() {
    let world = World::start().await;
    let clients = world.clients();
    clients.create_topic("topic", 1).await;
    let producer = clients.producer();
    let mut bystander = Wire::connect(world.broker.address()).await;
    let mut frames: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 64],
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 8, 0x7f, 0, 0, 0, 0, 0, 0, 0],
    ];
    // Whole requests with one byte changed, cut short, or with huge numbers in them.
    let mut state = 1u64;
    for (api, request) in every_request() {
        let good = frame(api, api.valid_versions().min.max(4).min(lowest_known(api)), &request);
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = 8 + (state >> 33) as usize % (good.len() - 8);
            let mut bad = good.to_vec();
            match state >> 62 {
                0 => bad[at] ^= (state >> 20) as u8,
                1 => bad.truncate(at),
                _ => bad.splice(at.., [0x7f, 0xff, 0xff, 0xff, 0xff]).for_each(drop),
            }
            let mut framed = BytesMut::new();
            framed.put_i32(bad.len() as i32);
            framed.put_slice(&bad);
            frames.push(framed.to_vec());
        }
    }
    for bytes in frames {
        let mut wire = Wire::connect(world.broker.address()).await;
        wire.0.write_all(&bytes).await.unwrap();
        wire.0.shutdown().await.unwrap();
        // Either an answer, because the change was harmless, or the end.
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(30), wire.0.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open after {bytes:?}");
    }
    in_time(bystander.call(4, every_request().remove(0).1)).await;
    send(&producer, "topic", 1, ["still here".to_owned()]).await.unwrap();
}

/// The lowest version the broker knows of an API, where that is above the codec's.
fn lowest_known(api: ApiKey) -> i16 {
    match api {
        ApiKey::Produce => 3,
        ApiKey::Fetch => 4,
        ApiKey::CreateTopics | ApiKey::OffsetCommit | ApiKey::OffsetForLeaderEpoch => 2,
        ApiKey::ListOffsets
        | ApiKey::OffsetFetch
        | ApiKey::DeleteTopics
        | ApiKey::DescribeConfigs
        | ApiKey::DescribeLogDirs => 1,
        _ => 0,
    }
}
