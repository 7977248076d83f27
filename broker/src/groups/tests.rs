#![expect(
    clippy::panic,
    reason = "helpers fail their test by panicking, as the tests themselves do"
)]

use super::*;

const SESSION: Duration = Duration::from_secs(10);

fn new_member(instance: Option<&str>) -> Application {
    Application {
        group: "crew".to_owned(),
        member: String::new(),
        instance: instance.map(str::to_owned),
        client: "client".to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
        session_timeout: SESSION,
        rebalance_timeout: SESSION,
        takes_name_first: false,
        can_skip_assignment: false,
    }
}

fn again(member: &str, instance: Option<&str>) -> Application {
    Application { member: member.to_owned(), ..new_member(instance) }
}

fn caller<'a>(member: &'a str, instance: Option<&'a str>) -> Caller<'a> {
    Caller { member, instance }
}

fn waits(entry: Result<Entry, ResponseError>) -> oneshot::Receiver<Place> {
    match entry {
        Ok(Entry::Waits(place)) => place,
        other => panic!("{other:?}"),
    }
}

/// A group of these static members, settled; their places in the same order.
fn settled(groups: &mut Groups, instances: &[&str]) -> Vec<Joined> {
    let places: Vec<_> =
        instances.iter().map(|name| waits(groups.join(new_member(Some(name))))).collect();
    groups.expire(Instant::now() + Duration::from_secs(1));
    let joined: Vec<Joined> =
        places.into_iter().map(|mut place| place.try_recv().unwrap().unwrap()).collect();
    let assignments: Vec<_> = joined
        .iter()
        .map(|place| (place.member.clone(), Bytes::from(place.member.clone())))
        .collect();
    let generation = joined[0].generation;
    let leader = joined[0].leader.clone();
    let mut synced = groups.sync("crew", generation, caller(&leader, None), assignments).unwrap();
    assert_eq!(synced.try_recv().unwrap().unwrap(), leader);
    joined
}

#[test]
fn a_new_member_gets_a_name_first_and_leaves_nothing_behind_if_it_never_comes_back() {
    let mut groups = Groups::default();
    let careful = || Application { takes_name_first: true, ..new_member(None) };
    let Ok(Entry::Named(name)) = groups.join(careful()) else { panic!("no name") };
    let Ok(Entry::Named(lost)) = groups.join(careful()) else { panic!("no name") };
    assert_ne!(name, lost);
    assert!(groups.get("crew").unwrap().members.is_empty());
    let mut place = waits(groups.join(again(&name, None)));
    groups.expire(Instant::now() + Duration::from_secs(1));
    assert!(place.try_recv().is_err(), "the other one may still come");
    groups.expire(Instant::now() + SESSION);
    assert_eq!(place.try_recv().unwrap().unwrap().member, name);
    assert_eq!(groups.join(again(&lost, None)).unwrap_err(), ResponseError::UnknownMemberId);
}

#[test]
fn a_static_member_that_restarts_keeps_its_work_and_disturbs_nobody() {
    let mut groups = Groups::default();
    let before = settled(&mut groups, &["a", "b"]);
    for (i, instance) in ["a", "b"].into_iter().enumerate() {
        let mut place = waits(groups.join(new_member(Some(instance))));
        let place = place.try_recv().expect("at once").unwrap();
        assert_eq!(place.generation, before[0].generation);
        assert_ne!(place.member, before[i].member);
        // An older client that leads must not believe so: it would assign anew.
        assert!(place.members.is_empty() && place.leader != place.member);
        let own = caller(&place.member, Some(instance));
        let mut synced = groups.sync("crew", place.generation, own, Vec::new()).unwrap();
        assert_eq!(synced.try_recv().unwrap().unwrap(), before[i].member, "its old assignment");
        assert_eq!(groups.heartbeat("crew", place.generation, own), Ok(()));
        let zombie = caller(&before[i].member, Some(instance));
        let fenced = Err(ResponseError::FencedInstanceId);
        assert_eq!(groups.heartbeat("crew", place.generation, zombie), fenced);
        assert_eq!(groups.check_commit("crew", place.generation, zombie), fenced);
    }
    let group = groups.get("crew").unwrap();
    assert_eq!((group.state, group.members.len()), (GroupState::Stable, 2));
}

#[test]
fn a_leader_that_restarts_and_knows_of_it_is_told_to_assign_nothing() {
    let mut groups = Groups::default();
    let before = settled(&mut groups, &["a"]);
    let modern = Application { can_skip_assignment: true, ..new_member(Some("a")) };
    let place = waits(groups.join(modern)).try_recv().unwrap().unwrap();
    assert!(place.skip_assignment);
    assert_eq!((&place.leader, place.members.len()), (&place.member, 1));
    assert_eq!(place.generation, before[0].generation);
}

#[test]
fn a_process_whose_place_is_taken_while_it_waits_is_told_so() {
    let mut groups = Groups::default();
    let mut first = waits(groups.join(new_member(Some("a"))));
    let mut second = waits(groups.join(new_member(Some("a"))));
    assert_eq!(first.try_recv().unwrap().unwrap_err(), ResponseError::FencedInstanceId);
    groups.expire(Instant::now() + Duration::from_secs(1));
    assert_eq!(second.try_recv().unwrap().unwrap().members.len(), 1);
}

#[test]
fn a_static_member_stays_through_a_rebalance_it_misses_until_its_session_ends() {
    let mut groups = Groups::default();
    let before = settled(&mut groups, &["a", "b"]);
    // A third one joins; only "a" notices.
    let mut third = waits(groups.join(new_member(None)));
    let mut rejoined = waits(groups.join(again(&before[0].member, Some("a"))));
    let group = groups.get("crew").unwrap();
    assert_eq!(group.state, GroupState::PreparingRebalance);
    let late = Instant::now() + SESSION - Duration::from_millis(1);
    groups.expire(late);
    assert!(third.try_recv().is_err(), "waits for b");
    // The others go on without it; its place is kept as long as its session.
    groups.expire(Instant::now() + SESSION);
    assert!(third.try_recv().unwrap().is_ok() && rejoined.try_recv().unwrap().is_ok());
    assert_eq!(groups.get("crew").unwrap().members.len(), 3);
    groups.expire(Instant::now() + SESSION + Duration::from_secs(2));
    let group = groups.get("crew").unwrap();
    assert_eq!(group.members.len(), 2);
    assert!(!group.members.contains_key(&before[1].member));
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance() {
    let mut groups = Groups::default();
    settled(&mut groups, &["a"]);
    assert_eq!(groups.delete("crew"), Err(ResponseError::NonEmptyGroup));
    let unknown = groups.leave("crew", caller("", Some("z")));
    assert_eq!(unknown, Err(ResponseError::UnknownMemberId));
    let impostor = groups.leave("crew", caller("someone", Some("a")));
    assert_eq!(impostor, Err(ResponseError::FencedInstanceId));
    assert_eq!(groups.leave("crew", caller("", Some("a"))), Ok(()));
    assert_eq!(groups.get("crew").unwrap().state, GroupState::Empty);
    assert_eq!(groups.delete("crew"), Ok(true));
}

#[test]
fn asking_for_an_unknown_member_creates_no_group() {
    let mut groups = Groups::default();
    let refused = groups.join(again("ghost", None));
    assert_eq!(refused.unwrap_err(), ResponseError::UnknownMemberId);
    assert!(groups.get("crew").is_none());
}
