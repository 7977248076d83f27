use std::{future::Future, sync::Arc, time::Duration};

use kafka_protocol::{
    ResponseError,
    messages::{
        FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
        JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
        SyncGroupRequest, SyncGroupResponse, join_group_response::JoinGroupResponseMember,
        leave_group_response::MemberResponse,
    },
    protocol::StrBytes,
};
use tokio::sync::watch;

use super::{NODE_ID, Request, code, text};
use crate::{
    groups::{Application, Caller, Entry, Joined},
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
    let version = request.version;
    let mut member = message.member_id.clone();
    let joined = match application(message, request.client, version) {
        Err(error) => Err(error),
        Ok(application) => {
            let entered = blocking(node, |node| lock(&node.groups).join(application)).await?;
            node.stirred.notify_one();
            match entered {
                Err(error) => Err(error),
                Ok(Entry::Waits(place)) => wait(place, stopping).await.and_then(|place| place),
                Ok(Entry::Named(name)) => {
                    member = text(name);
                    Err(ResponseError::MemberIdRequired)
                }
            }
        }
    };
    Ok(match joined {
        Ok(joined) => join_response(joined),
        Err(error) => JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_protocol_name((version < 7).then(StrBytes::default))
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
        instance: request.group_instance_id.map(|instance| instance.to_string()),
        client,
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.map(|known| (known.name.to_string(), known.metadata)).collect(),
        session_timeout: Duration::from_millis(session_ms as u64),
        rebalance_timeout: Duration::from_millis(rebalance_ms as u64),
        takes_name_first: version >= 4,
        can_skip_assignment: version >= 9,
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
    let members = joined.members.into_iter().map(|subscriber| {
        JoinGroupResponseMember::default()
            .with_member_id(text(subscriber.member))
            .with_group_instance_id(subscriber.instance.map(text))
            .with_metadata(subscriber.subscription)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(text(joined.protocol_type)))
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skip_assignment)
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
        let caller = caller(&message.member_id, message.group_instance_id.as_ref());
        let generation = message.generation_id;
        lock(&node.groups).sync(&message.group_id, generation, caller, assignments)
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
    let caller = caller(&request.member_id, request.group_instance_id.as_ref());
    let mut groups = lock(&node.groups);
    let alive = groups.heartbeat(&request.group_id, request.generation_id, caller);
    HeartbeatResponse::default().with_error_code(code(&alive))
}

pub(super) fn leave(node: &Node, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let mut groups = lock(&node.groups);
    if version < 3 {
        let left = groups.leave(&request.group_id, caller(&request.member_id, None));
        return LeaveGroupResponse::default().with_error_code(code(&left));
    }
    let members = request.members.into_iter().map(|member| {
        let caller = caller(&member.member_id, member.group_instance_id.as_ref());
        let left = groups.leave(&request.group_id, caller);
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code(&left))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

/// Whom a request speaks for; fields that its version does not have read as none.
pub(super) fn caller<'a>(member: &'a StrBytes, instance: Option<&'a StrBytes>) -> Caller<'a> {
    Caller { member, instance: instance.map(|instance| instance.as_str()) }
}
