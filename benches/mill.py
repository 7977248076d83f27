"""A mill of a bench's own: `reelmill up` on free ports, in a directory that the bench gives."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request


def cpu_of(pid):
    """User and system seconds of a process, all threads, and of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


class Mill:
    def __init__(self, program, work, *options):
        options = options or ("--clip-seconds", "10")
        self.program, self.work, self.options = program, work, options
        self.start()

    def start(self):
        """Starts it, on the data of the one before, and waits until it publishes where it is."""
        data = self.work / "data"
        endpoints = data / "endpoints.env"
        endpoints.unlink(missing_ok=True)
        ports = sum(([f"--{p}port", "0"] for p in ("", "kafka-", "registry-", "store-", "vision-")), [])
        log = open(self.work / "up.log", "a")
        command = [self.program, "up", "--data", str(data), *ports, *self.options]
        begun = time.monotonic()
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while not endpoints.exists():
            if self.process.poll() is not None:
                sys.exit((self.work / "up.log").read_text())
            time.sleep(0.005)
        self.ready_seconds = time.monotonic() - begun
        self.env = dict(os.environ, **dict(line.split("=", 1) for line in endpoints.read_text().splitlines()))

    @property
    def pid(self):
        return self.process.pid

    def upload(self, film, *options):
        command = [self.program, "upload", *options, str(film)]
        subprocess.run(command, check=True, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def film(self, source, out, *options):
        """Lets it work on a film and downloads what came of it; answers with its own words where none did."""
        command = [self.program, "upload", "--wait", *options, str(source)]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        if done.returncode:
            return done.stdout + done.stderr
        listed = json.load(urllib.request.urlopen(self.env["REELMILL_URL"] + "/api/videos?page_size=1"))
        with urllib.request.urlopen(listed["videos"][0]["links"]["recording"]) as film:
            pathlib.Path(out).write_bytes(film.read())
        return None

    def stop(self):
        """Asks it to stop, and answers with the seconds that took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return time.monotonic() - begun
