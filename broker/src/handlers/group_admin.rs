//! Groups as an administrator sees them.

use std::collections::BTreeMap;

use kafka_protocol::{
    ResponseError,
    messages::{
        DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
        GroupId, ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
        delete_groups_response::DeletableGroupResult,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
        list_groups_response::ListedGroup,
        offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
    },
    protocol::StrBytes,
};

use super::{code, text};
use crate::{
    groups::{GroupState, Groups},
    locks::lock,
    metadata::{Record, View, unavailable},
    node::Node,
};

/// Kafka's name for the protocol of all groups here.
const CLASSIC: &str = "classic";
const CONSUMER: &str = "consumer";
/// What a client may do is not modelled: "not asked for".
const NO_OPERATIONS: i32 = i32::MIN;

pub(super) fn list(node: &Node, request: ListGroupsRequest) -> ListGroupsResponse {
    let groups = lock(&node.groups);
    let mut found: BTreeMap<String, (GroupState, String)> = BTreeMap::new();
    for name in node.metadata.view().offsets.keys() {
        found.insert(name.clone(), (GroupState::Empty, CONSUMER.to_owned()));
    }
    for (name, group) in groups.iter() {
        let is_known = found.contains_key(name);
        // A group nobody is in and that committed nothing is no group.
        if !group.members.is_empty() {
            found.insert(name.clone(), (group.state, group.protocol_type.clone()));
        } else if is_known && !group.protocol_type.is_empty() {
            found.insert(name.clone(), (GroupState::Empty, group.protocol_type.clone()));
        }
    }
    let wanted = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let listed = found
        .into_iter()
        .filter(|(_, (state, _))| wanted(&request.states_filter, state.name()))
        .filter(|_| wanted(&request.types_filter, CLASSIC))
        .map(|(name, (state, protocol_type))| {
            ListedGroup::default()
                .with_group_id(GroupId(text(name)))
                .with_protocol_type(text(protocol_type))
                .with_group_state(text(state.name()))
                .with_group_type(text(CLASSIC))
        });
    ListGroupsResponse::default().with_groups(listed.collect())
}

pub(super) fn describe(node: &Node, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = lock(&node.groups);
    let described = request.groups.into_iter().map(|name| {
        let response = DescribedGroup::default()
            .with_group_id(name.clone())
            .with_authorized_operations(NO_OPERATIONS);
        let committed = node.metadata.view().offsets.contains_key(name.as_str());
        let Some(group) = groups.get(&name) else {
            let state = if committed { GroupState::Empty.name() } else { "Dead" };
            let protocol = if committed { CONSUMER } else { "" };
            return response.with_group_state(text(state)).with_protocol_type(text(protocol));
        };
        let members = group.members.iter().map(|(id, member)| {
            DescribedGroupMember::default()
                .with_member_id(text(id))
                .with_group_instance_id(member.instance.as_ref().map(text))
                .with_client_id(text(&member.client))
                .with_client_host(text(format!("/{}", node.address.ip())))
                .with_member_metadata(member.subscription(&group.protocol))
                .with_member_assignment(member.assignment.clone())
        });
        response
            .with_group_state(text(group.state.name()))
            .with_protocol_type(text(&group.protocol_type))
            .with_protocol_data(text(&group.protocol))
            .with_members(members.collect())
    });
    DescribeGroupsResponse::default().with_groups(described.collect())
}

/// Forgets groups with all their offsets.
pub(super) fn delete(node: &Node, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    // Held until the offsets are gone: nobody may join in between.
    let mut groups = lock(&node.groups);
    let results = request.groups_names.into_iter().map(|name| {
        let deleted = delete_group(node, &mut groups, &name);
        DeletableGroupResult::default().with_error_code(code(&deleted)).with_group_id(name)
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

fn delete_group(node: &Node, groups: &mut Groups, name: &str) -> Result<(), ResponseError> {
    let mut known = groups.delete(name)?;
    node.metadata.change(|view| {
        let records: Vec<Record> = committed(view, name)
            .map(|(topic, partition)| forget(name, topic, *partition))
            .collect();
        known |= !records.is_empty();
        Ok(((), records))
    })?;
    if known { Ok(()) } else { Err(ResponseError::GroupIdNotFound) }
}

fn committed<'a>(view: &'a View, group: &str) -> impl Iterator<Item = &'a (String, i32)> {
    view.offsets.get(group).into_iter().flat_map(BTreeMap::keys)
}

fn forget(group: &str, topic: &str, partition: i32) -> Record {
    Record::OffsetDeleted { group: group.to_owned(), topic: topic.to_owned(), partition }
}

/// Forgets the offsets of some partitions, of a group that does not read their topics now.
pub(super) fn delete_offsets(node: &Node, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let group = request.group_id.as_str();
    let groups = lock(&node.groups);
    // What members subscribed to is theirs to encode; while there are any, none of it is touched.
    let busy = groups.get(group).is_some_and(|group| !group.members.is_empty());
    let known = groups.get(group).is_some() || node.metadata.view().offsets.contains_key(group);
    if !known {
        let error = ResponseError::GroupIdNotFound.code();
        return OffsetDeleteResponse::default().with_error_code(error);
    }
    let mut records = Vec::new();
    for topic in request.topics.iter().filter(|_| !busy) {
        for partition in &topic.partitions {
            records.push(forget(group, &topic.name, partition.partition_index));
        }
    }
    let result = if busy {
        Err(ResponseError::GroupSubscribedToTopic)
    } else {
        node.metadata.append(records).map_err(unavailable)
    };
    let error = code(&result);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error)
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
