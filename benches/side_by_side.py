"""Times reelmill's whole job beside its peers, in one run: side_by_side.py PROGRAM FOOTAGE DEFACE RUNS"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from mill import Mill, cpu_of, rss_mib

program, footage, deface, runs = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
work = pathlib.Path(tempfile.mkdtemp(prefix="reelmill-bench."))


def timed(command):
    """Wall and CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def job(film, number):
    """Wall seconds of `upload --wait` and the CPU seconds the mill spent meanwhile."""
    before = cpu_of(mill.pid)
    start = time.monotonic()
    mill.upload(film, "--wait", "--assessment", f"bench{number}")
    return time.monotonic() - start, cpu_of(mill.pid) - before


def row(name, times):
    wall, cpu = (statistics.median(column) for column in zip(*times))
    spread = f"{min(t[0] for t in times):.1f}-{max(t[0] for t in times):.1f}"
    print(f"{name:44} wall {wall:6.1f} s ({spread})  cpu {cpu:6.1f} s")
    return {"name": name, "wall_s": wall, "cpu_s": cpu}


mill = Mill(program, work)
print(f"load average {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
print(f"up to ready {mill.ready_seconds:.2f} s, idle {rss_mib(mill.pid):.0f} MiB resident")
talk_720, talk_360 = footage / "talk_720p.mp4", footage / "talk_360p.mp4"
out = work / "out.mp4"
transcode = ["ffmpeg", "-nostdin", "-y", "-i", talk_720, "-c:v", "libx264", "-preset", "veryfast", "-c:a", "copy", out]
ours, ffmpeg = [], []
for number in range(runs):
    ours.append(job(talk_720, number))
    ffmpeg.append(timed(transcode))
small = [job(talk_360, runs + number) for number in range(runs)]
# Each takes a minute or more, so once.
peer, peer_720 = ([timed([deface, talk, "-o", work / "deface.mp4"])] for talk in (talk_360, talk_720))
print(f"busy peak {rss_mib(mill.pid):.0f} MiB resident")
mill.stop()

rows = [
    row("720p, 30 s: reelmill upload --wait", ours),
    row("720p, 30 s: ffmpeg -preset veryfast", ffmpeg),
    row("360p, 30 s: reelmill upload --wait", small),
    row("360p, 30 s: deface", peer),
    row("720p, 30 s: deface", peer_720),
]
print(f"reelmill / ffmpeg, 720p: wall {rows[0]['wall_s'] / rows[1]['wall_s']:.2f}, cpu {rows[0]['cpu_s'] / rows[1]['cpu_s']:.2f}")
for size, theirs, mine in (("360p", rows[3], rows[2]), ("720p", rows[4], rows[0])):
    print(f"deface / reelmill, {size}: wall {theirs['wall_s'] / mine['wall_s']:.2f}, cpu {theirs['cpu_s'] / mine['cpu_s']:.2f}")
(work / "figures.json").write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1))
print(f"figures: {work / 'figures.json'}")
