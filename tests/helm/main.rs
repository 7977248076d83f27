//! The Helm chart: read by helm and kubectl-validate, held against the program and against KEDA.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod chart;

use chart::{
    CHART, KUBERNETES, covered, documents, files, list, of_kind, pods, processors, read, rendered,
    sets, taken, templated, texts, told, tools, words,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

/// Every secret that a set of values holds has these words in it.
const OF_MINE: &str = "of-mine";

#[test]
fn every_set_of_values_is_taken_by_helm_and_by_kubernetes() {
    let Some(tools) = tools() else { return };
    let (sets, texts) = (sets(), texts().unwrap());
    assert!(sets.len() >= 20, "{}", sets.len());
    let folder = tempfile::TempDir::new().unwrap();
    for (name, values) in &sets {
        let mut arguments = vec!["lint", "--strict", CHART, "--kube-version", KUBERNETES];
        arguments.extend(values.iter().map(String::as_str));
        taken(name, told(&tools.join("helm"), &arguments, ""));
        fs::write(folder.path().join(format!("{name}.yaml")), &texts[name]).unwrap();
    }
    let crds = tools.join("crds");
    let place = folder.path().to_str().unwrap();
    let arguments = ["--version", KUBERNETES, "--local-crds", crds.to_str().unwrap(), place];
    let validate = tools.join("kubectl-validate");
    taken("kubectl-validate", told(&validate, &arguments, ""));

    // It does look, at what KEDA adds too.
    let keda = fs::read_to_string(folder.path().join("defaults.yaml")).unwrap();
    let wrong = tempfile::TempDir::new().unwrap();
    for (right, misspelt) in
        [("maxReplicaCount", "maxReplicasCount"), ("seccompProfile", "seccomp")]
    {
        assert!(keda.contains(right));
        fs::write(wrong.path().join("wrong.yaml"), keda.replace(right, misspelt)).unwrap();
        let place = wrong.path().to_str().unwrap();
        let arguments = ["--version", KUBERNETES, "--local-crds", crds.to_str().unwrap(), place];
        let said = told(&validate, &arguments, "").unwrap_err();
        assert!(said.contains(misspelt), "{said}");
    }
}

#[test]
fn wrong_values_are_refused_by_name() {
    let Some(tools) = tools() else { return };
    let refused = files("tests/helm/refused", ".yaml");
    assert!(refused.len() >= 8, "{}", refused.len());
    for (name, file) in refused {
        let text = read(&file);
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let values = ["tests/helm/base.yaml", &file].map(|file| format!("--values={file}"));
        let said = templated(&tools, &values).expect_err(&name);
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn every_processor_has_a_deployment_and_is_scaled() {
    let Some(sets) = rendered() else { return };
    let deployments = |set: &str| -> BTreeMap<String, Value> {
        let told = of_kind(&sets[set], "Deployment").map(|deployment| {
            let part = deployment["metadata"]["labels"]["reelmill/part"].as_str().unwrap();
            (part.to_owned(), deployment.clone())
        });
        told.collect()
    };
    let of = |set: &str, kind: &str| -> BTreeSet<String> {
        let targets = of_kind(&sets[set], kind)
            .map(|scaled| scaled["spec"]["scaleTargetRef"]["name"].as_str().unwrap().to_owned());
        targets.collect()
    };
    let expected: BTreeSet<_> =
        processors().iter().map(|name| format!("mill-reelmill-{name}")).collect();
    let there = deployments("defaults");
    for name in processors() {
        let container = &there[name]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(words(&container["args"]), ["run", "--only", name]);
        // Whoever scales decides how many.
        assert!(there[name]["spec"]["replicas"].is_null(), "{name}");
    }
    assert_eq!(there.len(), processors().len() + 2, "beside them the api and watch");
    assert_eq!(of("defaults", "ScaledObject"), expected);
    assert!(of("defaults", "HorizontalPodAutoscaler").is_empty());
    assert_eq!(of("hpa-cpu", "HorizontalPodAutoscaler"), expected);
    assert_eq!(of("hpa-work-lag", "HorizontalPodAutoscaler"), expected);
    assert!(of("hpa-cpu", "ScaledObject").is_empty());
    assert_eq!(deployments("fixed")["cut"]["spec"]["replicas"], 2);
    assert!(of("fixed", "ScaledObject").is_empty());
}

/// The settings that come of it; or what the program says against it.
fn understood(arguments: &[&str], variables: &BTreeMap<String, String>) -> Result<String, String> {
    let printed = Command::new(env!("CARGO_BIN_EXE_reelmill"))
        .args(arguments)
        .arg("--print-config")
        .env_clear()
        .envs(variables)
        .output()
        .unwrap();
    let [settings, said] =
        [printed.stdout, printed.stderr].map(|text| String::from_utf8(text).unwrap());
    if printed.status.success() { Ok(settings) } else { Err(said) }
}

#[test]
fn what_a_container_is_told_is_what_the_program_understands() {
    let Some(sets) = rendered() else { return };
    let mut tried = BTreeSet::new();
    for (set, objects) in sets {
        for (name, pod) in pods(objects) {
            let container = &pod["containers"][0];
            // The project's own image has its program as entry point; the engines have theirs.
            if !container["image"].as_str().unwrap().contains("reelmill") {
                continue;
            }
            let place = format!("{set}: {name}");
            assert!(container["command"].is_null(), "{place}");
            let mut variables = BTreeMap::new();
            for variable in list(&container["env"]) {
                let given = match &variable["value"] {
                    Value::String(value) => value.clone(),
                    // From the Secret: an address or a word.
                    _ if variable["name"] == "REELMILL_DATABASE" => {
                        "postgres://ann@db/mill".to_owned()
                    }
                    _ if variable["name"] == "REELMILL_REGISTRY" => "http://registry".to_owned(),
                    _ => "hush".to_owned(),
                };
                let variable = variable["name"].as_str().unwrap().to_owned();
                assert!(variables.insert(variable, given).is_none(), "{place}: {variables:?}");
            }
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let asked = words(&container[probe]["exec"]["command"]);
                let Some((program, arguments)) = asked.split_first() else { continue };
                assert_eq!(*program, "reelmill", "{place}");
                assert!(understood(arguments, &BTreeMap::new()).is_ok(), "{place}: {asked:?}");
            }
            // What is logged is no setting of a command, and what is AWS's is none of ours.
            variables.remove("REELMILL_LOG");
            variables.remove("AWS_ROLE_SESSION_NAME");
            if !tried.insert((container["args"].to_string(), variables.clone())) {
                continue;
            }
            let printed = taken(&place, understood(&words(&container["args"]), &variables));
            let told = printed.lines().filter(|line| line.ends_with("# environment")).count();
            assert_eq!(told, variables.len(), "{place}: {variables:?} but {printed}");
        }
    }
    assert!(tried.len() > processors().len(), "{tried:?}");
}

#[test]
fn no_pod_has_rights_it_does_not_need() {
    // Images of others that write to their root, as their publishers say.
    let writing = ["kafka", "registry", "opensearch"];
    let Some(sets) = rendered() else { return };
    for (set, objects) in sets {
        for (name, pod) in pods(objects) {
            let place = format!("{set}: {name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{place}");
            assert!(pod["securityContext"]["runAsUser"].as_u64().unwrap() > 0, "{place}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
                "{place}"
            );
            assert!(pod["hostNetwork"].is_null() && pod["hostPID"].is_null(), "{place}");
            assert!(pod["initContainers"].is_null(), "{place}");
            for container in list(&pod["containers"]) {
                let rights = &container["securityContext"];
                assert_eq!(rights["allowPrivilegeEscalation"], false, "{place}");
                assert_eq!(rights["capabilities"], json!({"drop": ["ALL"]}), "{place}");
                let may_write = writing.contains(&container["name"].as_str().unwrap());
                assert_eq!(rights["readOnlyRootFilesystem"], !may_write, "{place}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{place}");
                let image = container["image"].as_str().unwrap();
                let version = image.rsplit_once(':').unwrap().1;
                assert!(version.contains(|c: char| c.is_ascii_digit()), "{place}: {image}");
            }
            for volume in list(&pod["volumes"]) {
                let kinds = ["emptyDir", "persistentVolumeClaim", "configMap"];
                assert!(kinds.iter().any(|kind| volume[kind].is_object()), "{place}: {volume}");
                let unbounded =
                    volume["emptyDir"].is_object() && volume["emptyDir"]["sizeLimit"].is_null();
                assert!(!unbounded, "{place}: {volume}");
            }
        }
    }
}

#[test]
fn a_stop_has_time_for_what_is_in_hand_and_scratch_for_what_may_be_kept() {
    let Some(sets) = rendered() else { return };
    for (set, objects) in sets {
        for deployment in of_kind(objects, "Deployment") {
            let pod = &deployment["spec"]["template"]["spec"];
            let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
            // `run` is over within ten seconds: src/mill.rs.
            assert!(grace >= 15, "{set}: {grace}");
            let variables = list(&pod["containers"][0]["env"]);
            let scratch = variables.iter().find(|v| v["name"] == "REELMILL_SCRATCH_MAX_BYTES");
            let Some(scratch) = scratch else { continue };
            let scratch: u64 = scratch["value"].as_str().unwrap().parse().unwrap();
            let data =
                list(&pod["volumes"]).iter().find(|volume| volume["name"] == "data").unwrap();
            let limit: u64 = data["emptyDir"]["sizeLimit"].as_str().unwrap().parse().unwrap();
            assert!(limit > scratch, "{set}: {limit}");
        }
    }
}

#[test]
fn secrets_are_in_secrets_alone() {
    let Some(sets) = rendered() else { return };
    for (set, objects) in sets {
        let secrets: Vec<_> = of_kind(objects, "Secret").collect();
        let others = [
            "secret-that-is-there",
            "kafka-with-password-in-a-secret",
            "example-aws",
            "example-self-hosted",
        ];
        assert_eq!(secrets.is_empty(), others.contains(&set.as_str()), "{set}");
        for object in objects.iter().filter(|object| object["kind"] != "Secret") {
            // The bucket is called so, too.
            let text = object.to_string().replace("footage.of-mine", "");
            assert!(!text.contains(OF_MINE), "{set}: {text}");
        }
    }
}

#[test]
fn keda_is_told_only_what_it_knows_and_asks_for_a_figure_that_there_is() {
    let Some(tools) = tools() else { return };
    let known: Value =
        serde_json::from_str(&fs::read_to_string(tools.join("scalers.json")).unwrap()).unwrap();
    let scaler =
        list(&known["scalers"]).iter().find(|scaler| scaler["type"] == "prometheus").unwrap();
    let parameters = list(&scaler["parameters"]).iter();
    // Others are for a TriggerAuthentication.
    let parameters = parameters.filter(|parameter| parameter["metadataVariableReadable"] == true);
    let known: BTreeMap<_, _> = parameters
        .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["optional"] == true))
        .collect();
    let metrics = engine::Metrics::new().unwrap();
    metrics.set_work("cut", 1, std::time::Duration::ZERO);
    assert!(metrics.gather().contains("reelmill_work_lag{processor=\"cut\"} 1"));
    let mut triggers = 0;
    for (set, objects) in rendered().unwrap() {
        for scaled in of_kind(objects, "ScaledObject") {
            let name = scaled["metadata"]["labels"]["reelmill/part"].as_str().unwrap();
            assert!(scaled["spec"]["fallback"]["replicas"].as_u64().unwrap() >= 1, "{set}: {name}");
            for trigger in list(&scaled["spec"]["triggers"]) {
                assert_eq!(trigger["type"], "prometheus");
                let told = trigger["metadata"].as_object().unwrap();
                for (key, value) in told {
                    assert!(known.contains_key(key.as_str()), "{set}: KEDA knows no {key}");
                    assert!(value.is_string(), "{set}: {key} is no text");
                }
                for (needed, _) in known.iter().filter(|(_, optional)| !**optional) {
                    assert!(told.contains_key(*needed), "{set}: {needed} is missing");
                }
                let query = told["query"].as_str().unwrap();
                let begin = format!("max(reelmill_work_lag{{processor=\"{name}\",");
                assert!(query.starts_with(&begin), "{set}: {query}");
                // Without figures KEDA would take it that there is no work.
                assert_eq!(told["ignoreNullValues"], "false");
                triggers += 1;
            }
        }
    }
    assert!(triggers > 100, "{triggers}");
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    let Some(tools) = tools() else { return };
    let schema: Value = serde_json::from_str(&read(format!("{CHART}/values.schema.json"))).unwrap();
    let values = documents(&tools, &read(format!("{CHART}/values.yaml"))).remove(0);
    let known = schema["properties"]["processors"]["properties"].as_object().unwrap();
    assert_eq!(known.keys().map(String::as_str).collect::<BTreeSet<_>>(), processors());
    let listed = values["processors"].as_object().unwrap();
    assert_eq!(listed.keys().map(String::as_str).collect::<BTreeSet<_>>(), processors());
    covered(&schema, &schema, &values, "");
}

#[test]
fn what_tools_write_is_up_to_date() {
    let Some(tools) = tools() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copies = [
        ("deploy/prometheus", "rules.yml", "files"),
        ("deploy/grafana/dashboards", ".json", "files/dashboards"),
    ];
    for (folder, ending, copied) in copies {
        let (originals, copies) =
            (files(folder, ending), files(&format!("{CHART}/{copied}"), ending));
        let contents = |files: BTreeMap<String, String>| -> BTreeMap<String, String> {
            files.into_iter().map(|(name, file)| (name, read(file))).collect()
        };
        assert!(
            contents(originals) == contents(copies),
            "{folder} is not {CHART}/{copied}: make chart"
        );
    }
    let folder = tempfile::TempDir::new().unwrap();
    for name in ["Chart.yaml", "values.yaml", "README.md.gotmpl"] {
        fs::copy(root.join(CHART).join(name), folder.path().join(name)).unwrap();
    }
    let place = folder.path().to_str().unwrap();
    let arguments = ["--chart-search-root", place, "--sort-values-order", "file"];
    told(&tools.join("helm-docs"), &arguments, "").unwrap();
    let written = fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(written == read(format!("{CHART}/README.md")), "the chart's README is old: make chart");
}

#[test]
fn versions_are_those_of_the_program_and_of_docker_compose() {
    let Some(tools) = tools() else { return };
    let chart = documents(&tools, &read(format!("{CHART}/Chart.yaml"))).remove(0);
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let compose = read("docker-compose.yml");
    let values = documents(&tools, &read(format!("{CHART}/values.yaml"))).remove(0);
    for (name, engine) in values["engines"].as_object().unwrap() {
        for image in ["image", "bucketImage"].iter().filter_map(|key| engine[key].as_str()) {
            assert!(compose.contains(&format!("image: {image}\n")), "{name}: {image}");
        }
    }
}

#[test]
fn the_notes_show_an_upload_event_a_search_and_grafana() {
    let Some(tools) = tools() else { return };
    // Helm prints notes of a cluster only, so that here they are put into an object.
    let folder = tempfile::TempDir::new().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copied = Command::new("cp")
        .arg("-r")
        .args([root.join(CHART), folder.path().join("chart")])
        .status()
        .unwrap();
    assert!(copied.success());
    let chart = folder.path().join("chart");
    fs::rename(chart.join("templates/NOTES.txt"), chart.join("notes.txt")).unwrap();
    let object = "notes: {{ tpl (.Files.Get \"notes.txt\") . | toJson }}\n";
    fs::write(chart.join("templates/notes.yaml"), object).unwrap();
    let said = ["defaults", "no-api", "ingress", "registry-with-password", "example-tiny"];
    for (name, values) in sets().into_iter().filter(|(name, _)| said.contains(&name.as_str())) {
        let mut arguments = vec!["template", "mill", chart.to_str().unwrap(), "--namespace=film"];
        arguments.extend(values.iter().map(String::as_str));
        arguments.push("--show-only=templates/notes.yaml");
        let object = taken(&name, told(&tools.join("helm"), &arguments, ""));
        let notes = documents(&tools, &object).remove(0)["notes"].as_str().unwrap().to_owned();
        for line in [
            "reelmill event encode video-uploaded > event.bin",
            "kcat -P -b ",
            " port-forward service/",
            " 3000:",
        ] {
            assert!(notes.contains(line), "{name}: {line} is missing: {notes}");
        }
        let searches = notes.contains("reelmill search 'person AND NOT tie'");
        assert_eq!(searches, name != "no-api", "{name}: {notes}");
        let no_value = ["<no value>", "%!", "<nil>"].iter().any(|sign| notes.contains(sign));
        assert!(!no_value, "{name}: {notes}");
    }
}

#[test]
fn a_real_api_server_takes_the_chart_and_its_upgrades() {
    let Some(texts) = texts() else { return };
    if std::env::var_os("REELMILL_KUBE").is_none() {
        eprintln!("not asked for: REELMILL_KUBE=1 runs a kube-apiserver (scripts/kube.sh)");
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    for (name, text) in texts {
        fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    }
    let steps = ["keda", "settings", "hpa-cpu", "fixed", "own-engines", "keda"];
    let checked = Command::new("scripts/kube.sh")
        .arg("check")
        .arg(folder.path())
        .args(steps.map(|name| format!("tests/helm/taken/{name}.yaml")))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = [checked.stdout, checked.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(checked.status.success(), "{}", said.join("\n"));
}
