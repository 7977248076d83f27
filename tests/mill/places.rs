//! Data directories that cannot be used, are used, or are full.

use crate::support::{Mill, footage, program};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// `up` on a data directory, until it ends; it is expected to end by itself.
pub(crate) fn up(mut command: Command, data: &Path) -> Output {
    command
        .args(["up", "--port", "0", "--kafka-port", "0", "--registry-port", "0"])
        .args(["--store-port", "0", "--vision-port", "0", "--data"])
        .arg(data);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("`up` on {} should have ended by itself", data.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_second_mill_on_the_same_data_is_refused_and_harms_the_first_in_nothing() {
    let mill = Mill::start(&[]);
    let second = up(program(), &mill.data());
    assert!(!second.status.success());
    assert!(words(&second).contains("in use"), "{}", words(&second));
    let video = mill.upload(&footage("head-pose-two.mp4"), "title=first");
    mill.ready(&video);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused_with_the_cause() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write anywhere.
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = program();
    if is_root {
        // The program may lie where only root can look.
        let copy = dir.path().join("reelmill");
        fs::copy(command.get_program(), &copy).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
    }
    let refused = up(command, &data);
    assert!(!refused.status.success());
    let words = words(&refused);
    assert!(words.contains("ermission denied"), "{words}");
    assert!(words.contains(&*data.to_string_lossy()), "{words}");
}

#[test]
fn the_detectors_runtime_keeps_no_usage_data_and_can_send_none() {
    let mill = Mill::start(&[]);
    mill.ready(&mill.upload(&footage("signing-again.mkv"), "title=quiet"));
    let environment = fs::read(mill.proc().join("environ")).unwrap();
    let (name, value) = vision::NO_TELEMETRY;
    let set = format!("{name}={value}");
    assert!(environment.split(|byte| *byte == 0).any(|entry| entry == set.as_bytes()));
    let open = fs::read_dir(mill.proc().join("fd")).unwrap().flatten();
    let open: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let usage_data = |file: &&std::path::PathBuf| file.to_string_lossy().contains("DeveloperTools");
    assert_eq!(open.iter().find(usage_data), None, "its store of usage data is open");
    assert!(open.len() > 10, "{open:?}");
}

/// A file system of its own, unmounted in the end.
struct Disk(TempDir);

impl Disk {
    fn new(bytes: u64) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            assert!(
                std::env::var_os("REELMILL_REQUIRE_SERVICES").is_none(),
                "mounting a small disk is required and not allowed here"
            );
            eprintln!("skipped: a small disk cannot be mounted without root");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_full_disk_is_told_and_waited_out_and_nothing_is_lost() {
    let Some(disk) = Disk::new(200 << 20) else { return };
    let mill = Mill::start_on(disk.0.path(), &["--clip-seconds", "10"]);
    let done = mill.upload(&footage("head-pose-two.mp4"), "title=before");
    mill.ready(&done);

    // Full to the last block, with a video under way.
    let during = mill.upload(&footage("head-pose-two.mp4"), "title=during");
    let filler = disk.0.path().join("filler");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", "status=none"])
        .arg(format!("of={}", filler.display()))
        .status()
        .unwrap();
    assert!(!full.success(), "the disk was to be full");
    let upload = mill.run(&["upload", &footage("talk_360p.mp4").to_string_lossy()]);
    assert_eq!(upload.status.code(), Some(1));
    let said = words(&upload);
    assert!(said.contains("space") || said.contains("full"), "{said}");
    assert_eq!(mill.get("/healthz").0, 200);
    std::thread::sleep(Duration::from_secs(5));

    fs::remove_file(&filler).unwrap();
    mill.ready(&during);
    let after = mill.upload(&footage("head-pose-two.mp4"), "title=after");
    mill.ready(&after);
    assert_eq!(mill.get("/api/videos").1["total"], 3);
    assert_eq!(mill.get(&format!("/api/videos/{done}")).1["state"], "ready");
}
