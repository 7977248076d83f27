#!/usr/bin/env python3
"""What can be said of alerts and dashboards without a mill at work.

promtool reads the configuration and the rules and runs their cases; every alert has one that fires, one
that stays silent, and a runbook; the dashboards are those that make.py makes; what the containers are
given is there and of a shape that Grafana knows; and every word that a query compares a label with is one that the program says.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import mill
import queries

sys.path.insert(0, str(mill.ROOT / "deploy/grafana"))
import table

PROMETHEUS = mill.ROOT / "deploy/prometheus"
RULES = PROMETHEUS / "rules.yml"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOKS = mill.ROOT / "docs/runbooks"
# Where labels get their words. The reasons of refused media come from everywhere; no query names one.
SAID = {
    "verdict": "engine",
    "outcome": "engine",
    "kind": "engine",
    "service": "engine",
    "client": "engine",
    "operation": "connectors",
    "reason": "connectors",
    "processor": "processors",
}


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    return [] if done.returncode == 0 else [f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}"]


def alerts():
    """By name the texts of its rules."""
    found = {}
    for text in re.split(r"\n +- alert: ", RULES.read_text())[1:]:
        found.setdefault(text.split("\n", 1)[0], []).append(text)
    return found


def check_alerts():
    complaints, cases = [], "\n".join(test.read_text() for test in TESTS)
    pages = set()
    for name, rules in alerts().items():
        for kind in ("fires", "is silent"):
            if f"{name} {kind}" not in cases:
                complaints.append(f"{name}: no case in which it {kind}")
        for rule in rules:
            page = re.search(r"runbook_url: (\S+)", rule)
            severity = re.search(r"severity: (\w+)", rule)
            if not page or not (mill.ROOT / page.group(1)).is_file():
                complaints.append(f"{name}: no runbook")
                continue
            pages.add(page.group(1))
            heading = (mill.ROOT / page.group(1)).read_text().split("\n", 1)[0]
            if heading != f"# {name}":
                complaints.append(f"{page.group(1)} is about {heading}, not {name}")
            if not severity or severity.group(1) not in ("warning", "critical"):
                complaints.append(f"{name}: severity is warning or critical")
            if not all(word in rule for word in ("summary:", "description:")):
                complaints.append(f"{name}: no summary or no description")
    there = {str(page.relative_to(mill.ROOT)) for page in RUNBOOKS.glob("*.md")} - {"docs/runbooks/README.md"}
    complaints += [f"{page}: no alert leads there" for page in sorted(there - pages)]
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (RUNBOOKS / "README.md").read_text()))
    if listed != {pathlib.Path(page).name for page in pages}:
        complaints.append("docs/runbooks/README.md does not list just the runbooks there are")
    return complaints


def check_words():
    asked = [("rules.yml", RULES.read_text())]
    for name, made in table.dashboards().items():
        asked += [(name, target["expr"]) for panel in made["panels"] for target in panel.get("targets", [])]
    complaints = set()
    for label, crate in SAID.items():
        sources = "\n".join(file.read_text() for file in (mill.ROOT / crate / "src").rglob("*.rs"))
        for where, query in asked:
            for word in queries.words(query, label):
                if re.fullmatch(r"\w+", word) and f'"{word}"' not in sources:
                    complaints.add(f'{where}: {label}="{word}", which {crate} never says')
    return sorted(complaints)


def check_mounts():
    """What docker-compose.yml gives to Prometheus and Grafana is there, where they look for it."""
    text = (mill.ROOT / "docker-compose.yml").read_text()
    mounts = dict(re.findall(r"- \./(deploy/(?:grafana|prometheus)\S*?):(\S+):ro", text))
    complaints = [
        f"docker-compose.yml: {path} is not there" for path in mounts if not (mill.ROOT / path).exists()
    ]
    provider = (mill.ROOT / "deploy/grafana/dashboards.yml").read_text()
    folder = re.search(r"path: (\S+)", provider).group(1)
    if mounts.get("deploy/grafana/dashboards") != folder:
        complaints.append(f"docker-compose.yml does not mount the dashboards to {folder}")
    for file in ("prometheus.yml", "rules.yml"):
        if mounts.get(f"deploy/prometheus/{file}") != f"/etc/prometheus/{file}":
            complaints.append(f"docker-compose.yml does not give {file} to Prometheus")
    return complaints


def lost(made, kept, path):
    """What is in the first and not in the second."""
    if isinstance(made, dict) and isinstance(kept, dict):
        return [
            each for name, value in made.items() for each in lost(value, kept.get(name), f"{path}.{name}")
        ]
    if isinstance(made, list) and isinstance(kept, list) and len(made) == len(kept):
        return [each for n, value in enumerate(made) for each in lost(value, kept[n], f"{path}[{n}]")]
    return (
        [] if made == kept else [f"{path}: Grafana 11 knows no such field or value: {json.dumps(made)[:80]}"]
    )


def check_shapes():
    """Grafana's own library reads the dashboards and writes them again; what it does not know is gone."""
    try:
        from grafana_foundation_sdk.cog import encoder, plugins
        from grafana_foundation_sdk.models.dashboard import Dashboard
    except ImportError:
        missing = "grafana-foundation-sdk is not installed (scripts/setup.sh)"
        if "REELMILL_REQUIRE_SERVICES" in os.environ:
            return [missing]
        print(f"skipped: {missing}", file=sys.stderr)
        return []
    plugins.register_default_plugins()
    complaints = []
    for name, made in table.dashboards().items():
        kept = encoder.JSONEncoder().encode(Dashboard.from_json(made))
        complaints += lost(made, json.loads(kept), name)
    return complaints


def main():
    complaints = run(mill.PROMTOOL, "check", "config", PROMETHEUS / "prometheus.yml")
    complaints += run(mill.PROMTOOL, "check", "rules", RULES)
    complaints += run(mill.PROMTOOL, "test", "rules", *TESTS)
    complaints += run(sys.executable, mill.ROOT / "deploy/grafana/make.py", "--check")
    complaints += check_alerts() + check_words() + check_mounts() + check_shapes()
    if complaints:
        sys.exit("\n".join(complaints))
    print(
        f"{len(alerts())} alerts: each fires, is silent and has a runbook; {len(table.dashboards())} dashboards are as made"
    )


if __name__ == "__main__":
    main()
