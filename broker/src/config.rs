//! A topic's settings by Kafka's names: which there are, what they default to, what they do.
//!
//! The defaults keep everything for ever: what goes away, goes because somebody said so.

use std::{collections::BTreeMap, time::Duration};

use kafka_protocol::ResponseError;

/// Settings of a topic that differ from the defaults, as their client wrote them.
pub(crate) type Overrides = BTreeMap<String, String>;

/// What the settings mean for a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// A segment that would grow beyond this is sealed and a new one begun.
    pub(crate) segment_bytes: u64,
    /// Sealed segments whose youngest record is older than this go away.
    pub(crate) retention: Option<Duration>,
    /// The oldest sealed segments go away as long as the others hold this much.
    pub(crate) retention_bytes: Option<u64>,
    /// The largest batch a client may write.
    pub(crate) max_message_bytes: usize,
}

/// Kafka's numbers for the types of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigType {
    Text = 2,
    Int = 3,
    Long = 5,
    List = 7,
}

#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: ConfigType,
    pub(crate) means: &'static str,
    allows: fn(&str) -> bool,
}

/// Everything there is. A setting that would change what a client may rely on, and is not built,
/// is refused and not merely kept.
pub(crate) const SETTINGS: [Setting; 8] = [
    Setting {
        name: "cleanup.policy",
        default: "delete",
        kind: ConfigType::List,
        means: "old segments are deleted; compaction is not built",
        allows: |value| value == "delete",
    },
    Setting {
        name: "compression.type",
        default: "producer",
        kind: ConfigType::Text,
        means: "batches are kept as their producer compressed them",
        allows: |value| value == "producer",
    },
    Setting {
        name: "max.message.bytes",
        default: "16777216",
        kind: ConfigType::Int,
        means: "largest batch in bytes, compressed",
        allows: |value| {
            number(value).is_some_and(|bytes| (0..=i64::from(i32::MAX)).contains(&bytes))
        },
    },
    Setting {
        name: "message.timestamp.type",
        default: "CreateTime",
        kind: ConfigType::Text,
        means: "records keep their producer's time",
        allows: |value| value == "CreateTime",
    },
    Setting {
        name: "min.insync.replicas",
        default: "1",
        kind: ConfigType::Int,
        means: "there is one broker",
        allows: |value| value == "1",
    },
    Setting {
        name: "retention.bytes",
        default: "-1",
        kind: ConfigType::Long,
        means: "bytes of a partition to keep at least; -1 keeps all",
        allows: |value| number(value).is_some_and(|bytes| bytes >= -1),
    },
    Setting {
        name: "retention.ms",
        default: "-1",
        kind: ConfigType::Long,
        means: "age in milliseconds from which on records may go; -1 keeps all",
        allows: |value| number(value).is_some_and(|age| age >= -1),
    },
    Setting {
        name: "segment.bytes",
        default: "67108864",
        kind: ConfigType::Int,
        means: "size of a file of the log; what is deleted is whole files",
        allows: |value| {
            number(value).is_some_and(|bytes| (1_024..=i64::from(i32::MAX)).contains(&bytes))
        },
    },
];

fn number(value: &str) -> Option<i64> {
    value.parse().ok()
}

/// # Errors
/// `InvalidConfig` for a setting that does not exist here, or a value it cannot have.
pub(crate) fn check(overrides: &Overrides) -> Result<(), ResponseError> {
    for (name, value) in overrides {
        let known = SETTINGS.iter().find(|setting| setting.name == name);
        if !known.is_some_and(|setting| (setting.allows)(value)) {
            return Err(ResponseError::InvalidConfig);
        }
    }
    Ok(())
}

/// What is wrong with `overrides`, for the person who wrote them.
pub(crate) fn complaint(overrides: &Overrides) -> Option<String> {
    overrides.iter().find_map(|(name, value)| {
        match SETTINGS.iter().find(|setting| setting.name == name) {
            None => Some(format!("unknown topic setting {name}; known are {}", names())),
            Some(setting) if !(setting.allows)(value) => {
                let (means, default) = (setting.means, setting.default);
                Some(format!("{name} cannot be {value}: {means} (default {default})"))
            }
            Some(_) => None,
        }
    })
}

fn names() -> String {
    SETTINGS.map(|setting| setting.name).join(", ")
}

/// A topic's own value of a setting, or the default.
pub(crate) fn value<'a>(overrides: &'a Overrides, setting: &'a Setting) -> &'a str {
    overrides.get(setting.name).map_or(setting.default, String::as_str)
}

impl LogConfig {
    /// Settings written by an older version that mean nothing any more read as their defaults.
    pub(crate) fn of(overrides: &Overrides) -> LogConfig {
        let number = |name: &str| {
            let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
            let own = value(overrides, setting);
            number(if (setting.allows)(own) { own } else { setting.default })
        };
        let limit = |name| number(name).and_then(|number| u64::try_from(number).ok());
        LogConfig {
            segment_bytes: limit("segment.bytes").unwrap_or(u64::MAX),
            retention: limit("retention.ms").map(Duration::from_millis),
            retention_bytes: limit("retention.bytes"),
            max_message_bytes: limit("max.message.bytes").map_or(usize::MAX, |max| max as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_default_is_allowed_and_keeps_everything() {
        for setting in SETTINGS {
            assert!((setting.allows)(setting.default), "{}", setting.name);
        }
        let config = LogConfig::of(&Overrides::new());
        assert_eq!((config.retention, config.retention_bytes), (None, None));
        assert_eq!(config.segment_bytes, 64 << 20);
    }

    #[test]
    fn a_setting_that_is_not_built_is_refused_with_a_word() {
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("retention.ms", "a week"),
            ("retention.ms", "-2"),
            ("segment.bytes", "0"),
            ("min.insync.replicas", "2"),
            ("retention.hours", "1"),
        ] {
            let overrides = overrides(&[(name, value)]);
            assert_eq!(check(&overrides), Err(ResponseError::InvalidConfig), "{name}={value}");
            assert!(complaint(&overrides).unwrap().contains(name));
        }
        let fine = overrides(&[("retention.ms", "1000"), ("segment.bytes", "4096")]);
        assert_eq!(check(&fine), Ok(()));
        assert_eq!(LogConfig::of(&fine).retention, Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_an_older_version_let_in_reads_as_the_default() {
        let old = overrides(&[("retention.ms", "soon"), ("what.ever", "1")]);
        assert_eq!(LogConfig::of(&old), LogConfig::of(&Overrides::new()));
    }
}
