//! Whether this machine lets programs be traced.

use std::process::Command;

/// Whether programs can be traced here; where they must be, it is a failure if not.
pub(crate) fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let can = traced.is_ok_and(|output| output.status.success());
    let must = std::env::var_os("REELMILL_REQUIRE_SERVICES").is_some();
    assert!(can || !must, "strace is missing or may not trace: run 'make setup'");
    if !can {
        eprintln!("skipped: strace is missing or may not trace here");
    }
    can
}
