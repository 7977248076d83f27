//! One group: who is in it, and its way from one generation to the next.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Application, Caller, Entry, GroupState, Joined, Place, Subscriber, Synced};

/// An empty group waits this long for more members before its first generation.
const FIRST_JOIN_DELAY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) state: GroupState,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: BTreeMap<String, Member>,
    /// The member that is each static member's present process.
    pub(super) instances: HashMap<String, String>,
    /// Names given to clients that have not joined under them yet, and how long they are kept.
    named: HashMap<String, Instant>,
    pub(super) generation: i32,
    pub(super) leader: String,
    /// A rebalance does not complete before this ...
    not_before: Instant,
    /// ... and goes on without those who are missing by this.
    deadline: Instant,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client: String,
    pub(crate) instance: Option<String>,
    pub(crate) assignment: Bytes,
    /// Name and subscription for each assignor it can work with, best first.
    protocols: Vec<(String, Bytes)>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    pub(super) heard: Instant,
    joining: Option<oneshot::Sender<Place>>,
    pub(super) syncing: Option<oneshot::Sender<Synced>>,
}

impl Group {
    pub(super) fn new(now: Instant) -> Group {
        Group {
            state: GroupState::Empty,
            protocol_type: String::new(),
            protocol: String::new(),
            members: BTreeMap::new(),
            instances: HashMap::new(),
            named: HashMap::new(),
            generation: 0,
            leader: String::new(),
            not_before: now,
            deadline: now,
        }
    }

    pub(super) fn join(
        &mut self,
        application: Application,
        now: Instant,
    ) -> Result<Entry, ResponseError> {
        let is_new = application.member.is_empty();
        let caller =
            Caller { member: &application.member, instance: application.instance.as_deref() };
        if !is_new && !self.named.contains_key(&application.member) {
            self.identify(caller)?;
        }
        if !self.accepts(&application) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let predecessor = caller.instance.and_then(|instance| self.instances.get(instance));
        if let (true, Some(predecessor)) = (is_new, predecessor) {
            let predecessor = predecessor.clone();
            return Ok(Entry::Waits(self.replace(&predecessor, application, now)));
        }
        if is_new && application.instance.is_none() && application.takes_name_first {
            let name = format!("{}-{}", application.client, Uuid::new_v4());
            self.named.insert(name.clone(), now + application.session_timeout);
            return Ok(Entry::Named(name));
        }
        let (sender, receiver) = oneshot::channel();
        if self.already_in(&application) {
            if let Some(member) = self.members.get_mut(&application.member) {
                member.heard = now;
            }
            // A receiver that is gone will join again.
            drop(sender.send(Ok(self.place(&application.member))));
            return Ok(Entry::Waits(receiver));
        }
        self.enter(application, sender, now);
        self.rebalance(now);
        Ok(Entry::Waits(receiver))
    }

    /// Notes who somebody is and what they want; the caller begins the rebalance.
    fn enter(
        &mut self,
        application: Application,
        joining: oneshot::Sender<Place>,
        now: Instant,
    ) -> String {
        let name = match (&application.instance, application.member.is_empty()) {
            (_, false) => application.member.clone(),
            (Some(instance), true) => format!("{instance}-{}", Uuid::new_v4()),
            (None, true) => format!("{}-{}", application.client, Uuid::new_v4()),
        };
        self.named.remove(&name);
        if let Some(instance) = &application.instance {
            self.instances.insert(instance.clone(), name.clone());
        }
        self.protocol_type = application.protocol_type;
        let assignment = self.members.get(&name).map(|member| member.assignment.clone());
        let member = Member {
            client: application.client,
            instance: application.instance,
            assignment: assignment.unwrap_or_default(),
            protocols: application.protocols,
            session_timeout: application.session_timeout,
            rebalance_timeout: application.rebalance_timeout,
            heard: now,
            joining: Some(joining),
            syncing: None,
        };
        self.members.insert(name.clone(), member);
        name
    }

    /// A static member's new process takes the place of the one before. In a settled group nobody
    /// else notices.
    fn replace(
        &mut self,
        predecessor: &str,
        application: Application,
        now: Instant,
    ) -> oneshot::Receiver<Place> {
        let (sender, receiver) = oneshot::channel();
        let can_skip = application.can_skip_assignment;
        let leader_before = self.leader.clone();
        let old = self.members.remove(predecessor);
        let name = self.enter(application, sender, now);
        if self.leader == predecessor {
            self.leader.clone_from(&name);
        }
        let mut assignment = Bytes::new();
        if let Some(mut old) = old {
            old.dismiss(ResponseError::FencedInstanceId);
            assignment = old.assignment;
        }
        let settled = self.state == GroupState::Stable && self.common_protocol() == self.protocol;
        if !settled {
            self.rebalance(now);
            return receiver;
        }
        let mut place = self.place(&name);
        if place.leader == name {
            place.skip_assignment = can_skip;
            if !can_skip {
                // An older client that leads would assign anew; let it believe that it follows.
                place.leader = leader_before;
                place.members.clear();
            }
        }
        if let Some(member) = self.members.get_mut(&name) {
            member.assignment = assignment;
            member.answer_join(place);
        }
        receiver
    }

    /// # Errors
    /// `UnknownMemberId` for somebody who is not in the group, `FencedInstanceId` for a process
    /// of a static member that was replaced.
    pub(super) fn identify(&self, caller: Caller<'_>) -> Result<(), ResponseError> {
        if let Some(instance) = caller.instance {
            let holder = self.instances.get(instance).ok_or(ResponseError::UnknownMemberId)?;
            if holder != caller.member {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        let known = self.members.contains_key(caller.member);
        if known { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    /// Says whether the member counted; a name that was only given out did not.
    pub(super) fn remove(&mut self, member: &str) -> bool {
        self.named.remove(member);
        self.instances.retain(|_, holder| holder != member);
        self.members.remove(member).is_some()
    }

    pub(super) fn expire(&mut self, name: &str, now: Instant) {
        self.named.retain(|_, kept_to| now < *kept_to);
        let silent: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| !member.is_alive(now))
            .map(|(id, _)| id.clone())
            .collect();
        for member in &silent {
            tracing::info!(group = name, member, "removed a silent group member");
            self.remove(member);
        }
        let leader_late = self.state == GroupState::CompletingRebalance && now > self.deadline;
        if !silent.is_empty() || leader_late {
            self.rebalance(now);
        } else {
            self.complete_if_due(now);
        }
    }

    /// Is there an assignor that the applicant and all members know?
    fn accepts(&self, application: &Application) -> bool {
        let same = |name: &str, member: &Member| {
            name == application.member
                || application.instance.is_some() && member.instance == application.instance
        };
        let others = || self.members.iter().filter(|(name, member)| !same(name, member));
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
            let subscriber = |(id, member): (&String, &Member)| Subscriber {
                member: id.clone(),
                instance: member.instance.clone(),
                subscription: member.subscription(&self.protocol),
            };
            self.members.iter().map(subscriber).collect()
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
            skip_assignment: false,
        }
    }

    fn longest_rebalance(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    pub(super) fn rebalance(&mut self, now: Instant) {
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
            // A static member keeps its place until its session ends; it may be restarting.
            let stays = |member: &Member| member.joining.is_some() || member.instance.is_some();
            self.members.retain(|_, member| stays(member));
            self.named.clear();
        } else if !self.named.is_empty()
            || self.members.values().any(|member| member.joining.is_none())
        {
            return;
        }
        self.generation += 1;
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            return;
        }
        let joined = |member: &Member| member.joining.is_some();
        if !self.members.get(&self.leader).is_some_and(joined) {
            let first = self.members.iter().find(|(_, member)| joined(member));
            let Some((first, _)) = first else {
                // Nobody is here but static members that restart: wait for one of them.
                self.deadline = now + self.longest_rebalance();
                return;
            };
            self.leader = first.clone();
        }
        self.protocol = self.common_protocol();
        self.state = GroupState::CompletingRebalance;
        self.deadline = now + self.longest_rebalance();
        let places: Vec<Joined> = self.members.keys().map(|member| self.place(member)).collect();
        for (member, place) in self.members.values_mut().zip(places) {
            member.assignment = Bytes::new();
            if member.joining.is_some() {
                member.heard = now;
                member.answer_join(place);
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
    pub(super) fn answer_syncs(&mut self, result: Result<(), ResponseError>) {
        for member in self.members.values_mut() {
            if let Some(syncing) = member.syncing.take() {
                member.heard = Instant::now();
                drop(syncing.send(result.map(|()| member.assignment.clone())));
            }
        }
    }
}

impl Member {
    fn is_alive(&self, now: Instant) -> bool {
        self.joining.is_some()
            || self.syncing.is_some()
            || now.duration_since(self.heard) < self.session_timeout
    }

    fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// A receiver that is gone falls silent and is removed like any other.
    fn answer_join(&mut self, place: Joined) {
        if let Some(joining) = self.joining.take() {
            drop(joining.send(Ok(place)));
        }
    }

    fn dismiss(&mut self, error: ResponseError) {
        if let Some(joining) = self.joining.take() {
            drop(joining.send(Err(error)));
        }
        if let Some(syncing) = self.syncing.take() {
            drop(syncing.send(Err(error)));
        }
    }

    pub(crate) fn subscription(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, subscription)| subscription.clone()).unwrap_or_default()
    }
}
