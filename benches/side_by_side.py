"""Times reelmill's whole job beside its peers, in one run: side_by_side.py PROGRAM FOOTAGE DEFACE RUNS"""

import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

program, footage, deface, runs = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
work = pathlib.Path(tempfile.mkdtemp(prefix="reelmill-bench."))


def cpu_of(pid):
    """User and system seconds of a running process, all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def timed(command):
    """Wall and CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Mill:
    def __init__(self):
        self.data = work / "data"
        self.start = time.monotonic()
        ports = sum(([f"--{p}port", "0"] for p in ("", "kafka-", "registry-", "store-", "vision-")), [])
        log = open(work / "up.log", "w")
        command = [program, "up", "--data", str(self.data), "--clip-seconds", "10", *ports]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        endpoints = self.data / "endpoints.env"
        while not endpoints.exists():
            if self.process.poll() is not None:
                sys.exit((work / "up.log").read_text())
            time.sleep(0.005)
        self.ready_seconds = time.monotonic() - self.start
        self.env = dict(os.environ, **dict(line.split("=", 1) for line in endpoints.read_text().splitlines()))

    def job(self, film, number):
        """Wall seconds of `upload --wait` and the CPU seconds the mill spent meanwhile."""
        before = cpu_of(self.process.pid)
        start = time.monotonic()
        command = [program, "upload", "--wait", "--assessment", f"bench{number}", str(film)]
        subprocess.run(command, check=True, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - start, cpu_of(self.process.pid) - before

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def row(name, times):
    wall, cpu = (statistics.median(column) for column in zip(*times))
    spread = f"{min(t[0] for t in times):.1f}-{max(t[0] for t in times):.1f}"
    print(f"{name:44} wall {wall:6.1f} s ({spread})  cpu {cpu:6.1f} s")
    return {"name": name, "wall_s": wall, "cpu_s": cpu}


mill = Mill()
print(f"load average {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
print(f"up to ready {mill.ready_seconds:.2f} s, idle {rss_mib(mill.process.pid):.0f} MiB resident")
talk_720, talk_360 = footage / "talk_720p.mp4", footage / "talk_360p.mp4"
out = work / "out.mp4"
transcode = ["ffmpeg", "-nostdin", "-y", "-i", talk_720, "-c:v", "libx264", "-preset", "veryfast", "-c:a", "copy", out]
ours, ffmpeg = [], []
for number in range(runs):
    ours.append(mill.job(talk_720, number))
    ffmpeg.append(timed(transcode))
small = [mill.job(talk_360, runs + number) for number in range(runs)]
peer = [timed([deface, talk_360, "-o", work / "deface.mp4"])]
print(f"busy peak {rss_mib(mill.process.pid):.0f} MiB resident")
mill.stop()

rows = [
    row("720p, 30 s: reelmill upload --wait", ours),
    row("720p, 30 s: ffmpeg -preset veryfast", ffmpeg),
    row("360p, 30 s: reelmill upload --wait", small),
    row("360p, 30 s: deface", peer),
]
print(f"reelmill / ffmpeg, 720p: wall {rows[0]['wall_s'] / rows[1]['wall_s']:.2f}, cpu {rows[0]['cpu_s'] / rows[1]['cpu_s']:.2f}")
print(f"deface / reelmill, 360p: wall {rows[3]['wall_s'] / rows[2]['wall_s']:.2f}, cpu {rows[3]['cpu_s'] / rows[2]['cpu_s']:.2f}")
(work / "figures.json").write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1))
print(f"figures: {work / 'figures.json'}")
