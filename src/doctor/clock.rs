//! The clock of this machine against those of others.

use super::{
    finding::{Check, Finding},
    place::Setup,
    within::QUESTION,
};
use futures::future::join_all;
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::{Client, Url, header::DATE, redirect::Policy};

/// Below that it is nobody's trouble, ms.
const NOTICED: i64 = 5_000;
/// From there on signatures are refused, ms.
const REFUSED: i64 = 15 * 60 * 1000;

/// Asks whoever tells the time with an answer, whatever the answer is.
pub(super) async fn clock(setup: &Setup) -> Finding {
    let asked = [
        ("the store", setup.s3.at()),
        ("the registry", setup.registry.at()),
        ("the detector", setup.rekognition.at()),
    ];
    let asked = asked.into_iter().filter_map(|(name, at)| Some((name, at?)));
    let asked: Vec<_> = asked.collect();
    if asked.is_empty() {
        return Finding::not_looked_at(Check::Clock, "nothing that tells the time runs");
    }
    let ahead = join_all(asked.into_iter().map(async |(name, at)| Some((name, ahead(at).await?))));
    judged(&ahead.await.into_iter().flatten().collect::<Vec<_>>())
}

/// How far this clock is ahead of a server's, ms, as far as that can be told: a server tells whole
/// seconds, and its answer took some time.
async fn ahead(at: &str) -> Option<i64> {
    let url = Url::parse(at).ok()?;
    let client = Client::builder().timeout(QUESTION).redirect(Policy::none());
    let local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    let client = if local { client.no_proxy() } else { client };
    let before = Timestamp::now().as_millisecond();
    let answer = client.build().ok()?.get(url).send().await.ok()?;
    let after = Timestamp::now().as_millisecond();
    let date = answer.headers().get(DATE)?.to_str().ok()?;
    let theirs = DateTimeParser::new().parse_timestamp(date).ok()?.as_millisecond();
    Some(apart((before, after), (theirs, theirs + 1000)))
}

/// The least that a moment in `ours` is after one in `theirs`, or before it.
fn apart(ours: (i64, i64), theirs: (i64, i64)) -> i64 {
    if ours.0 > theirs.1 {
        ours.0 - theirs.1
    } else if ours.1 < theirs.0 {
        ours.1 - theirs.0
    } else {
        0
    }
}

fn judged(ahead: &[(&str, i64)]) -> Finding {
    let check = Check::Clock;
    let Some((name, worst)) = ahead.iter().max_by_key(|(_, ms)| ms.abs()) else {
        return Finding::not_looked_at(check, "nobody tells the time");
    };
    let side = if *worst > 0 { "ahead of" } else { "behind" };
    let found = format!("this machine is {} s {side} {name}", worst.abs() / 1000);
    let set = "set the clock of this machine, or of that one, by NTP";
    match worst.abs() {
        REFUSED.. => Finding::failed(check, format!("{found}: requests are refused"), set),
        NOTICED.. => Finding::warning(check, found, set),
        _ => {
            let names: Vec<_> = ahead.iter().map(|(name, _)| *name).collect();
            Finding::ok(check, format!("within 5 s of {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn clocks_are_apart_only_as_far_as_it_can_be_told() {
        assert_eq!(apart((10_000, 10_100), (10_000, 11_000)), 0);
        assert_eq!(apart((20_000, 20_100), (10_000, 11_000)), 9_000);
        assert_eq!(apart((10_000, 14_000), (20_000, 21_000)), -6_000);
        for (ms, state) in [
            (0, State::Ok),
            (-4_999, State::Ok),
            (5_000, State::Warning),
            (-899_999, State::Warning),
            (900_000, State::Failed),
        ] {
            assert_eq!(judged(&[("the registry", 0), ("the store", ms)]).state, state, "{ms}");
        }
        assert_eq!(judged(&[]).state, State::NotLookedAt);
    }
}
