use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use kafka_protocol::{
    ResponseError,
    messages::{
        DescribeGroupsRequest, DescribeGroupsResponse, FindCoordinatorRequest,
        FindCoordinatorResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
        JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
        ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
        join_group_response::JoinGroupResponseMember,
        leave_group_response::MemberResponse,
        list_groups_response::ListedGroup,
    },
};
use tokio::sync::watch;

use super::{NODE_ID, Request, code, text};
use crate::{
    groups::{Application, GroupState, Joined},
    locks::lock,
    node::{Node, blocking},
    stopped,
    wire::WireError,
};

/// Kafka's `group.max.session.timeout.ms`.
const LONGEST_SESSION_MS: i32 = 30 * 60 * 1_000;

pub(super) fn find_coordinator(
    node: &Node,
    _request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    FindCoordinatorResponse::default()
        .with_node_id(NODE_ID)
        .with_host(text(node.address.ip().to_string()))
        .with_port(i32::from(node.address.port()))
}

pub(super) async fn join(
    node: &Arc<Node>,
    mut request: Request,
    stopping: &watch::Receiver<bool>,
) -> Result<JoinGroupResponse, WireError> {
    let message: JoinGroupRequest = request.decode()?;
    let member = message.member_id.clone();
    let joined = match application(message, request.client, request.version) {
        Err(error) => Err(error),
        Ok(application) => {
            let entered = blocking(node, |node| lock(&node.groups).join(application)).await?;
            match entered {
                Err(error) => Err(error),
                Ok(place) => wait(place, stopping).await,
            }
        }
    };
    Ok(match joined {
        Ok(joined) => join_response(joined),
        Err(error) => JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_member_id(member)
            .with_generation_id(-1),
    })
}

fn application(
    request: JoinGroupRequest,
    client: String,
    version: i16,
) -> Result<Application, ResponseError> {
    if request.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    let session_ms = request.session_timeout_ms;
    // Version 0 has one time-out for both.
    let rebalance_ms = if version == 0 { session_ms } else { request.rebalance_timeout_ms };
    if !(1..=LONGEST_SESSION_MS).contains(&session_ms) || rebalance_ms < 0 {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    let protocols = request.protocols.into_iter();
    Ok(Application {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        client,
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.map(|known| (known.name.to_string(), known.metadata)).collect(),
        session_timeout: Duration::from_millis(session_ms as u64),
        rebalance_timeout: Duration::from_millis(rebalance_ms as u64),
    })
}

/// The answer, once the rest of the group is ready for it.
async fn wait<T>(
    answer: impl Future<Output = Result<T, tokio::sync::oneshot::error::RecvError>>,
    stopping: &watch::Receiver<bool>,
) -> Result<T, ResponseError> {
    tokio::select! {
        answer = answer => answer.map_err(|_| ResponseError::UnknownMemberId),
        () = stopped(stopping) => Err(ResponseError::CoordinatorNotAvailable),
    }
}

fn join_response(joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|(member, subscription)| {
        JoinGroupResponseMember::default().with_member_id(text(member)).with_metadata(subscription)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(text(joined.protocol_type)))
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.member))
        .with_members(members.collect())
}

pub(super) async fn sync(
    node: &Arc<Node>,
    mut request: Request,
    stopping: &watch::Receiver<bool>,
) -> Result<SyncGroupResponse, WireError> {
    let message: SyncGroupRequest = request.decode()?;
    let entered = blocking(node, move |node| {
        let assignments = message.assignments.into_iter();
        let assignments = assignments.map(|to| (to.member_id.to_string(), to.assignment)).collect();
        let (group, member) = (&message.group_id, &message.member_id);
        lock(&node.groups).sync(group, message.generation_id, member, assignments)
    });
    let synced = match entered.await? {
        Err(error) => Err(error),
        Ok(assignment) => wait(assignment, stopping).await.and_then(|synced| synced),
    };
    let error = code(&synced);
    Ok(SyncGroupResponse::default()
        .with_error_code(error)
        .with_assignment(synced.unwrap_or_default()))
}

pub(super) fn heartbeat(node: &Node, request: HeartbeatRequest) -> HeartbeatResponse {
    let mut groups = lock(&node.groups);
    let alive = groups.heartbeat(&request.group_id, request.generation_id, &request.member_id);
    HeartbeatResponse::default().with_error_code(code(&alive))
}

pub(super) fn leave(node: &Node, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let mut groups = lock(&node.groups);
    if version < 3 {
        let left = groups.leave(&request.group_id, &request.member_id);
        return LeaveGroupResponse::default().with_error_code(code(&left));
    }
    let members = request.members.into_iter().map(|member| {
        let left = groups.leave(&request.group_id, &member.member_id);
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code(&left))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

pub(super) fn list(node: &Node, request: ListGroupsRequest) -> ListGroupsResponse {
    let groups = lock(&node.groups);
    let mut found: BTreeMap<String, (GroupState, String)> = BTreeMap::new();
    for name in lock(&node.metadata).view().offsets.keys() {
        found.insert(name.clone(), (GroupState::Empty, "consumer".to_owned()));
    }
    for (name, group) in groups.iter() {
        found.insert(name.clone(), (group.state, group.protocol_type.clone()));
    }
    let wanted = &request.states_filter;
    let listed = found
        .into_iter()
        .filter(|(_, (state, _))| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted.as_str() == state.name())
        })
        .map(|(name, (state, protocol_type))| {
            ListedGroup::default()
                .with_group_id(GroupId(text(name)))
                .with_protocol_type(text(protocol_type))
                .with_group_state(text(state.name()))
        });
    ListGroupsResponse::default().with_groups(listed.collect())
}

pub(super) fn describe(node: &Node, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = lock(&node.groups);
    let described = request.groups.into_iter().map(|name| {
        let response = DescribedGroup::default().with_group_id(name.clone());
        let Some(group) = groups.get(&name) else {
            return response.with_group_state(text("Dead"));
        };
        let members = group.members.iter().map(|(id, member)| {
            DescribedGroupMember::default()
                .with_member_id(text(id))
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
