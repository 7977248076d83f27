//! Texts of the command line, read into values.

use broker::Sync;
use std::time::Duration;

pub(super) fn sync(text: &str) -> Result<Sync, String> {
    match (text, text.parse::<u32>()) {
        ("never", _) => Ok(Sync::Never),
        ("always", _) => Ok(Sync::Always),
        // 0 could mean either of the others.
        (_, Ok(ms)) if ms > 0 => Ok(Sync::Every(Duration::from_millis(ms.into()))),
        _ => Err("must be never, always or a number of milliseconds from 1".to_owned()),
    }
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (1.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds from 1 to 3600".to_owned()),
    }
}

pub(super) fn url(text: &str) -> Result<String, String> {
    let wrong = |cause: &dyn std::fmt::Display| {
        format!("must be a URL such as http://127.0.0.1:9000 ({cause})")
    };
    let parsed = reqwest::Url::parse(text).map_err(|e| wrong(&e))?;
    match parsed.scheme() {
        "http" | "https" if parsed.has_host() => Ok(text.to_owned()),
        other => Err(wrong(&format_args!("{other} is neither http nor https"))),
    }
}

pub(super) fn share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}
