#!/usr/bin/env python3
"""A dashboard in a terminal: asks Prometheus what its panels ask, and prints the answers as tables.

    deploy/grafana/table.py [--prometheus URL] [--dashboard mill] [--last SECONDS] [--var processor=detect]

A value that a panel would show in yellow or red has a ! or !! behind it. Also used by tests/panels,
which run every query of every dashboard through `Prometheus.panel`.
"""

import argparse
import json
import math
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DASHBOARDS = pathlib.Path(__file__).resolve().parent / "dashboards"
# Loopback must be reached without a proxy, whatever the environment says.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Refused(Exception):
    """Prometheus does not take a query."""


class Prometheus:
    """What Grafana does with a panel: puts in the variables, asks, and arranges the answers."""

    def __init__(self, url, last=60, scrape=15, end=None, variables=()):
        self.url, self.last, self.scrape = url.rstrip("/"), last, scrape
        self.end = end or time.time()
        self.step = max(1, math.ceil(last / 60))
        self.variables = dict(variables)

    def get(self, path, **parameters):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with OPENER.open(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error).get("error", str(error))) from None

    def fill(self, expr):
        """The query with Grafana's variables replaced as Grafana replaces them."""
        values = {
            "__rate_interval": f"{max(self.step + self.scrape, 4 * self.scrape)}s",
            "__interval": f"{self.step}s",
            "__range": f"{self.last}s",
            "__range_s": str(self.last),
            **self.variables,
        }
        named = r"\$(\w+)|\$\{(\w+)\}"
        return re.sub(named, lambda found: values[found.group(1) or found.group(2)], expr)

    def ask(self, target):
        """The series of a target: [(labels, [(time, value)])]."""
        query = self.fill(target["expr"])
        if target["instant"]:
            found = self.get("query", query=query, time=self.end)["result"]
            return [(series["metric"], [series["value"]]) for series in found]
        span = {"start": self.end - self.last, "end": self.end, "step": self.step}
        found = self.get("query_range", query=query, **span)["result"]
        return [(series["metric"], series["values"]) for series in found]

    def panel(self, panel):
        """The answers to all targets of a panel, without points that are no numbers."""
        answers = []
        for target in panel["targets"]:
            series = [
                (labels, [(at, float(v)) for at, v in points if math.isfinite(float(v))])
                for labels, points in self.ask(target)
            ]
            answers.append((target, [(labels, points) for labels, points in series if points]))
        return answers


def dashboards():
    return {file.stem: json.loads(file.read_text()) for file in sorted(DASHBOARDS.glob("*.json"))}


# --- values as Grafana writes them ---------------------------------------------------------------


def written(value, unit, decimals=None):
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.1f} {name}"
        return f"{value:.2f} s" if abs(value) >= 1 or not value else f"{value * 1000:.0f} ms"
    if unit == "percentunit":
        return f"{value * 100:.0f} %"
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def marked(value, thresholds):
    """How loudly a panel would show the value."""
    colour = "green"
    for step in thresholds.get("steps", []):
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return {"yellow": " !", "red": " !!"}.get(colour, "")


def spark(points, start, end, width=30):
    """The course of a series in one line; a gap where nothing was known."""
    cells = [[] for _ in range(width)]
    for at, value in points:
        cells[min(width - 1, int((at - start) / (end - start) * width))].append(value)
    top = max(value for _, value in points)
    levels = "▁▂▃▄▅▆▇█"
    shown = (
        " " if not cell else levels[min(7, int(max(cell) / top * 7.99))] if top > 0 else levels[0]
        for cell in cells
    )
    return "".join(shown)


def print_table(heads, rows):
    widths = [max(len(str(row[n])) for row in [heads, *rows]) for n in range(len(heads))]
    for row in [heads, *rows]:
        print("    " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())


# --- panels --------------------------------------------------------------------------------------


def legend(target, labels):
    form = target["legendFormat"]
    if form == "__auto":
        return ", ".join(f"{name}={value}" for name, value in sorted(labels.items())) or target["expr"]
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found.group(1), ""), form)


def show_table(panel, answers):
    """What the transformations `merge`, `sortBy` and `organize` make of the answers."""
    change = {each["id"]: each["options"] for each in panel["transformations"]}
    several = len(answers) > 1
    rows = []
    for target, series in answers:
        value = f"Value #{target['refId']}" if several else "Value"
        for labels, points in series:
            cells = {**labels, value: points[-1][1]}
            # Merged into a row that says nothing else about what both know.
            like = (
                row
                for row in rows
                if several
                and all(row.get(name, cell) == cell for name, cell in cells.items())
                and any(name in row for name in labels)
            )
            home = next(like, None)
            if home is None:
                rows.append(cells)
            else:
                home.update(cells)
    sort = change["sortBy"]["sort"][0]
    rows.sort(key=lambda row: row.get(sort["field"], math.inf), reverse=sort["desc"])
    names = change["organize"]["renameByName"]
    fields = [name for name in names if name not in change["organize"]["excludeByName"]]
    defaults = panel["fieldConfig"]["defaults"]
    looks = {
        each["matcher"]["options"]: {p["id"]: p["value"] for p in each["properties"]}
        for each in panel["fieldConfig"]["overrides"]
    }

    def cell(row, field):
        value, look = row.get(field, ""), looks.get(names[field], {})
        if not isinstance(value, float):
            return value
        text = written(
            value, look.get("unit", defaults["unit"]), look.get("decimals", defaults.get("decimals"))
        )
        return text + marked(value, look.get("thresholds", {}))

    shown = [[cell(row, field) for field in fields] for row in rows]
    if shown:
        print_table([names[field] for field in fields], shown)
    else:
        print(f"    {defaults.get('noValue', 'no data')}")


def show(panel, prometheus):
    if panel["type"] == "row":
        return
    answers = prometheus.panel(panel)
    defaults = panel["fieldConfig"]["defaults"]
    write = lambda value: written(value, defaults["unit"], defaults.get("decimals"))
    if panel["type"] == "stat":
        values = [
            (legend(target, labels), points[-1][1]) for target, series in answers for labels, points in series
        ]
        said = ", ".join(
            f"{name} {write(v)}{marked(v, defaults['thresholds'])}"
            if len(values) > 1
            else f"{write(v)}{marked(v, defaults['thresholds'])}"
            for name, v in values
        )
        print(f"  {panel['title']}: {said or 'no data'}")
        return
    print(f"\n  {panel['title']}")
    if panel["type"] == "table":
        return show_table(panel, answers)
    rows = []
    start = prometheus.end - prometheus.last
    for target, series in answers:
        for labels, points in series:
            values = [value for _, value in points]
            loud = marked(values[-1], defaults["thresholds"])
            figures = (values[-1], max(values), sum(values) / len(values))
            rows.append(
                [
                    legend(target, labels),
                    write(figures[0]) + loud,
                    *map(write, figures[1:]),
                    spark(points, start, prometheus.end),
                ]
            )
    if rows:
        print_table(["", "last", "most", "mean", f"the last {prometheus.last} s"], rows)
    else:
        print("    no data")


def show_dashboard(made, prometheus):
    at = time.strftime("%H:%M:%S", time.localtime(prometheus.end))
    print(f"\n{made['title']}: the {prometheus.last} s before {at}\n")
    for panel in made["panels"]:
        show(panel, prometheus)


def main():
    known = dashboards()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--dashboard", default="mill", choices=sorted(known))
    parser.add_argument("--last", type=int, default=3600, metavar="SECONDS")
    parser.add_argument(
        "--scrape", type=int, default=15, metavar="SECONDS", help="Prometheus' scrape interval"
    )
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE")
    told = parser.parse_args()
    made = known[told.dashboard]
    variables = {each["name"]: each["current"].get("value") for each in made["templating"]["list"]}
    variables.update(pair.split("=", 1) for pair in told.var)
    try:
        show_dashboard(made, Prometheus(told.prometheus, told.last, told.scrape, variables=variables))
    except (Refused, OSError) as error:
        sys.exit(f"{told.prometheus}: {error}")


if __name__ == "__main__":
    main()
