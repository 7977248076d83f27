#!/usr/bin/env python3
"""One stage is broken on purpose; what the dashboards show of that must name it, and why.

Between the processors and the detector stands a proxy. At first all goes well; then it answers every
StartFaceDetection as AWS does whose quota of jobs is used up, and lets all else through. So `detect` is
broken, `label` and everything else is not. The dashboards are printed as tables over that minute.

    tests/panels/broken.py      starts a Prometheus (scripts/services.sh) where none is given
"""

import contextlib
import http.server
import io
import json
import sys
import threading
import time
import urllib.error
import urllib.request

import mill

sys.path.insert(0, str(mill.ROOT / "deploy/grafana"))
import parts
import table

BROKEN, WHY = "detect", "detector_full"
MINUTE = 60


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to the detector, as they are: they are signed."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.detector = None
        self.full = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.full and self.headers["x-amz-target"].endswith(".StartFaceDetection"):
            refusal = {"__type": "LimitExceededException", "message": "20 jobs are open"}
            return self.answer(400, json.dumps(refusal).encode())
        request = urllib.request.Request(self.server.detector, body, dict(self.headers), method="POST")
        try:
            with mill.OPENER.open(request, timeout=60) as answer:
                self.answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start(watched):
    proxy = Proxy()
    data = watched.folder
    watched.start(
        "up",
        "up",
        "--data",
        str(data / "up"),
        "--clip-seconds",
        "2",
        "--rekognition",
        proxy.url,
        *mill.ANY_PORT,
        variable="REELMILL_REKOGNITION",
    )
    url = watched.variables["REELMILL_URL"]
    proxy.detector = watched.start(
        "vision", "vision", "--port", "0", "--data", str(data / "vision"), variable="REELMILL_REKOGNITION"
    )
    watch = watched.start("watch", "watch", "--port", "0", variable="REELMILL_WATCH")
    watched.rules(mill.ROOT / "deploy/prometheus/rules.yml")
    watched.scrape("mill", url)
    watched.scrape("vision", proxy.detector)
    watched.scrape("watch", watch)
    return proxy


def shown(prometheus, name):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        table.show_dashboard(table.dashboards()[name], prometheus)
    return out.getvalue()


def accused(text):
    """The stages that the table `Stages` shows in red, with the words of their row."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row for row in rows if row and row[0] in parts.STAGES and len(row) > 5 and "!!" in row}


def main():
    mill.within_services(__file__)
    with mill.watched() as watched:
        proxy = start(watched)
        made = watched.upload(mill.FILM, "--wait")
        if made.returncode != 0:
            raise SystemExit(f"the film was not made:\n{made.stdout}{made.stderr}")
        proxy.full = True
        since = time.monotonic()
        for _ in range(3):
            watched.upload(mill.FILM)
        asked = table.Prometheus(watched.prometheus)
        failed = f'sum(reelmill_events_total{{processor="{BROKEN}",verdict="retried"}})'

        def failures():
            found = asked.get("query", query=failed)["result"]
            return found and float(found[0]["value"][1]) >= 9

        mill.until("failures of the broken stage", failures)
        # Long enough for the looks of `watch`, which come every five seconds, and for what is waiting to grow old.
        time.sleep(max(0, 20 - (time.monotonic() - since)))
        mill.until("all parts, in Prometheus", lambda: asked.get("query", query="min(up) == 1")["result"])
        prometheus = table.Prometheus(watched.prometheus, MINUTE, scrape=1, variables={"processor": BROKEN})
        texts = {name: shown(prometheus, name) for name in ("mill", "stage", "media", "api")}
        print(*texts.values(), sep="\n")
        alerts = mill.alerts(prometheus, {"ReelmillDetectorQuota"})
        print(f"\nalerts: {', '.join(sorted(alerts)) or 'none'}")
        named = accused(texts["mill"])
        if set(named) != {BROKEN} or WHY not in named[BROKEN]:
            sys.exit(f"{BROKEN} was broken, {WHY}; accused were {named or 'none'}")
        if alerts != {"ReelmillDetectorQuota"}:
            sys.exit(f"the alert ReelmillDetectorQuota, and no other, was to be pending: {alerts or 'none'}")


if __name__ == "__main__":
    main()
