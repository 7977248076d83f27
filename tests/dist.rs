//! What `make dist` packs, here with the program of the tests; how a version is made; the changelog's form.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Whether a tool is there; where services are required, its absence is a failure.
fn there(name: &str, probe: &[&str]) -> bool {
    let mut probing = Command::new(probe[0]);
    probing.args(&probe[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    let there = probing.status().is_ok_and(|status| status.success());
    if !there {
        let required = env::var_os("REELMILL_REQUIRE_SERVICES").is_some();
        assert!(!required, "{name} is required and missing: run scripts/setup.sh");
        eprintln!("skipped: {name} is not installed");
    }
    there
}

/// What a command prints, which must succeed.
fn told(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Packs the tests' program into a folder; the name of the release.
fn pack(out: &Path) -> String {
    let mut dist = Command::new(Path::new(ROOT).join("scripts/dist.sh"));
    dist.args(["--binary", env!("CARGO_BIN_EXE_reelmill"), "--out"]).arg(out);
    told(&mut dist);
    let files = fs::read_dir(out).unwrap().map(|file| file.unwrap().file_name());
    let names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let name = names.iter().find_map(|name| name.strip_suffix(".tar.gz")).unwrap();
    let version = reelmill::version::VERSION;
    assert!(name.starts_with(&format!("reelmill-{version}-")), "{name}");
    name.to_owned()
}

fn check_sums(folder: &Path, sums: &str) {
    told(Command::new("sha256sum").args(["--check", "--strict", sums]).current_dir(folder));
}

/// A program of the archive in an environment with nothing but an empty home.
fn bare(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir(home);
    command
}

#[test]
fn a_release_runs_where_it_is_unpacked() {
    let debian = there("Debian's list of packages", &["dpkg-query", "--show", "libc6"]);
    if !(debian && there("binutils", &["strip", "--version"])) {
        return;
    }
    let (out, place, home) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let name = pack(out.path());
    check_sums(out.path(), &format!("{name}.SHA256SUMS"));
    let archive = out.path().join(format!("{name}.tar.gz"));
    told(Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(place.path()));
    let folder = place.path().join(&name);
    check_sums(&folder, "SHA256SUMS");

    let program = folder.join("bin/reelmill");
    let version = told(bare(&program, home.path()).arg("--version"));
    assert_eq!(version, format!("reelmill {}\n", reelmill::version::VERSION));
    let page = fs::read_to_string(folder.join("share/man/man1/reelmill.1")).unwrap();
    assert!(page.contains(reelmill::version::VERSION), "{page}");

    // It finds its ONNX Runtime without being told, and says where it looked where there is none.
    let told_where = starts(&program, home.path());
    assert!(told_where.starts_with("REELMILL_REKOGNITION=http://127.0.0.1:"), "{told_where}");
    fs::remove_dir_all(folder.join("lib")).unwrap();
    let said = starts(&program, home.path());
    assert!(said.contains("lib/reelmill") && said.contains("was not found"), "{said}");

    has_all_licences(&folder);
    lists_all_parts(&folder);
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let image = fs::read_to_string(Path::new(ROOT).join("Dockerfile")).unwrap();
    let packages = readme.lines().find_map(|line| line.trim().strip_prefix("apt-get install "));
    let packages: Vec<_> = packages.unwrap().split(' ').collect();
    for package in packages.iter().filter(|package| package.starts_with("libav")) {
        assert!(image.contains(package), "{package} is not in the image");
    }
    assert!(packages.contains(&"libavcodec59") && packages.contains(&"libc6"), "{packages:?}");
    assert!(!readme.contains('@'), "{readme}");
}

/// The first line that the detector prints, on standard output where it starts.
fn starts(program: &Path, home: &Path) -> String {
    let mut detector = bare(program, home)
        .args(["vision", "--port", "0", "--data", "data", "--s3", "http://127.0.0.1:9"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(detector.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        detector.stderr.take().unwrap().read_to_string(&mut line).unwrap();
    }
    detector.kill().unwrap();
    detector.wait().unwrap();
    line
}

/// The crates of the program as cargo names them, `NAME VERSION`; and whether each is somebody else's.
fn crates() -> BTreeMap<String, bool> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--package", "reelmill", "--edges", "normal"]);
    tree.args(["--prefix", "none", "--format", "{p}"]).current_dir(ROOT);
    let lines = told(&mut tree);
    let named = lines.lines().map(|line| {
        let mut words = line.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        (format!("{name} {}", version.trim_start_matches('v')), !line.contains(ROOT))
    });
    named.collect()
}

fn has_all_licences(folder: &Path) {
    let licenses = fs::read_to_string(folder.join("licenses/crates.txt")).unwrap();
    let foreign: Vec<_> =
        crates().into_iter().filter_map(|(name, is)| is.then_some(name)).collect();
    assert!(foreign.len() > 300, "{foreign:?}");
    for named in foreign {
        // Once in the list, and where a text begins.
        let listed = licenses.matches(&format!("\n{named}: ")).count();
        let standard = licenses.contains(&format!("\n{named}, which names "));
        assert!(listed > 1 || (listed == 1 && standard), "{named} has no licence");
    }
    // C libraries inside crates.
    for library in ["librdkafka/LICENSE", "jemalloc/COPYING", "aws-lc/LICENSE", "swagger-ui-"] {
        assert!(licenses.contains(library), "{library}");
    }
    for file in ["onnxruntime.txt", "onnxruntime-third-party-notices.txt", "CC0-1.0.txt"] {
        assert!(fs::metadata(folder.join("licenses").join(file)).unwrap().len() > 1_000, "{file}");
    }
}

fn lists_all_parts(folder: &Path) {
    let file = folder.join("reelmill.cdx.json");
    let bom: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let components = bom["components"].as_array().unwrap();
    let name_of = |part: &Value| part["name"].as_str().unwrap().to_owned();
    let of_cargo = |part: &&Value| {
        let reference = part["bom-ref"].as_str().unwrap();
        reference.starts_with("pkg:cargo/") || reference.starts_with("reelmill:")
    };
    let named = components.iter().filter(of_cargo);
    let mut named: BTreeSet<_> = named
        .map(|part| format!("{} {}", name_of(part), part["version"].as_str().unwrap()))
        .collect();
    named.insert(format!("reelmill {}", env!("CARGO_PKG_VERSION")));
    // The pages at /docs/ come from a crate that only a build script needs.
    let pages = named.iter().find(|name| name.starts_with("utoipa-swagger-ui-vendored ")).cloned();
    assert!(named.remove(&pages.unwrap()));
    assert_eq!(named, crates().into_keys().collect());
    assert_eq!(bom["metadata"]["component"]["version"], reelmill::version::VERSION);

    let part = |name: &str| components.iter().find(|part| part["name"] == name).unwrap();
    let sum = |path: PathBuf| {
        Sha256::digest(fs::read(path).unwrap()).iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    };
    for model in ["yunet_s_dynamic.onnx", "yolox_nano.onnx", "dlib_face_resnet_v1.onnx"] {
        let right = sum(Path::new(ROOT).join("models").join(model));
        assert_eq!(part(model)["hashes"][0]["content"], right, "{model}");
    }
    assert_eq!(part("onnxruntime")["licenses"][0]["license"]["id"], "MIT");
    assert!(part("libavcodec59")["description"].as_str().unwrap().contains("libavcodec.so.59"));
    // No path of the machine that built it.
    let text = bom.to_string();
    assert!(!text.contains(ROOT) && !text.contains("path+file"), "a path of this machine");

    if there("cyclonedx for python", &["python3", "-c", "import cyclonedx.validation.json"]) {
        let check = "import sys; from cyclonedx.schema import SchemaVersion; \
            from cyclonedx.validation.json import JsonStrictValidator; \
            sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6)\
            .validate_str(open(sys.argv[1]).read()) or '') or None)";
        told(Command::new("python3").args(["-c", check]).arg(file));
    }
}

#[test]
fn a_version_is_cargos_and_what_git_adds() {
    if !there("git", &["git", "--version"]) {
        return;
    }
    let place = TempDir::new().unwrap();
    let at = |path: &str| place.path().join(path);
    fs::create_dir(at("scripts")).unwrap();
    fs::copy(Path::new(ROOT).join("scripts/version.sh"), at("scripts/version.sh")).unwrap();
    fs::write(at("Cargo.toml"), "[workspace.package]\nversion = \"1.2.3\"\n").unwrap();
    let version = || Command::new(at("scripts/version.sh")).output().unwrap();
    let is = || String::from_utf8(version().stdout).unwrap().trim_end().to_owned();
    let git = |words: &[&str]| {
        let who = ["-c", "user.name=me", "-c", "user.email=me@example.com"];
        told(Command::new("git").args(who).args(words).current_dir(place.path()))
    };
    assert_eq!(is(), "1.2.3", "without git");

    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "one"]);
    let commit = || git(&["rev-parse", "--short=9", "HEAD"]).trim_end().to_owned();
    assert_eq!(is(), format!("1.2.3+1.g{}", commit()), "never tagged");
    git(&["tag", "v1.2.3"]);
    assert_eq!(is(), "1.2.3");
    fs::write(at("more"), "").unwrap();
    assert_eq!(is(), format!("1.2.3+0.g{}-dirty", commit()));
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "two"]);
    assert_eq!(is(), format!("1.2.3+1.g{}", commit()));
    git(&["tag", "v2.0.0"]);
    let refused = String::from_utf8(version().stderr).unwrap();
    assert!(refused.contains("v2.0.0") && refused.contains("1.2.3"), "{refused}");
}

/// <https://keepachangelog.com/en/1.1.0/>
#[test]
fn the_changelog_keeps_its_form() {
    let text = fs::read_to_string(Path::new(ROOT).join("CHANGELOG.md")).unwrap();
    assert!(text.starts_with("# Changelog\n"));
    let sections: Vec<_> = text.split("\n## ").skip(1).collect();
    assert!(sections[0].starts_with("[Unreleased]\n"), "the newest section is [Unreleased]");
    for (nth, section) in sections.iter().enumerate() {
        let (head, body) = section.split_once('\n').unwrap();
        if nth > 0 {
            let (version, day) = head.split_once(" - ").unwrap();
            assert!(version.starts_with('[') && version.ends_with(']'), "{head}");
            assert_eq!(day.split('-').map(str::len).collect::<Vec<_>>(), [4, 2, 2], "{head}");
        }
        // The newest that is out is what Cargo says.
        if nth == 1 {
            assert!(head.starts_with(&format!("[{}]", env!("CARGO_PKG_VERSION"))), "{head}");
        }
        let mut kinds = BTreeSet::new();
        for part in body.split("\n### ").skip(1) {
            let (kind, entries) = part.split_once('\n').unwrap();
            let known = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
            assert!(known.contains(&kind), "{head}: {kind}");
            assert!(kinds.insert(kind), "{head} has {kind} twice");
            for line in entries.lines().filter(|line| !line.is_empty()) {
                assert!(line.starts_with("- ") || line.starts_with("  "), "{head}: {line}");
            }
        }
        assert!(!kinds.is_empty(), "{head} says nothing");
    }
}
