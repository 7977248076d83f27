//! `reelmill dead-letters`: what could not be worked on, and its way back.

use crate::{
    cli::{ChosenArgs, DeadLettersCommand, KafkaArgs},
    client::{Out, plain},
    connections,
    failure::Failure,
};
use async_trait::async_trait;
use connectors::{
    kafka::{Kafka, Letter, Redriven},
    registry::ConfluentRegistry,
};
use engine::{Trouble, dead_topic, header};
use ports::{Position, Record, SchemaRegistry};
use processors::{NAMES, catalog::DeadLetter};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Sends dead letters back for the API.
#[derive(Debug)]
pub struct Redriver {
    pub kafka: Arc<Kafka>,
}

#[async_trait]
impl api::DeadLetters for Redriver {
    fn processors(&self) -> &[&'static str] {
        NAMES
    }

    async fn redrive(
        &self,
        processor: &str,
        letters: &BTreeSet<Position>,
    ) -> Result<api::Redriven, Trouble> {
        let chosen =
            |record: &Record| record.position.as_ref().is_some_and(|p| letters.contains(p));
        let Redriven { sent, before, .. } =
            self.kafka.redrive(processor, chosen, |_, _| {}).await?;
        Ok(api::Redriven { sent, before })
    }
}

/// Runs one of the commands.
pub async fn run(command: DeadLettersCommand, out: Out<'_>) -> Result<(), Failure> {
    match command {
        DeadLettersCommand::List { chosen, json } => {
            let mut shown = 0;
            for (processor, letter) in letters(&chosen).await? {
                if json {
                    writeln!(out, "{}", summary(processor, &letter))?;
                } else {
                    row(processor, &letter, out)?;
                }
                shown += 1;
            }
            if shown == 0 && !json {
                writeln!(out, "no dead letters")?;
            }
            Ok(())
        }
        DeadLettersCommand::Show { id, kafka, registry } => {
            show(&id, &kafka, &registry.at, out).await
        }
        DeadLettersCommand::Redrive { ids, all, chosen } => redrive(&ids, all, &chosen, out).await,
    }
}

/// A letter's name: `processor/partition/offset`.
fn id(processor: &str, record: &Record) -> String {
    let (partition, offset) =
        record.position.as_ref().map(|p| (p.partition, p.offset)).unwrap_or_default();
    format!("{processor}/{partition}/{offset}")
}

fn parse_id(text: &str) -> Result<(&'static str, Position), Failure> {
    let mut parts = text.split('/');
    let parsed = (|| {
        let processor = processor(parts.next()?).ok()?;
        let (partition, offset) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let position = Position { topic: dead_topic(processor), partition, offset };
        parts.next().is_none().then_some((processor, position))
    })();
    parsed.ok_or_else(|| {
        Failure::usage(format!(
            "`{text}` names no dead letter: give PROCESSOR/PARTITION/OFFSET as \
             `reelmill dead-letters list` prints it"
        ))
    })
}

fn processor(name: &str) -> Result<&'static str, Failure> {
    NAMES.iter().copied().find(|known| *known == name).ok_or_else(|| {
        let nearest = schemas::nearest(name, NAMES.iter().copied());
        Failure::usage(format!("there is no processor `{name}`, did you mean `{nearest}`?"))
    })
}

/// The processors whose letters are looked at.
fn processors(chosen: &ChosenArgs) -> Result<Vec<&'static str>, Failure> {
    match &chosen.processor {
        Some(name) => Ok(vec![processor(name)?]),
        None => Ok(NAMES.to_vec()),
    }
}

/// Whether a letter is one of those asked for.
fn is_chosen(chosen: &ChosenArgs, processor: &str, record: &Record) -> bool {
    let reason = |wanted: &String| record.headers.text(header::DEAD_REASON) == Some(wanted);
    let video = |wanted: &String| {
        DeadLetter::read(record, processor, None).ok().and_then(|letter| letter.video_id).as_ref()
            == Some(wanted)
    };
    chosen.reason.as_ref().is_none_or(reason) && chosen.video.as_ref().is_none_or(video)
}

async fn letters(chosen: &ChosenArgs) -> Result<Vec<(&'static str, Letter)>, Failure> {
    let processors = processors(chosen)?;
    let kafka = connections::reached(&chosen.kafka, "cli").await?;
    let mut found = Vec::new();
    for processor in processors {
        let letters = kafka.dead_letters(processor).await?;
        let letters = letters.into_iter().filter(|l| is_chosen(chosen, processor, &l.record));
        found.extend(letters.map(|letter| (processor, letter)));
    }
    Ok(found)
}

fn summary(processor: &str, letter: &Letter) -> Value {
    let record = &letter.record;
    let text = |name: &str| record.headers.text(name);
    json!({
        "id": id(processor, record),
        "processor": processor,
        "reason": text(header::DEAD_REASON),
        "detail": text(header::DEAD_DETAIL),
        "key": record.key.as_deref().map(String::from_utf8_lossy),
        "at_ms": record.timestamp_ms,
        "origin": {
            "topic": text(header::DEAD_TOPIC),
            "partition": text(header::DEAD_PARTITION).and_then(|n| n.parse::<i64>().ok()),
            "offset": text(header::DEAD_OFFSET).and_then(|n| n.parse::<i64>().ok()),
        },
        "redriven": letter.redriven,
    })
}

fn row(processor: &str, letter: &Letter, out: Out<'_>) -> Result<(), Failure> {
    let record = &letter.record;
    let text = |name: &str| plain(record.headers.text(name).unwrap_or("?"));
    let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let state = if letter.redriven { "  (sent back)" } else { "" };
    writeln!(
        out,
        "{:16}  {:20}  {}{state}\n    {}",
        id(processor, record),
        text(header::DEAD_REASON),
        plain(&key),
        text(header::DEAD_DETAIL)
    )?;
    Ok(())
}

async fn show(name: &str, kafka: &KafkaArgs, registry: &str, out: Out<'_>) -> Result<(), Failure> {
    let (processor, position) = parse_id(name)?;
    let letters = connections::reached(kafka, "cli").await?.dead_letters(processor).await?;
    let found = letters.into_iter().find(|l| l.record.position.as_ref() == Some(&position));
    let letter = found.ok_or_else(|| {
        Failure::usage(format!("no dead letter is at {name}: see `reelmill dead-letters list`"))
    })?;
    let mut shown = summary(processor, &letter);
    let headers = &letter.record.headers.0;
    let headers = headers.iter().map(|(name, value)| json!([name, String::from_utf8_lossy(value)]));
    shown["headers"] = headers.collect();
    let origin = letter.record.headers.text(header::DEAD_TOPIC).unwrap_or_default();
    shown["event"] = match &letter.record.value {
        None => Value::Null,
        Some(value) => match event(registry, origin, value).await {
            Ok(event) => event,
            Err(trouble) => json!({
                "unreadable": trouble.to_string(),
                "bytes": value.len(),
                "text": String::from_utf8_lossy(value),
            }),
        },
    };
    writeln!(out, "{shown:#}")?;
    Ok(())
}

async fn event(registry: &str, topic: &str, value: &[u8]) -> Result<Value, Trouble> {
    let value = ConfluentRegistry::new(registry)?.decode(value).await?;
    Ok(schemas::decode_json(topic, value)?)
}

async fn redrive(
    ids: &[String],
    all: bool,
    chosen: &ChosenArgs,
    out: Out<'_>,
) -> Result<(), Failure> {
    let named = ids.iter().map(|id| parse_id(id)).collect::<Result<Vec<_>, _>>()?;
    let narrowed = chosen.processor.is_some() || chosen.reason.is_some() || chosen.video.is_some();
    if named.is_empty() && !all && !narrowed {
        return Err(Failure::usage(
            "say which: ids as `reelmill dead-letters list` prints them, --processor, --video, \
             --reason, or --all",
        ));
    }
    let processors = processors(chosen)?;
    let kafka = connections::reached(&chosen.kafka, "cli").await?;
    let mut total = Redriven::default();
    for processor in processors {
        let wanted = |record: &Record| {
            let is_named =
                named.is_empty() || named.iter().any(|(_, p)| record.position.as_ref() == Some(p));
            is_named && is_chosen(chosen, processor, record)
        };
        let letters = kafka.dead_letters(processor).await?;
        if !letters.iter().any(|letter| wanted(&letter.record)) {
            continue;
        }
        let progress = |done, of| {
            if of > 100 {
                tracing::info!(processor, done, of, "sending dead letters back");
            }
        };
        let done = kafka.redrive(processor, wanted, progress).await?;
        writeln!(out, "{processor}: {} sent back", done.sent)?;
        total.sent += done.sent;
        total.before += done.before;
        total.foreign += done.foreign;
    }
    let Redriven { sent, before, foreign } = total;
    write!(out, "{sent} sent back, {before} had been before")?;
    if foreign > 0 {
        write!(out, ", {foreign} stay: no processor of ours wrote them")?;
    }
    writeln!(out)?;
    if sent + before + foreign == 0 {
        return Err(Failure::usage(
            "no dead letter is meant by this: see `reelmill dead-letters list`",
        ));
    }
    Ok(())
}
