"""A mill, and what watches it: started on free ports of loopback, stopped whatever happens."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("REELMILL_BIN", str(pathlib.Path.home() / ".cache/reelmill/target/debug/reelmill"))
PROMTOOL = pathlib.Path.home() / ".cache/reelmill/services/prometheus/promtool"
FILM = ROOT / "tests/footage/head-pose-two.mp4"
ANY_PORT = sum(([f"--{kind}port", "0"] for kind in ("", "kafka-", "registry-", "store-", "vision-")), [])
# Loopback must be reached without a proxy, whatever the environment says.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def read(url):
    with OPENER.open(url, timeout=10) as answer:
        return answer.read().decode()


def until(what, ready, patience=120.0):
    """Waits for something, and says what it was when it does not come."""
    begun = time.monotonic()
    while not (found := ready()):
        if time.monotonic() - begun > patience:
            raise SystemExit(f"{what}: not within {patience:.0f} s")
        time.sleep(0.1)
    return found


def alerts(prometheus, wanted, patience=20.0):
    """The names of the alerts that fire or may soon; once they are as wanted, or the last seen. A scrape
    that fails for a moment, as it may on a busy machine, is not to be taken for a part that is away."""
    begun = time.monotonic()
    while True:
        names = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
        if names == wanted or time.monotonic() - begun > patience:
            return names
        time.sleep(0.5)


class Watched:
    """Programs of ours and the Prometheus that scrapes them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        # A deployment that the shell knows of is not to be met here.
        self.variables = {
            name: value
            for name, value in os.environ.items()
            if name == "REELMILL_ONNXRUNTIME" or not name.startswith("REELMILL_")
        }
        self.running = []
        self.targets = []
        services = pathlib.Path(os.environ["REELMILL_SERVICES"])
        told = dict(line.split("=", 1) for line in services.read_text().splitlines())
        self.prometheus = told["REELMILL_PROMETHEUS"]
        self.scraped = services.parent / "prometheus"

    def start(self, name, *arguments, variable):
        """Starts a part, waits until it has said where it is, and tells those that follow."""
        out, log = (self.folder / f"{name}.{kind}" for kind in ("out", "log"))
        with out.open("w") as stdout, log.open("w") as stderr:
            command = [PROGRAM, *arguments]
            child = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=self.variables)
        self.running.append(child)

        def said():
            if child.poll() is not None:
                raise SystemExit(f"{name} ended:\n{log.read_text()}")
            text = out.read_text()
            pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            return pairs if variable in pairs and text.endswith("\n") else None

        pairs = until(name, said)
        self.variables.update(pairs)
        return pairs[variable]

    def scrape(self, job, url):
        """Has Prometheus scrape a part, under the job it has in deploy/prometheus."""
        self.targets.append({"targets": [url.removeprefix("http://")], "labels": {"job": job}})
        file = self.scraped / "targets.json"
        # Prometheus may be reading it.
        new = file.with_suffix(".new")
        new.write_text(json.dumps(self.targets))
        new.rename(file)

    def rules(self, file):
        """Has Prometheus judge the rules of a file."""
        (self.scraped / "rules" / file.name).write_text(file.read_text())
        OPENER.open(urllib.request.Request(f"{self.prometheus}/-/reload", method="POST"), timeout=10).close()

    def upload(self, file, *options):
        command = [PROGRAM, "upload", *options, str(file)]
        return subprocess.run(command, env=self.variables, capture_output=True, text=True)

    def stop(self):
        for child in reversed(self.running):
            child.terminate()
        for child in self.running:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        # What comes after us in the same Prometheus is not to be held against us.
        (self.scraped / "targets.json").write_text("[]")
        for file in (self.scraped / "rules").iterdir():
            file.unlink()


@contextlib.contextmanager
def watched():
    # So that what was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="reelmill-panels.") as folder:
        mill = Watched(folder)
        try:
            yield mill
        finally:
            mill.stop()


def within_services(script, *arguments):
    """Where no Prometheus is given, the script is run again beside one of its own."""
    if "REELMILL_SERVICES" in os.environ:
        return
    services = str(ROOT / "scripts/services.sh")
    os.execv(services, [services, "with", "prometheus", "--", "python3", script, *arguments])
