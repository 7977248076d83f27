//! Names of films as nobody would choose them, over the API and as files on the disk: each is a
//! title in the end and never a path, a header or a command.

use crate::{
    support::{Mill, ffmpeg, program},
    tracing::can_trace,
};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::Value;
use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};
use tempfile::TempDir;

/// Stands in every name: no file the mill touches may have it in its own.
const MARK: &str = "zk7";

/// A name as bytes, and the title that it becomes.
type Named = (Vec<u8>, String);

/// Files that one can have on a disk.
fn on_disk() -> Vec<Named> {
    let long = format!("{MARK}{}", "l".repeat(248));
    let named = |name: &str, title: &str| (name.as_bytes().to_vec(), title.to_owned());
    vec![
        (format!("{long}.mp4").into_bytes(), long),
        named("zk7 two\nlines\r\t.mp4", "zk7 two lines"),
        named("..zk7...mp4", "..zk7.."),
        named("\u{202e}zk7 4pm.exe.mp4", "zk7 4pm.exe"),
        named("zk7 مقابلة\u{200f}.mp4", "zk7 مقابلة\u{200f}"),
        named("zk7 Pru\u{308}fung 👩\u{200d}🏫.mp4", "zk7 Pru\u{308}fung 👩\u{200d}🏫"),
        named("-zk7 --output=x.mp4", "-zk7 --output=x"),
        named("zk7\u{1b}[2J\u{1b}]0;x\u{7}\".mp4", "zk7 [2J ]0;x \""),
        named("zk7;a=b\"c'$(id)`id`|&%00.mp4", "zk7;a=b\"c'$(id)`id`|&%00"),
        (b"zk7 \xff\xfe.mp4".to_vec(), "zk7 \u{fffd}\u{fffd}".to_owned()),
    ]
}

/// Names that only a request can give.
fn in_requests(canary: &Path) -> Vec<Named> {
    let named = |name: &str, title: &str| (name.as_bytes().to_vec(), title.to_owned());
    vec![
        (b"zk7\0\xff.mp4".to_vec(), "zk7 \u{fffd}".to_owned()),
        named("../../../zk7 up.mp4", "zk7 up"),
        named("zk7\r\nSet-Cookie: a=b\r\n\r\n<b>.mp4", "zk7  Set-Cookie: a=b    <b>"),
        (canary.as_os_str().as_bytes().to_vec(), "zk7-canary".to_owned()),
    ]
}

/// What a mill does with files from now on, traced.
struct Trace {
    strace: Child,
    log: PathBuf,
}

impl Trace {
    fn of(mill: &Mill) -> Self {
        let pid = mill.proc().file_name().unwrap().to_owned();
        let log = mill.dir().join("trace");
        let mut strace = Command::new("strace")
            .args(["-f", "-s", "4096", "-e", "trace=%file", "-o"])
            .arg(&log)
            .arg("-p")
            .arg(pid)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(strace.stderr.take().unwrap()).lines();
        assert!(told.next().unwrap().unwrap().contains("attached"));
        // It goes on to tell of each process.
        std::thread::spawn(move || told.for_each(drop));
        Self { strace, log }
    }

    fn end(mut self) -> String {
        let pid = self.strace.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.strace.wait().unwrap();
        fs::read_to_string(&self.log).unwrap()
    }
}

fn misleads(text: &str) -> bool {
    text.chars().any(|c| c != '\n' && api::can_mislead(c))
}

fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(bytes).unwrap()
}

/// The file name of a `Content-Disposition` as RFC 6266 and 8187 have it.
fn file_name(header: &[u8]) -> String {
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.is_ascii() && !header.contains(char::is_control), "{header:?}");
    let (plain, full) = header.split_once("; filename*=UTF-8''").unwrap();
    let plain = plain.strip_prefix("inline; filename=\"").unwrap().strip_suffix(".mp4\"").unwrap();
    assert!(!plain.contains(['"', '\\', '%', '/']), "{header}");
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$&+-.^_`|~%".contains(c);
    assert!(full.chars().all(allowed), "{header}");
    percent_decode_str(full).decode_utf8().unwrap().into_owned()
}

/// A ready video under its title: on the terminal, as a header, and as a file that is fetched.
fn check(mill: &Mill, video: &str, title: &str) {
    let row = mill.ready(video);
    assert_eq!(row["title"], title);
    let status = said(&mill.run(&["status", video]));
    assert!(!misleads(&status) && status.contains(title), "{status:?}");

    let response =
        reqwest::blocking::get(mill.url(&format!("/api/videos/{video}/recording"))).unwrap();
    let name = file_name(response.headers()["content-disposition"].as_bytes());
    assert_eq!(name, format!("{}.mp4", title.replace('/', "_")));

    let folder = TempDir::new().unwrap();
    let got = program()
        .args(["get", video])
        .current_dir(folder.path())
        .envs(&mill.endpoints)
        .output()
        .unwrap();
    assert!(got.status.success() && !misleads(&said(&got)), "{got:?}");
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    let names: Vec<_> = files.iter().map(|file| file.file_name().into_string().unwrap()).collect();
    assert!(matches!(&names[..], [one] if one.ends_with(".mp4") && !misleads(one)), "{names:?}");
    let bytes = response.bytes().unwrap();
    assert!(fs::read(files[0].path()).unwrap() == bytes, "{title}: another film");
}

#[test]
fn a_name_is_shown_safely_and_names_no_file() {
    if !can_trace() {
        return;
    }
    let mill = Mill::start(&[]);
    let film = mill.dir().join("film.mp4");
    let picture = "testsrc2=size=160x96:rate=5:duration=1";
    ffmpeg(&["-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p"], &film);
    let canary = mill.dir().join("zk7-canary.mp4");
    fs::write(&canary, b"not for eyes").unwrap();
    let disk = TempDir::new().unwrap();
    let trace = Trace::of(&mill);
    let mut videos: Vec<(String, String)> = Vec::new();

    for (name, title) in on_disk() {
        let file = disk.path().join(OsString::from_vec(name.clone()));
        fs::copy(&film, &file).unwrap();
        // As a shell gives it in that directory, but for the word that ends the options.
        let output = program()
            .args(["upload", "--"])
            .arg(OsString::from_vec(name))
            .current_dir(disk.path())
            .envs(&mill.endpoints)
            .output()
            .unwrap();
        let said = said(&output);
        assert!(output.status.success() && !misleads(&said), "{said:?}");
        videos.push((said.trim().rsplit(' ').next().unwrap().to_owned(), title));
    }
    for (name, title) in in_requests(&canary) {
        let name = percent_encode(&name, NON_ALPHANUMERIC);
        let query = format!("filename={name}&assessment={name}");
        videos.push((mill.upload(&film, &query), title));
    }
    // As a title or an assessment a name is kept whole.
    let path =
        percent_encode("../../zk7\0/etc/a%2Fb 日本\n".as_bytes(), NON_ALPHANUMERIC).to_string();
    let whole = "../../zk7 /etc/a%2Fb 日本";
    let video = mill.upload(&film, &format!("title={path}&assessment={path}"));
    assert_eq!(mill.ready(&video)["assessment"], whole);
    videos.push((video, whole.to_owned()));

    for (video, title) in &videos {
        check(&mill, video, title);
    }
    let list = said(&mill.run(&["status"]));
    assert!(!misleads(&list) && list.lines().count() == videos.len(), "{list:?}");
    let trace = trace.end();
    let own = mill.data().display().to_string();
    assert!(trace.lines().filter(|call| call.contains(&own)).count() > 1000, "no trace");
    // What they belong to is the beginning of a recording's name, in 40 safe characters.
    let recordings = format!("{own}/store/objects/reelmill/recordings/");
    let named = |call: &&str| call.contains(MARK) && !call.contains(&recordings);
    let named: Vec<_> = trace.lines().filter(named).collect();
    assert!(named.is_empty(), "{}", named.join("\n"));
    assert!(mill.keys().iter().all(|key| key.is_ascii() && !key.contains("..")));
}

#[test]
fn a_name_that_cannot_be_is_refused_in_words() {
    let mill = Mill::start(&[]);
    let dir = TempDir::new().unwrap();
    let gone = "gone\u{1b}[2J\u{202e}.mp4";
    for (arguments, code) in [
        // Without the word that ends the options it is one.
        (vec!["upload", "-zk7.mp4"], 64),
        (vec!["upload", gone], 1),
        (vec!["upload", gone, ".."], 1),
    ] {
        let output =
            program().args(&arguments).current_dir(dir.path()).envs(&mill.endpoints).output();
        let output = output.unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said:?}");
        assert!(!misleads(&said) && !said.is_empty(), "{said:?}");
    }
    let http = reqwest::blocking::Client::new();
    for name in ["title", "assessment"] {
        let url = mill.url(&format!("/api/videos?{name}={}", "x".repeat(301)));
        let answer = http.post(url).body("film").send().unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{name}");
        let problem: Value = answer.json().unwrap();
        let words = format!("{} {}", problem["detail"], problem["next_step"]);
        assert!(words.contains(name) && words.contains("bytes"), "{problem}");
    }
    assert!(mill.keys().iter().all(|key| !key.starts_with("uploads/")));
}
