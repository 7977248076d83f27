//! Which build this is.

use crate::failure::Failure;
use engine::Metrics;

/// Cargo's version, or `REELMILL_VERSION` of the build, which `scripts/version.sh` makes of git. Read where the
/// program is built and not by a build script: who builds without it builds nothing anew at a commit.
pub const VERSION: &str = match option_env!("REELMILL_VERSION") {
    // An argument of the image that was not given.
    Some(told) if !told.is_empty() => told,
    _ => env!("CARGO_PKG_VERSION"),
};

/// The metrics of this process, which say so.
///
/// # Errors
/// Where they cannot be made.
pub fn metrics() -> Result<Metrics, Failure> {
    let metrics = Metrics::new().map_err(|e| Failure::start("the metrics", &e))?;
    metrics.set_build(VERSION);
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_tell_the_build() {
        let told = format!("reelmill_build_info{{version=\"{VERSION}\"}} 1\n");
        assert!(metrics().unwrap().gather().contains(&told));
        assert!(VERSION.starts_with(env!("CARGO_PKG_VERSION")));
    }
}
