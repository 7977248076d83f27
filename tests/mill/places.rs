//! Data directories that cannot be used, are used, or are full.

use crate::support::{Mill, footage, program};
use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// `up` on a data directory, on free ports.
fn begin(mut command: Command, data: &Path, flags: &[&str]) -> Child {
    command
        .args(["up", "--port", "0", "--kafka-port", "0", "--registry-port", "0"])
        .args(["--store-port", "0", "--vision-port", "0", "--data"])
        .arg(data)
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The same, until it ends; it is expected to end by itself.
pub(crate) fn up(command: Command, data: &Path) -> Output {
    up_with(command, data, &[])
}

fn up_with(command: Command, data: &Path, flags: &[&str]) -> Output {
    let mut child = begin(command, data, flags);
    // Read all the while: a pipe that nobody empties holds up who writes into it.
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (stdout, stderr) = (drained(stdout), drained(stderr));
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            let said = String::from_utf8(stderr.join().unwrap()).unwrap();
            panic!("`up` on {} should have ended by itself:\n{said}", data.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = child.wait().unwrap();
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn drained(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        pipe.read_to_end(&mut said).unwrap();
        said
    })
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

/// Files and directories, the first of them included, that group or others may do anything with;
/// and how many were looked at.
fn open_to_others(path: &Path, open: &mut Vec<String>) -> usize {
    // Some are gone before they are looked at.
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    let mode = found.permissions().mode();
    if mode & 0o077 != 0 {
        open.push(format!("{} {mode:o}", path.display()));
    }
    let inside = fs::read_dir(path).into_iter().flatten().flatten();
    1 + inside.map(|entry| open_to_others(&entry.path(), open)).sum::<usize>()
}

#[test]
fn what_a_mill_keeps_is_closed_to_other_users_and_is_closed_again_where_it_was_left_open() {
    let mut mill = Mill::start(&[]);
    mill.ready(&mill.upload(&footage("signing-again.mkv"), "title=private"));
    let mut open = Vec::new();
    let looked_at = open_to_others(&mill.data(), &mut open);
    assert!(looked_at > 30, "only {looked_at} files and directories");
    assert!(open.is_empty(), "{open:#?}");

    mill.kill();
    fs::set_permissions(mill.data(), fs::Permissions::from_mode(0o755)).unwrap();
    mill.start_again();
    assert_eq!(fs::metadata(mill.data()).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(mill.log().contains("closed it to them"), "{}", mill.log());
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

#[test]
fn a_port_that_runs_elsewhere_and_cannot_be_used_is_named_with_the_flag_to_look_at() {
    let mill = Mill::start(&[]);
    let s3 = mill.endpoints["REELMILL_S3"].as_str();
    let refused = [
        (vec!["--kafka", "127.0.0.1:1"], 1, ["kafka at 127.0.0.1:1", "--kafka"]),
        (vec!["--registry", "http://ann:hush@127.0.0.1:1"], 1, ["schema registry", "--registry"]),
        (vec!["--registry", "127.0.0.1:8081"], 64, ["must be a URL", "--registry"]),
        (vec!["--s3", "http://127.0.0.1:1"], 1, ["object store at http://127.0.0.1:1", "--s3"]),
        (vec!["--s3", s3, "--secret-key", "wrong"], 1, ["SignatureDoesNotMatch", "keys"]),
        (vec!["--s3", s3, "--bucket", "other"], 1, ["bucket other", "NoSuchBucket"]),
    ];
    for (flags, code, told) in refused {
        let dir = TempDir::new().unwrap();
        let mut command = program();
        command.current_dir(dir.path());
        let output = up_with(command, "data".as_ref(), &flags);
        let words = words(&output);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {words}");
        assert!(told.iter().all(|word| words.contains(word)), "{flags:?}: {words}");
        assert!(!words.contains("hush"), "{words}");
    }
}

#[test]
fn a_data_directory_may_be_given_as_seen_from_here() {
    let dir = TempDir::new().unwrap();
    let mut command = program();
    command.current_dir(dir.path());
    let mut up = begin(command, "data".as_ref(), &[]);
    let started = Instant::now();
    let is_up = || dir.path().join("data/endpoints.env").exists();
    while !is_up() && up.try_wait().unwrap().is_none() && started.elapsed().as_secs() < 60 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let was_up = is_up();
    drop(up.kill());
    let output = up.wait_with_output().unwrap();
    assert!(was_up, "{}", words(&output));
}
