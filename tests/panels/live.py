#!/usr/bin/env python3
"""Every query of every dashboard, asked of a real Prometheus that scrapes a mill at work.

The mill makes recordings of a film and refuses a file that is none; `reelmill watch` tells what waits.
promtool must find nothing amiss with their pages, and the pages have no metric that docs/metrics.md does not list. A query must answer with numbers, unless QUIET says
why it has nothing to say; and it may name only metrics and labels that are on the pages.

    tests/panels/live.py        starts a Prometheus (scripts/services.sh) where none is given
"""

import re
import subprocess
import sys
import time
import urllib.error

import mill
import queries

sys.path.insert(0, str(mill.ROOT / "deploy/grafana"))
import parts
import table

# Panels that say nothing about a mill in which all goes well but one file that is no film.
QUIET = {
    ("media", "Detector failures by reason"): "the detector fails at nothing here",
    ("api", "Failures by reason"): "catalogue and index can be written here",
    ("mill", "Requests that failed"): "all services answer here",
}
# Every metric there is; some are of what does not happen here.
LISTED = mill.ROOT / "docs/metrics.md"
UNSEEN = {"reelmill_processor_stops_total": "nothing stops by itself here"}
# Series on all pages together before there was anything to do.
MOST_WHEN_IDLE = 500


def on_the_pages(pages):
    names, labels = set(queries.OF_PROMETHEUS), set(queries.LABELS_OF_PROMETHEUS)
    for line in "\n".join(pages).splitlines():
        if found := re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line):
            names.add(found.group(1))
            labels.update(re.findall(r'(\w+)="', found.group(2) or ""))
    return names, labels


def series(page):
    return sum(1 for line in page.splitlines() if line and not line.startswith("#"))


def work(watched):
    """The pages before and after the work."""
    data = str(watched.folder / "data")
    watched.start(
        "up", "up", "--data", data, "--clip-seconds", "3", *mill.ANY_PORT, variable="REELMILL_REKOGNITION"
    )
    url = watched.variables["REELMILL_URL"]
    watch = watched.start("watch", "watch", "--port", "0", variable="REELMILL_WATCH")
    watched.rules(mill.ROOT / "deploy/prometheus/rules.yml")
    watched.scrape("mill", url)
    watched.scrape("watch", watch)
    asked = table.Prometheus(watched.prometheus)

    def count(query):
        found = asked.get("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else 0

    mill.until("what waits, in Prometheus", lambda: count("count(reelmill_work_lag)") == len(parts.STAGES))
    idle = [mill.read(f"{at}/metrics") for at in (url, watch)]
    # Twice: a series begins with its first event, and a rate needs what comes after it.
    for _ in range(2):
        made = watched.upload(mill.FILM, "--wait")
        if made.returncode != 0:
            raise SystemExit(f"the film was not made:\n{made.stdout}{made.stderr}")
    text = watched.folder / "x.mp4"
    text.write_text("no film")
    refused = watched.upload(text, "--wait")
    if "not_media" not in refused.stderr:
        raise SystemExit(f"a text file was not refused as one:\n{refused.stdout}{refused.stderr}")
    done = 'sum(reelmill_events_total{processor=~"sweep|thumbnail",verdict="emitted"})'
    mill.until("the last stages, in Prometheus", lambda: count(done) >= 4)
    for _ in range(2):
        mill.read(f"{url}/api/search?q=face")
        try:
            mill.read(f"{url}/api/videos/nobodys")
        except urllib.error.HTTPError as refused:
            if refused.code != 404:
                raise
        time.sleep(2)
    # Two scrapes more, so that rates have something to stand on.
    time.sleep(2)
    return idle, [mill.read(f"{at}/metrics") for at in (url, watch)]


def check_pages(idle, pages):
    complaints = []
    count = sum(map(series, idle))
    if count > MOST_WHEN_IDLE:
        complaints.append(f"{count} series when idle, and {MOST_WHEN_IDLE} are the most there should be")
    for page in pages:
        lint = subprocess.run([mill.PROMTOOL, "check", "metrics"], input=page, capture_output=True, text=True)
        if lint.returncode != 0 or lint.stdout or lint.stderr:
            complaints.append(f"promtool check metrics:\n{lint.stdout}{lint.stderr}")
    listed = set(re.findall(r"^\| `(\w+)` \|", LISTED.read_text(), re.MULTILINE))
    there = set(re.findall(r"^# TYPE (\w+) ", "\n".join(pages), re.MULTILINE))
    complaints += [f"{name}: on a page, and not in docs/metrics.md" for name in sorted(there - listed)]
    complaints += [
        f"{name}: in docs/metrics.md, and on no page" for name in sorted(listed - there - set(UNSEEN))
    ]
    return complaints


def check_panel(name, panel, ways, names, labels):
    """Complaints about one panel; `ways` are as many Prometheus as its variables have values."""
    complaints, answered = [], 0
    for n, target in enumerate(panel["targets"]):
        query = target["expr"]
        where = f"{name}: {panel['title']}: {query}"
        unknown = queries.metrics(query) - names
        if unknown:
            complaints.append(f"{where}\n    no page has {', '.join(sorted(unknown))}")
            continue
        strange = queries.labels(query) - labels
        if strange:
            complaints.append(f"{where}\n    no page has the label {', '.join(sorted(strange))}")
            continue
        try:
            answers = [ask.panel({"targets": [target]})[0][1] for ask in ways]
        except table.Refused as refused:
            complaints.append(f"{where}\n    Prometheus refuses it: {refused}")
            continue
        answered += 1
        quiet = QUIET.get((name, panel["title"]))
        if quiet is None and not any(answers):
            complaints.append(f"{where}\n    no data")
    return complaints, answered


def main():
    mill.within_services(__file__)
    begun = time.monotonic()
    with mill.watched() as watched:
        idle, pages = work(watched)
        worked = time.monotonic() - begun
        names, labels = on_the_pages(pages)
        complaints, panels, asked, titles = check_pages(idle, pages), 0, 0, set()
        asking = table.Prometheus(watched.prometheus)
        mill.until("all parts, in Prometheus", lambda: asking.get("query", query="min(up) == 1")["result"])
        for name, made in table.dashboards().items():
            stages = next(
                (v["query"].split(",") for v in made["templating"]["list"] if v["name"] == "processor"), [""]
            )
            # Grafana's own view of a mill that has just begun: all of it.
            last = int(time.monotonic() - begun)
            ways = [
                table.Prometheus(watched.prometheus, last, scrape=1, variables={"processor": stage})
                for stage in stages
            ]
            for panel in (panel for panel in made["panels"] if panel["type"] != "row"):
                wrong, answered = check_panel(name, panel, ways, names, labels)
                complaints += wrong
                panels, asked = panels + 1, asked + answered
                titles.add((name, panel["title"]))
        complaints += [
            f"{name}: {title}: not a panel, and yet excused"
            for name, title in QUIET
            if (name, title) not in titles
        ]
        complaints += check_alerts(asking, names)
    if complaints:
        sys.exit("\n".join(complaints))
    took = time.monotonic() - begun
    print(
        f"{panels} panels, {asked} queries: data for all but {len(QUIET)} that are excused ({worked:.0f} s of work, {took:.0f} s in all)"
    )
    print(f"{sum(map(series, idle))} series when idle, {sum(map(series, pages))} after the work")


def check_alerts(prometheus, names):
    """The rules as Prometheus has loaded them: each can be judged, and none cries over this mill."""
    complaints = []
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    if not rules:
        complaints.append("Prometheus has loaded no rules")
    for rule in rules:
        if rule["health"] != "ok":
            complaints.append(f"alert {rule['name']}: {rule['health']} {rule.get('lastError', '')}")
        unknown = queries.metrics(rule["query"]) - names
        if unknown:
            complaints.append(f"alert {rule['name']}: no page has {', '.join(sorted(unknown))}")
    # One upload that is no film is a dead letter and no alert.
    cries = mill.alerts(prometheus, set())
    if cries:
        complaints.append(f"alerts about a mill that works: {', '.join(sorted(cries))}")
    return complaints


if __name__ == "__main__":
    main()
