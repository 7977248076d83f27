//! The schema registry and our schemas in it.

use super::{
    finding::{Check, Finding},
    place::Setup,
    within::{QUESTION, answer},
};
use connectors::registry::{ConfluentRegistry, Standing, Subject, without_secrets};
use engine::Trouble;
use futures::future::join_all;
use schemas::ALL;

pub(super) const CHECKS: [Check; 2] = [Check::Registry, Check::Schemas];
pub(super) const REGISTRY: &str = "REELMILL_REGISTRY (--registry)";
/// Old events are read for ever, and old and new processes run side by side.
const LEVEL: &str = "FULL_TRANSITIVE";

pub(super) async fn registry(setup: &Setup) -> Vec<Finding> {
    let [first, second] = CHECKS;
    let Some(at) = setup.registry.at() else {
        let because = setup.embedded("the registry");
        return vec![Finding::ok(first, because.clone()), Finding::not_looked_at(second, because)];
    };
    let shown = without_secrets(at);
    let asked = async {
        let registry = ConfluentRegistry::new(at)?;
        let subjects = answer::<_, Trouble>(registry.subjects(QUESTION)).await?;
        Ok::<_, Trouble>((registry, subjects))
    };
    match asked.await {
        Ok((registry, subjects)) => {
            let found = format!("{shown} answers: {} subjects", subjects.len());
            vec![Finding::ok(first, found), schemas(&registry).await]
        }
        Err(trouble) => {
            let found = format!("{shown} cannot be used: {trouble}");
            let remedy = format!(
                "start it, or correct {REGISTRY}, with its path, such as /apis/ccompat/v7 of Apicurio"
            );
            let because = "the registry cannot be asked";
            vec![Finding::failed(first, found, remedy), Finding::not_looked_at(second, because)]
        }
    }
}

async fn schemas(registry: &ConfluentRegistry) -> Finding {
    let looks = ALL.iter().map(|kind| async {
        let subject = format!("{}-value", kind.topic);
        let looked = answer::<_, Trouble>(registry.look(&subject, kind.schema, QUESTION)).await;
        (subject, looked)
    });
    let mut told = Vec::new();
    for (subject, looked) in join_all(looks).await {
        match looked {
            Ok(looked) => told.push((subject, looked)),
            Err(trouble) => {
                let found = format!("{subject} cannot be looked at: {trouble}");
                return Finding::failed(Check::Schemas, found, format!("see {REGISTRY}"));
            }
        }
    }
    judged(&told)
}

fn judged(told: &[(String, Subject)]) -> Finding {
    let check = Check::Schemas;
    let start = "they are registered when `run`, `serve` or `up` starts";
    for (subject, looked) in told {
        if let Standing::Breaks { version, why } = &looked.standing {
            return Finding::failed(
                check,
                format!("our schema of {subject} cannot follow version {version}: {why}"),
                format!("use the program that wrote there, or name another registry in {REGISTRY}"),
            );
        }
    }
    let of = |standing: Standing| {
        let those = told.iter().filter(|(_, looked)| looked.standing == standing);
        those.map(|(subject, _)| subject.as_str()).collect::<Vec<_>>()
    };
    let (absent, new) = (of(Standing::Absent), of(Standing::New));
    if absent.len() == told.len() {
        return Finding::warning(check, "none of our subjects is there yet", start);
    }
    if !absent.is_empty() || !new.is_empty() {
        let names = [absent, new].concat().join(", ");
        return Finding::warning(check, format!("not registered yet: {names}"), start);
    }
    let low = |looked: &Subject| looked.level.as_deref().is_some_and(|level| level != LEVEL);
    let low: Vec<_> =
        told.iter().filter(|(_, looked)| low(looked)).map(|(s, _)| s.as_str()).collect();
    if !low.is_empty() {
        let found = format!("what may follow a schema is not {LEVEL} for {}", low.join(", "));
        return Finding::warning(check, found, "it is set when `run`, `serve` or `up` starts");
    }
    Finding::ok(check, format!("all {} are known, and {LEVEL}", told.len()))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn subjects_are_judged_together() {
        let look = |standing, level: &str| {
            ("a-value".to_owned(), Subject { standing, level: Some(level.to_owned()) })
        };
        let known = || look(Standing::Known, LEVEL);
        let breaks = Standing::Breaks { version: 1, why: "no default".to_owned() };
        for (told, state) in [
            (vec![known(), known()], State::Ok),
            (vec![known(), look(Standing::Known, "NONE")], State::Warning),
            (vec![known(), look(Standing::New, LEVEL)], State::Warning),
            (vec![look(Standing::Absent, "BACKWARD")], State::Warning),
            (vec![look(Standing::Absent, LEVEL), look(breaks, LEVEL)], State::Failed),
        ] {
            assert_eq!(judged(&told).state, state, "{told:?}");
        }
    }
}
