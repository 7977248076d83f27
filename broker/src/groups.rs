//! Consumer groups with Kafka's classic protocol: members join, the leader assigns, everyone
//! syncs, heartbeats keep them in. Static members (KIP-345) keep their place over a restart of
//! their process. Kept in memory; committed offsets are metadata.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use group::Group;

mod group;
#[cfg(test)]
mod tests;

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

/// What a client says when it joins.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) group: String,
    /// Empty for a new member.
    pub(crate) member: String,
    /// A static member's own name, which outlives its process.
    pub(crate) instance: Option<String>,
    pub(crate) client: String,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    /// The client joins again with the name it is given, so that one whose connection breaks
    /// leaves no member behind.
    pub(crate) takes_name_first: bool,
    /// The client knows that a leader may be told to assign nothing.
    pub(crate) can_skip_assignment: bool,
}

/// A member's place in a new generation.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member: String,
    /// Every member; for the leader only.
    pub(crate) members: Vec<Subscriber>,
    /// The leader came back and the assignments stand.
    pub(crate) skip_assignment: bool,
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) subscription: Bytes,
}

/// What becomes of an application.
#[derive(Debug)]
pub(crate) enum Entry {
    /// The member's place comes once everybody is there; the sender is dropped unanswered if the
    /// member is removed.
    Waits(oneshot::Receiver<Place>),
    /// The client has to join again under this name.
    Named(String),
}

pub(crate) type Place = Result<Joined, ResponseError>;
pub(crate) type Synced = Result<Bytes, ResponseError>;

/// Whom a request speaks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
}

#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<String, Group>);

impl Groups {
    pub(crate) fn get(&self, name: &str) -> Option<&Group> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.0.iter()
    }

    /// Forgets a group.
    ///
    /// # Errors
    /// `NonEmptyGroup` while it has members.
    pub(crate) fn delete(&mut self, name: &str) -> Result<bool, ResponseError> {
        match self.0.get(name) {
            Some(group) if !group.members.is_empty() => Err(ResponseError::NonEmptyGroup),
            Some(_) => Ok(self.0.remove(name).is_some()),
            None => Ok(false),
        }
    }

    /// Enters a member and starts a rebalance if that changes anything.
    pub(crate) fn join(&mut self, application: Application) -> Result<Entry, ResponseError> {
        let now = Instant::now();
        if !application.member.is_empty() && !self.0.contains_key(&application.group) {
            return Err(ResponseError::UnknownMemberId);
        }
        let group = self.0.entry(application.group.clone()).or_insert_with(|| Group::new(now));
        group.join(application, now)
    }

    /// Takes the leader's `assignments`; the receiver gets the member's own once they are known.
    pub(crate) fn sync(
        &mut self,
        group: &str,
        generation: i32,
        caller: Caller<'_>,
        assignments: Vec<(String, Bytes)>,
    ) -> Result<oneshot::Receiver<Synced>, ResponseError> {
        let group = self.member_of(group, generation, caller)?;
        let (sender, receiver) = oneshot::channel();
        if let Some(member) = group.members.get_mut(caller.member) {
            member.syncing = Some(sender);
        }
        match group.state {
            GroupState::Empty | GroupState::PreparingRebalance => {
                group.answer_syncs(Err(ResponseError::RebalanceInProgress));
            }
            GroupState::Stable => group.answer_syncs(Ok(())),
            GroupState::CompletingRebalance if group.leader == caller.member => {
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
        caller: Caller<'_>,
    ) -> Result<(), ResponseError> {
        match self.member_of(group, generation, caller)?.state {
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// An administrator may name a static member by its instance alone.
    pub(crate) fn leave(&mut self, group: &str, caller: Caller<'_>) -> Result<(), ResponseError> {
        let group = self.0.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        let member = match caller.instance {
            Some(instance) if caller.member.is_empty() => {
                group.instances.get(instance).cloned().ok_or(ResponseError::UnknownMemberId)?
            }
            _ => {
                group.identify(caller)?;
                caller.member.to_owned()
            }
        };
        if group.remove(&member) {
            group.rebalance(Instant::now());
        }
        Ok(())
    }

    /// May this member of this generation commit offsets? A client that manages its partitions
    /// itself names neither, and may as long as nobody is in the group.
    pub(crate) fn check_commit(
        &mut self,
        group: &str,
        generation: i32,
        caller: Caller<'_>,
    ) -> Result<(), ResponseError> {
        if generation < 0 && caller.member.is_empty() && caller.instance.is_none() {
            let taken = self.0.get(group).is_some_and(|group| !group.members.is_empty());
            return if taken { Err(ResponseError::UnknownMemberId) } else { Ok(()) };
        }
        self.member_of(group, generation, caller).map(|_| ())
    }

    /// Removes members that fell silent and completes rebalances that are due. Says whether any
    /// group is on its way to a new generation.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        for (name, group) in &mut self.0 {
            group.expire(name, now);
        }
        let settled = |group: &Group| matches!(group.state, GroupState::Empty | GroupState::Stable);
        !self.0.values().all(settled)
    }

    /// The group, if the caller belongs to its current generation; notes that it was heard of.
    fn member_of(
        &mut self,
        group: &str,
        generation: i32,
        caller: Caller<'_>,
    ) -> Result<&mut Group, ResponseError> {
        let group = self.0.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        group.identify(caller)?;
        if group.generation != generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if let Some(member) = group.members.get_mut(caller.member) {
            member.heard = Instant::now();
        }
        Ok(group)
    }
}
