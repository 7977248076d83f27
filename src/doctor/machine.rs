//! This machine: the data directory, its disk, the ports.

use super::{
    finding::{Check, Finding},
    place::Setup,
};
use crate::connections::SCRATCH_FLOOR;
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::MetadataExt,
    path::Path,
};

const OF_OTHERS: u32 = 0o077;
const DATA: &str = "REELMILL_DATA (--data)";

/// Whether the data directory can be used. It is not made.
pub(super) fn data(setup: &Setup) -> Finding {
    let (check, data) = (Check::Data, setup.data.as_path());
    let shown = data.display();
    let there = nearest(data);
    if there != data {
        return match writable(there) {
            Ok(()) => Finding::ok(check, format!("{shown} is made at the start")),
            Err(cause) => Finding::failed(
                check,
                format!("{shown} cannot be made: {}: {cause}", there.display()),
                format!("choose another {DATA}, or let this user write there"),
            ),
        };
    }
    if let Err(cause) = writable(data) {
        return Finding::failed(
            check,
            format!("{shown} cannot be used: {cause}"),
            format!("let this user write there, or choose another {DATA}"),
        );
    }
    // Of another user, from a start as root.
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    let closed = entries.map(|entry| entry.path()).find(|path| {
        let wanted =
            if path.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
        access(path, Access::READ_OK | wanted).is_err()
    });
    if let Some(closed) = closed {
        return Finding::failed(
            check,
            format!("this user may not write {}", closed.display()),
            format!("chown it to this user, or choose another {DATA}"),
        );
    }
    // One that somebody else made, a volume say, is that one's to close.
    let ours = rustix::process::geteuid().as_raw();
    let is_open = |found: std::fs::Metadata| found.uid() == ours && found.mode() & OF_OTHERS != 0;
    if std::fs::metadata(data).is_ok_and(is_open) {
        return Finding::warning(
            check,
            format!(
                "other users of this machine may look into {shown}: unmasked footage is kept there"
            ),
            format!("chmod 700 {shown}"),
        );
    }
    let used = if setup.in_use { ", and a mill is running on it" } else { "" };
    Finding::ok(check, format!("{shown} can be written{used}"))
}

/// A directory, with all rights to it.
fn writable(place: &Path) -> Result<(), String> {
    if !place.is_dir() {
        return Err("it is no directory".to_owned());
    }
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    access(place, all).map_err(|e| e.to_string())?;
    let disk = statvfs(place).map_err(|e| e.to_string())?;
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err("its file system is mounted to be read only".to_owned());
    }
    Ok(())
}

/// The directory itself, or the nearest above it that is there.
fn nearest(place: &Path) -> &Path {
    place.ancestors().find(|place| std::fs::symlink_metadata(place).is_ok()).unwrap_or(place)
}

/// Whether what work may take is there.
pub(super) fn disk(setup: &Setup) -> Finding {
    let (check, place) = (Check::Disk, nearest(&setup.data));
    let disk = match statvfs(place) {
        Ok(disk) => disk,
        Err(e) => {
            let found = format!("the disk of {} cannot be asked: {e}", place.display());
            return Finding::failed(check, found, format!("choose another {DATA}"));
        }
    };
    judged(setup.args.mill.shared.scratch_max_bytes, disk.f_bavail * disk.f_frsize)
}

fn judged(scratch: u64, free: u64) -> Finding {
    let check = Check::Disk;
    let found = format!("{} free, scratch may take {}", size(free), size(scratch));
    let lower = "make room, choose another REELMILL_DATA (--data), or lower \
                 REELMILL_SCRATCH_MAX_BYTES (--scratch-max-bytes)";
    if free < SCRATCH_FLOOR {
        Finding::failed(check, format!("{found}: no video could be worked on"), lower)
    } else if free < scratch {
        Finding::warning(check, format!("{found}: the disk would be full before that"), lower)
    } else {
        Finding::ok(check, found)
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Whether what would be embedded has its ports.
pub(super) fn ports(setup: &Setup) -> Finding {
    let (check, args) = (Check::Ports, &setup.args);
    let embedded = [
        (&setup.kafka, args.kafka_port, "REELMILL_KAFKA_PORT (--kafka-port)"),
        (&setup.registry, args.registry_port, "REELMILL_REGISTRY_PORT (--registry-port)"),
        (&setup.s3, args.store_port, "REELMILL_STORE_PORT (--store-port)"),
        (&setup.rekognition, args.vision_port, "REELMILL_VISION_PORT (--vision-port)"),
    ];
    let embedded = embedded.into_iter().filter(|(place, ..)| !place.is_elsewhere());
    let mut wanted: Vec<_> = embedded.map(|(_, port, setting)| (port, setting)).collect();
    if wanted.is_empty() {
        return Finding::not_looked_at(check, "nothing is embedded");
    }
    if setup.in_use {
        return Finding::not_looked_at(check, "a mill is running and has them");
    }
    wanted.push((args.port, "REELMILL_PORT (--port)"));
    let mut seen = BTreeMap::new();
    for (port, setting) in wanted.iter().copied().filter(|(port, _)| *port != 0) {
        if let Some(other) = seen.insert(port, setting) {
            let found = format!("port {port} is wanted twice");
            return Finding::failed(check, found, format!("change {setting} or {other}"));
        }
        if let Err(cause) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Finding::failed(
                check,
                format!("port {port} of 127.0.0.1 is not free: {cause}"),
                format!("stop what listens there, or choose another {setting}"),
            );
        }
    }
    let numbers: Vec<_> = seen.keys().map(u16::to_string).collect();
    let numbers = if numbers.is_empty() { "any".to_owned() } else { numbers.join(", ") };
    Finding::ok(check, format!("free on 127.0.0.1: {numbers}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn room_is_held_against_what_work_may_take() {
        const GB: u64 = 1_000_000_000;
        assert_eq!(judged(20 * GB, 30 * GB).state, State::Ok);
        assert_eq!(judged(20 * GB, 19 * GB).state, State::Warning);
        assert_eq!(judged(20 * GB, GB).state, State::Failed);
        assert_eq!(judged(20 * GB, 999_999_999).found.split(' ').next(), Some("999"));
    }

    #[test]
    fn the_nearest_directory_that_is_there_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&dir.path().join("a/b/c")), dir.path());
        assert_eq!(nearest(dir.path()), dir.path());
    }
}
