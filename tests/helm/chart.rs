//! What helm makes of the chart with each set of values.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

pub(crate) const CHART: &str = "deploy/helm/reelmill";
/// The oldest Kubernetes that the chart is for.
pub(crate) const KUBERNETES: &str = "1.30";

/// The folder of the tools.
pub(crate) fn tools() -> Option<PathBuf> {
    let tools = std::env::home_dir().unwrap().join(".cache/reelmill/helm");
    if !tools.exists() {
        let required = std::env::var_os("REELMILL_REQUIRE_SERVICES").is_some();
        assert!(!required, "{} is missing: run scripts/setup.sh", tools.display());
        eprintln!("skipped: helm is not installed (scripts/helm.sh)");
        return None;
    }
    Some(tools)
}

/// What a tool prints, or what it says against its work.
pub(crate) fn told(tool: &Path, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(tool)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // Nobody's own settings, and no cluster.
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    drop(writer.join().unwrap());
    let [said, complained] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    if output.status.success() { Ok(said) } else { Err(complained + &said) }
}

/// What a tool printed; it had nothing to say against its work.
pub(crate) fn taken(name: &str, told: Result<String, String>) -> String {
    assert!(told.is_ok(), "{name}: {}", told.unwrap_err());
    told.unwrap()
}

/// YAML documents as JSON.
pub(crate) fn documents(tools: &Path, yaml: &str) -> Vec<Value> {
    serde_json::from_str(&told(&tools.join("documents"), &[], yaml).unwrap()).unwrap()
}

pub(crate) fn read(file: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The files of a folder, by name without ending.
pub(crate) fn files(folder: &str, ending: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return BTreeMap::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let named = names.filter_map(|name| {
        let stem = name.strip_suffix(ending)?;
        Some((stem.to_owned(), format!("{folder}/{name}")))
    });
    named.collect()
}

/// What helm is told for each set of values: `tests/helm/taken`, the examples, the defaults.
pub(crate) fn sets() -> BTreeMap<String, Vec<String>> {
    let base = "--values=tests/helm/base.yaml".to_owned();
    let mut sets = BTreeMap::from([("defaults".to_owned(), vec![base.clone()])]);
    for (name, file) in files("tests/helm/taken", ".yaml") {
        sets.insert(name, vec![base.clone(), format!("--values={file}")]);
    }
    for (name, file) in files(&format!("{CHART}/examples"), ".yaml") {
        let mut told = vec![format!("--values={file}")];
        if name == "tiny" {
            told.push("--set=secrets.create.secretKey=secret-key-of-mine".to_owned());
            told.push("--set=secrets.create.postgresPassword=password-of-mine".to_owned());
        }
        sets.insert(format!("example-{name}"), told);
    }
    sets
}

/// What helm makes of a set of values.
pub(crate) fn templated(tools: &Path, values: &[String]) -> Result<String, String> {
    let mut arguments =
        vec!["template", "mill", CHART, "--namespace=film", "--kube-version", KUBERNETES];
    arguments.extend(values.iter().map(String::as_str));
    told(&tools.join("helm"), &arguments, "")
}

/// What helm makes of every set, made once for all tests.
pub(crate) fn texts() -> Option<&'static BTreeMap<String, String>> {
    static TEXTS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    let tools = tools()?;
    let text = |name: &str, values: &[String]| taken(name, templated(&tools, values));
    Some(TEXTS.get_or_init(|| {
        sets().into_iter().map(|(name, values)| (name.clone(), text(&name, &values))).collect()
    }))
}

/// The objects of every set.
pub(crate) fn rendered() -> Option<&'static BTreeMap<String, Vec<Value>>> {
    static RENDERED: OnceLock<BTreeMap<String, Vec<Value>>> = OnceLock::new();
    let (tools, texts) = (tools()?, texts()?);
    Some(RENDERED.get_or_init(|| {
        texts.iter().map(|(name, text)| (name.clone(), documents(&tools, text))).collect()
    }))
}

pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn words(value: &Value) -> Vec<&str> {
    list(value).iter().map(|word| word.as_str().unwrap()).collect()
}

/// Pods of all kinds, by the name of what makes them.
pub(crate) fn pods(objects: &[Value]) -> BTreeMap<&str, &Value> {
    let makers = objects.iter().filter(|object| object["spec"]["template"]["spec"].is_object());
    makers
        .map(|maker| {
            (maker["metadata"]["name"].as_str().unwrap(), &maker["spec"]["template"]["spec"])
        })
        .collect()
}

pub(crate) fn processors() -> BTreeSet<&'static str> {
    reelmill::pipeline::shape().specs().map(|spec| spec.name).collect()
}

/// Every value has its place in the schema, and what may have no others says so.
pub(crate) fn covered(schema: &Value, part: &Value, value: &Value, path: &str) {
    let part = match part["$ref"].as_str() {
        Some(to) => schema.pointer(to.strip_prefix('#').unwrap()).unwrap(),
        None => part,
    };
    let Some(fields) = value.as_object() else { return };
    // Words of others: labels, selectors, affinities.
    let free = part["properties"].is_null();
    assert!(free || part["additionalProperties"] == false, "{path} takes misspelt values");
    for (name, field) in fields.iter().filter(|_| !free) {
        let place = format!("{path}.{name}");
        let inner = &part["properties"][name];
        assert!(inner.is_object(), "values.schema.json lacks {place}");
        covered(schema, inner, field, &place);
    }
}
