"""Indexing beside a bare bulk loader: the same documents into the same kind of index, in turns.

The bare loader sends bodies that are ready, in bulks of the same size, and looks only whether all were
taken; reelmill makes each body, gives it the video's version and reads the answer of every document.
Documents that OpenSearch refuses are compared with as many of the same size that it takes.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

RUNS = int(os.environ.get("RUNS", "5"))
DOCUMENTS = int(os.environ.get("DOCUMENTS", "20000"))
# One at a time, each until it is found: far fewer will do.
FOUND = 400


def measured(words):
    """Seconds of the load, and CPU seconds of the whole client."""
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{words[1]} ended with {child.returncode}")
    return float(said), used.ru_utime + used.ru_stime


def row(name, figures, count):
    seconds = [seconds for seconds, _ in figures]
    rates = sorted(count / one for one in seconds)
    cpu = statistics.median(cpu for _, cpu in figures) / count * 1e6
    middle = statistics.median(rates)
    print(f"| {name} | {middle:,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} | {cpu:,.0f} |")
    return {"name": name, "documents_per_s": middle, "all": rates, "cpu_us_per_document": cpu}


def main():
    program, at = sys.argv[1], os.environ["REELMILL_OPENSEARCH"]
    with tempfile.TemporaryDirectory(prefix="sink.") as work:
        bodies = str(pathlib.Path(work) / "bodies")
        # Also warms the server up.
        measured([program, "bodies", at, str(DOCUMENTS), bodies])
        size = os.path.getsize(bodies)
        sides = {
            "ours": [program, "ours", at, str(DOCUMENTS)],
            "bare": [program, "bare", at, str(DOCUMENTS), bodies],
            "long": [program, "long", at, str(DOCUMENTS)],
            "poison": [program, "poison", at, str(DOCUMENTS)],
        }
        figures = {name: [] for name in sides}
        ratios, poison = [], []
        before = os.getloadavg()[0]
        for run in range(RUNS):
            # Whoever goes first meets another server than whoever goes second.
            for name in sorted(sides, reverse=run % 2 == 1):
                figures[name].append(measured(sides[name]))
            ratios.append(figures["bare"][-1][0] / figures["ours"][-1][0])
            poison.append(figures["poison"][-1][1] / figures["long"][-1][1])
        found = measured([program, "processor", at, str(FOUND)])
    print(f"{DOCUMENTS} documents with 20 moments, {size / 1e6:.0f} MB of bodies, {RUNS} rounds, "
          f"load {before:.1f} before")
    print("| indexing | documents/s | spread | client CPU, us/document |\n|--|--|--|--|")
    rows = [
        row("reelmill, as `index rebuild`", figures["ours"], DOCUMENTS),
        row("bare bulk loader", figures["bare"], DOCUMENTS),
        row("reelmill, every hundredth id of 32,000 bytes", figures["long"], DOCUMENTS),
        row("reelmill, every hundredth id of 33,000 bytes: refused", figures["poison"], DOCUMENTS),
        row("reelmill, as the processor: 8 at once, each until found", [found], FOUND),
    ]
    ratio = statistics.median(ratios)
    print(f"reelmill / bare: {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}); goal 0.95")
    cost = statistics.median(poison)
    print(f"CPU with 1 % refused / with the same 1 % taken: {cost:.3f} "
          f"({min(poison):.3f} to {max(poison):.3f}); goal 1.03")
    print(json.dumps({"rows": rows, "ratio": ratio, "ratios": ratios, "poison": poison, "load": before}))


main()
