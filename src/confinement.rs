//! Media work in processes of its own: this program, started again.

use crate::failure::Failure;
use confine::{Check, Checked, Entry, Fence, Helper};
use std::{net::Ipv4Addr, path::Path};

/// What a process inherits this program as, whatever has become of its file.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The command under which this program is the helper; it is no command for people.
pub const COMMAND: &str = "media-job";

/// All media work there is.
#[must_use]
pub fn works() -> Vec<Entry> {
    connectors::studio::WORKS.into_iter().chain(vision::WORKS).collect()
}

/// This program as the helper of its media work.
#[must_use]
pub fn helper() -> Helper {
    Helper::program(THIS_PROGRAM, [COMMAND])
}

/// Lets a helper try to leave its fence, in `folder`, and logs what holds it.
///
/// # Errors
/// Where no helper starts: no media work could be done.
pub async fn check(helper: &Helper, folder: &Path) -> Result<(), Failure> {
    let (fence, checked) = tried(helper, folder).await?;
    match fence {
        Some(fence) if fence.is_whole() && checked.is_tight() => {
            tracing::info!("media work is confined by {fence}");
        }
        Some(fence) => tracing::warn!(
            ?checked,
            "media work is confined by {fence} only: this kernel has no more; use Linux 6.12 or later"
        ),
        None => tracing::warn!("media work is not confined"),
    }
    Ok(())
}

/// Lets a helper try to leave its fence, in `folder`: what holds it, and what it could do.
///
/// # Errors
/// Where no helper starts.
pub async fn tried(helper: &Helper, folder: &Path) -> Result<(Option<Fence>, Checked), Failure> {
    let check = Check { file: "/etc/passwd".into(), address: (Ipv4Addr::LOCALHOST, 1).into() };
    let tried = helper.check(check, folder.to_owned()).await;
    tried.map_err(|e| Failure::start("media work", &e))
}
