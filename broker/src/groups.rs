//! Consumer groups with Kafka's classic protocol: members join, the leader assigns, everyone
//! syncs, heartbeats keep them in. Kept in memory; committed offsets are metadata.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

/// An empty group waits this long for more members before its first generation.
const FIRST_JOIN_DELAY: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl GroupState {
    /// Kafka's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) state: GroupState,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: BTreeMap<String, Member>,
    generation: i32,
    leader: String,
    /// A rebalance does not complete before this ...
    not_before: Instant,
    /// ... and goes on without those who are missing by this.
    deadline: Instant,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client: String,
    pub(crate) assignment: Bytes,
    /// Name and subscription for each assignor it can work with, best first.
    protocols: Vec<(String, Bytes)>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    heard: Instant,
    joining: Option<oneshot::Sender<Joined>>,
    syncing: Option<oneshot::Sender<Synced>>,
}

/// What a client says when it joins.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) group: String,
    /// Empty for a new member.
    pub(crate) member: String,
    pub(crate) client: String,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
}

/// A member's place in a new generation.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member: String,
    /// Every member and its subscription; for the leader only.
    pub(crate) members: Vec<(String, Bytes)>,
}

pub(crate) type Synced = Result<Bytes, ResponseError>;

#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<String, Group>);

impl Groups {
    pub(crate) fn get(&self, name: &str) -> Option<&Group> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.0.iter()
    }

    /// Enters a member and starts a rebalance if that changes anything. The receiver gets the
    /// member's place once everybody is there; it is dropped unanswered if the member is removed.
    pub(crate) fn join(
        &mut self,
        application: Application,
    ) -> Result<oneshot::Receiver<Joined>, ResponseError> {
        let now = Instant::now();
        let group = self.0.entry(application.group.clone()).or_insert_with(|| Group::new(now));
        if !application.member.is_empty() && !group.members.contains_key(&application.member) {
            return Err(ResponseError::UnknownMemberId);
        }
        if !group.accepts(&application) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let (sender, receiver) = oneshot::channel();
        if group.already_in(&application) {
            if let Some(member) = group.members.get_mut(&application.member) {
                member.heard = now;
            }
            // A receiver that is gone will join again.
            drop(sender.send(group.place(&application.member)));
            return Ok(receiver);
        }
        let name = if application.member.is_empty() {
            format!("{}-{}", application.client, uuid::Uuid::new_v4())
        } else {
            application.member
        };
        group.protocol_type = application.protocol_type;
        let member = Member {
            client: application.client,
            assignment: Bytes::new(),
            protocols: application.protocols,
            session_timeout: application.session_timeout,
            rebalance_timeout: application.rebalance_timeout,
            heard: now,
            joining: Some(sender),
            syncing: None,
        };
        group.members.insert(name, member);
        group.rebalance(now);
        Ok(receiver)
    }

    /// Takes the leader's `assignments`; the receiver gets the member's own once they are known.
    pub(crate) fn sync(
        &mut self,
        group: &str,
        generation: i32,
        member: &str,
        assignments: Vec<(String, Bytes)>,
    ) -> Result<oneshot::Receiver<Synced>, ResponseError> {
        let group = self.member_of(group, generation, member)?;
        let (sender, receiver) = oneshot::channel();
        if let Some(member) = group.members.get_mut(member) {
            member.syncing = Some(sender);
        }
        match group.state {
            GroupState::Empty | GroupState::PreparingRebalance => {
                group.answer_syncs(Err(ResponseError::RebalanceInProgress));
            }
            GroupState::Stable => group.answer_syncs(Ok(())),
            GroupState::CompletingRebalance if group.leader == member => {
                for (name, assignment) in assignments {
                    if let Some(member) = group.members.get_mut(&name) {
                        member.assignment = assignment;
                    }
                }
                group.state = GroupState::Stable;
                group.answer_syncs(Ok(()));
            }
            GroupState::CompletingRebalance => {}
        }
        Ok(receiver)
    }

    /// # Errors
    /// `RebalanceInProgress` tells the member to join again.
    pub(crate) fn heartbeat(
        &mut self,
        group: &str,
        generation: i32,
        member: &str,
    ) -> Result<(), ResponseError> {
        match self.member_of(group, generation, member)?.state {
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    pub(crate) fn leave(&mut self, group: &str, member: &str) -> Result<(), ResponseError> {
        let group = self.0.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        group.members.remove(member).ok_or(ResponseError::UnknownMemberId)?;
        group.rebalance(Instant::now());
        Ok(())
    }

    /// May this member of this generation commit offsets? A client that manages its partitions
    /// itself names neither, and may as long as nobody is in the group.
    pub(crate) fn check_commit(
        &mut self,
        group: &str,
        generation: i32,
        member: &str,
    ) -> Result<(), ResponseError> {
        if generation < 0 && member.is_empty() {
            let taken = self.0.get(group).is_some_and(|group| !group.members.is_empty());
            return if taken { Err(ResponseError::UnknownMemberId) } else { Ok(()) };
        }
        self.member_of(group, generation, member).map(|_| ())
    }

    /// Removes members that fell silent and completes rebalances that are due.
    pub(crate) fn expire(&mut self, now: Instant) {
        for (name, group) in &mut self.0 {
            let before = group.members.len();
            group.members.retain(|id, member| {
                let alive = member.joining.is_some()
                    || member.syncing.is_some()
                    || now.duration_since(member.heard) < member.session_timeout;
                if !alive {
                    tracing::info!(group = name, member = id, "removed a silent group member");
                }
                alive
            });
            let leader_late =
                group.state == GroupState::CompletingRebalance && now > group.deadline;
            if group.members.len() != before || leader_late {
                group.rebalance(now);
            } else {
                group.complete_if_due(now);
            }
        }
    }

    /// The group, if `member` belongs to its current generation; notes that it was heard of.
    fn member_of(
        &mut self,
        group: &str,
        generation: i32,
        member: &str,
    ) -> Result<&mut Group, ResponseError> {
        let group = self.0.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        let found = group.members.get_mut(member).ok_or(ResponseError::UnknownMemberId)?;
        if group.generation != generation {
            return Err(ResponseError::IllegalGeneration);
        }
        found.heard = Instant::now();
        Ok(group)
    }
}

impl Group {
    fn new(now: Instant) -> Group {
        Group {
            state: GroupState::Empty,
            protocol_type: String::new(),
            protocol: String::new(),
            members: BTreeMap::new(),
            generation: 0,
            leader: String::new(),
            not_before: now,
            deadline: now,
        }
    }

    /// Is there an assignor that the applicant and all members know?
    fn accepts(&self, application: &Application) -> bool {
        let others = || self.members.iter().filter(|(name, _)| **name != application.member);
        let same_type =
            others().next().is_none() || self.protocol_type == application.protocol_type;
        same_type
            && application
                .protocols
                .iter()
                .any(|(name, _)| others().all(|(_, member)| member.supports(name)))
    }

    /// A follower that says the same as before, because it missed the answer, disturbs nobody.
    fn already_in(&self, application: &Application) -> bool {
        matches!(self.state, GroupState::Stable | GroupState::CompletingRebalance)
            && application.member != self.leader
            && self
                .members
                .get(&application.member)
                .is_some_and(|member| member.protocols == application.protocols)
    }

    fn place(&self, member: &str) -> Joined {
        let members = if member == self.leader {
            let subscription = |member: &Member| member.subscription(&self.protocol);
            self.members.iter().map(|(id, member)| (id.clone(), subscription(member))).collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member: member.to_owned(),
            members,
        }
    }

    fn longest_rebalance(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn rebalance(&mut self, now: Instant) {
        if self.state != GroupState::PreparingRebalance {
            let first = self.state == GroupState::Empty;
            self.not_before = if first { now + FIRST_JOIN_DELAY } else { now };
            self.deadline = now + self.longest_rebalance();
            self.state = GroupState::PreparingRebalance;
            self.answer_syncs(Err(ResponseError::RebalanceInProgress));
        }
        self.complete_if_due(now);
    }

    fn complete_if_due(&mut self, now: Instant) {
        if self.state != GroupState::PreparingRebalance || now < self.not_before {
            return;
        }
        if now >= self.deadline {
            self.members.retain(|_, member| member.joining.is_some());
        }
        if self.members.values().any(|member| member.joining.is_none()) {
            return;
        }
        self.generation += 1;
        let Some(first) = self.members.keys().next() else {
            self.state = GroupState::Empty;
            return;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first.clone();
        }
        self.protocol = self.common_protocol();
        self.state = GroupState::CompletingRebalance;
        self.deadline = now + self.longest_rebalance();
        let places: Vec<Joined> = self.members.keys().map(|member| self.place(member)).collect();
        for (member, place) in self.members.values_mut().zip(places) {
            member.heard = now;
            member.assignment = Bytes::new();
            if let Some(joining) = member.joining.take() {
                // A receiver that is gone falls silent and is removed like any other.
                drop(joining.send(place));
            }
        }
    }

    /// The leader's favourite among what all members support.
    fn common_protocol(&self) -> String {
        let Some(leader) = self.members.get(&self.leader) else { return String::new() };
        leader
            .protocols
            .iter()
            .map(|(name, _)| name)
            .find(|name| self.members.values().all(|member| member.supports(name)))
            .cloned()
            .unwrap_or_default()
    }

    /// Answers all waiting members with their assignments or with the same error.
    fn answer_syncs(&mut self, result: Result<(), ResponseError>) {
        for member in self.members.values_mut() {
            if let Some(syncing) = member.syncing.take() {
                member.heard = Instant::now();
                drop(syncing.send(result.map(|()| member.assignment.clone())));
            }
        }
    }
}

impl Member {
    fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(crate) fn subscription(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, subscription)| subscription.clone()).unwrap_or_default()
    }
}
