//! The object store, and what the keys may do there.

use super::{
    finding::{Check, Finding},
    place::Setup,
    within::answer,
};
use crate::access;
use bytes::Bytes;
use connectors::{Unfit, Why, s3::S3};
use engine::Trouble;
use futures::{TryStreamExt, future::join_all};
use ports::{ObjectRef, Put, PutOutcome, Store};
use uuid::Uuid;

pub(super) const CHECKS: [Check; 4] =
    [Check::Bucket, Check::Rights, Check::Conditions, Check::Footage];
pub(super) const S3_SETTING: &str = "REELMILL_S3 (--s3)";
pub(super) const BUCKET: &str = "REELMILL_BUCKET (--bucket)";
pub(super) const KEYS: &str =
    "REELMILL_ACCESS_KEY and REELMILL_SECRET_KEY, or the role (REELMILL_CREDENTIALS)";
const PROBE: &[u8] = b"reelmill doctor was here, and should have removed this\n";

pub(super) async fn store(setup: &Setup) -> Vec<Finding> {
    let unseen = |because: &str| {
        let because = because.to_owned();
        CHECKS[1..].iter().map(move |check| Finding::not_looked_at(*check, because.clone()))
    };
    let Some(at) = setup.s3.at() else {
        let because = setup.embedded("the store");
        let first = Finding::ok(Check::Bucket, because.clone());
        return std::iter::once(first).chain(unseen(&because)).collect();
    };
    let (first, store) = bucket(setup, at).await;
    let Some(store) = store else {
        return std::iter::once(first).chain(unseen("the bucket cannot be used")).collect();
    };
    let ((rights, conditions), footage) =
        tokio::join!(probed(&store, setup.bucket()), footage(setup, &store));
    vec![first, rights, conditions, footage]
}

/// Whether the bucket can be listed: address, keys, name and clock show here.
async fn bucket(setup: &Setup, at: &str) -> (Finding, Option<S3>) {
    let (check, name) = (Check::Bucket, setup.bucket());
    let store = match access::s3(at, &setup.keys(&setup.s3), setup.region()).await {
        Ok(store) => store,
        Err(failure) => {
            return (Finding::failed(check, failure.to_string(), format!("see {KEYS}")), None);
        }
    };
    match answer(store.look(name)).await {
        Ok(_) => (Finding::ok(check, format!("{name} at {at} can be listed")), Some(store)),
        Err(unfit) => {
            let (found, remedy) = refused(&unfit, &format!("bucket {name} at {at}"), BUCKET);
            (Finding::failed(check, found, remedy), None)
        }
    }
}

/// What to look at, by what was said.
fn refused(unfit: &Unfit, what: &str, bucket: &str) -> (String, String) {
    let said = &unfit.said;
    match unfit.why {
        Why::Unreached => (
            format!("nothing answers for {what}: {said}"),
            format!("start the store, or correct {S3_SETTING}"),
        ),
        Why::Foreign => (
            format!("what answers for {what} is no object store: {said}"),
            format!("correct {S3_SETTING}"),
        ),
        Why::NoBucket => {
            (format!("there is no {what}: {said}"), format!("make the bucket, or correct {bucket}"))
        }
        Why::Keys => {
            (format!("the keys are not accepted for {what}: {said}"), format!("correct {KEYS}"))
        }
        Why::Clock => (
            format!("the clock of this machine is wrong, says the store of {what}: {said}"),
            "set the clock, by NTP".to_owned(),
        ),
        Why::Rights => (
            format!("the keys may not list {what}: {said}"),
            format!("allow s3:ListBucket to them, or set other {KEYS}"),
        ),
        Why::Region => (
            format!("another place is in charge of {what}: {said}"),
            format!(
                "set REELMILL_REGION (--region) to the bucket's, and {S3_SETTING} to its endpoint"
            ),
        ),
        Why::Busy => (
            format!("the store cannot serve {what} now: {said}"),
            "try again, and see its log".into(),
        ),
        Why::Other => (format!("{what} cannot be listed: {said}"), format!("see {S3_SETTING}")),
    }
}

/// Writes an object of our own, reads it, tries to write it again, and removes it.
async fn probed(store: &S3, bucket: &str) -> (Finding, Finding) {
    let object = ObjectRef::new(bucket, format!("doctor/{}", Uuid::new_v4()));
    let body = || Bytes::from_static(PROBE);
    let written = answer(store.write(&object, body(), Put::default())).await;
    if let Err(trouble) = written {
        // It may be there all the same.
        answer(remove(store, &object)).await.ok();
        let rights = denied("written", "s3:PutObject", bucket, &trouble);
        return (rights, Finding::not_looked_at(Check::Conditions, "no object can be written"));
    }
    let only = Put { only_if_absent: true, ..Put::default() };
    let (read, again) = tokio::join!(
        answer(store.read(&object, PROBE.len() as u64)),
        answer(store.write(&object, body(), only)),
    );
    let removed = answer(remove(store, &object)).await;
    let rights = match (read, removed) {
        (Err(trouble), _) => denied("read", "s3:GetObject", bucket, &trouble),
        (Ok(read), _) if read != PROBE => Finding::failed(
            Check::Rights,
            format!("{object} was read otherwise than it was written"),
            "see what stands between here and the store",
        ),
        (_, Err(trouble)) => denied("removed", "s3:DeleteObject", &object.to_string(), &trouble),
        (Ok(_), Ok(())) => Finding::ok(Check::Rights, "to write, read, list and remove objects"),
    };
    (rights, conditional(again))
}

async fn remove(store: &S3, object: &ObjectRef) -> Result<(), Trouble> {
    store.delete(&object.bucket, std::slice::from_ref(&object.key)).await
}

fn denied(what: &str, right: &str, place: &str, trouble: &Trouble) -> Finding {
    Finding::failed(
        Check::Rights,
        format!("objects cannot be {what}, see {place}: {trouble}"),
        format!("allow {right} to the keys of {KEYS}"),
    )
}

/// Of several who claim a piece of work, the store lets one win.
fn conditional(again: Result<PutOutcome, Trouble>) -> Finding {
    let check = Check::Conditions;
    let other = "use a store that keeps to If-None-Match, such as Amazon S3 or VersityGW";
    match again {
        Ok(PutOutcome::Exists) => Finding::ok(check, "If-None-Match is kept to"),
        Ok(PutOutcome::Written { .. }) => Finding::failed(
            check,
            "an object was written over although If-None-Match forbade it: work would be done twice",
            other,
        ),
        Err(trouble) => {
            Finding::failed(check, format!("If-None-Match is not understood: {trouble}"), other)
        }
    }
}

/// Whether footage of the other buckets can be read.
async fn footage(setup: &Setup, store: &S3) -> Finding {
    const SETTING: &str = "REELMILL_ALLOWED_BUCKETS (--allowed-buckets)";
    let check = Check::Footage;
    let others = &setup.args.mill.allowed_buckets;
    let looks = others.iter().map(async |bucket| (bucket, readable(store, bucket).await));
    let mut empty = Vec::new();
    for (bucket, looked) in join_all(looks).await {
        match looked {
            Ok(true) => {}
            Ok(false) => empty.push(bucket.as_str()),
            Err(Unreadable::Bucket(unfit)) => {
                let (found, remedy) = refused(&unfit, &format!("bucket {bucket}"), SETTING);
                return Finding::failed(check, found, remedy);
            }
            Err(Unreadable::Object(trouble)) => {
                return Finding::failed(
                    check,
                    format!("footage of {bucket} cannot be read: {trouble}"),
                    format!("allow s3:GetObject to the keys, or correct {SETTING}"),
                );
            }
        }
    }
    let names = others.join(", ");
    match (others.is_empty(), &empty[..]) {
        (true, _) => Finding::ok(check, "comes from the mill's own bucket only"),
        (_, []) => Finding::ok(check, format!("can be read from {names}, too")),
        (_, empty) => Finding::ok(
            check,
            format!("{names} can be listed; {} is empty, so no object was read", empty.join(", ")),
        ),
    }
}

enum Unreadable {
    Bucket(Unfit),
    Object(Trouble),
}

/// Lists a bucket, and reads a byte of an object where it has one; whether it has.
async fn readable(store: &S3, bucket: &str) -> Result<bool, Unreadable> {
    let Some(key) = answer(store.look(bucket)).await.map_err(Unreadable::Bucket)? else {
        return Ok(false);
    };
    let object = ObjectRef::new(bucket, key);
    let byte = async {
        let stream = store.stream(&object, Some(0..1)).await?;
        stream.body.try_collect::<Vec<_>>().await
    };
    answer(byte).await.map(|_| true).map_err(Unreadable::Object)
}
