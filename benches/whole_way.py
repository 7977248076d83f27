"""How long a film takes from upload to a verified recording: whole_way.py PROGRAM FOOTAGE RUNS [MINUTES...]

60 s of 720p at 30 frames a second, of which 0, 30 and 100 % have a face, by a careful and by a fast mill, and transcoded by ffmpeg with
the mill's settings, interleaved: the machine's speed changes, and a ratio to ffmpeg of the same minutes travels better.
Then films of MINUTES at 360p by the careful one, once each: time and memory must not grow faster than the film. With 0 RUNS these alone.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from mill import Mill, cpu_of, rss_mib

SECONDS = 60
# Seconds with a face, and without, after one another.
PARTS = {0: (0, 60), 30: (18, 42), 100: (60, 0)}
ENCODE = "-c:v libx264 -preset medium -crf 20 -g 30 -keyint_min 30 -sc_threshold 0 -bf 2 -pix_fmt yuv420p -an".split()
PROFILES = ("careful", "fast")
PEER = "ffmpeg"
SETTINGS = "-c:v libx264 -preset veryfast -crf 23".split()


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


def composed(work, faces, faceless, parts):
    """Seconds of `faces` and then of `faceless`, one film."""
    out = work / f"{parts[0]}-{parts[1]}.mp4"
    listed = [(film, seconds) for film, seconds in zip((faces, faceless), parts) if seconds]
    inputs = sum((["-stream_loop", "-1", "-t", seconds, "-i", film] for film, seconds in listed), [])
    rate = "".join(f"[{at}:v]fps=30,scale=1280:720,setsar=1[p{at}];" for at in range(len(listed)))
    joined = "".join(f"[p{at}]" for at in range(len(listed))) + f"concat=n={len(listed)}[v]"
    ffmpeg(*inputs, "-filter_complex", rate + joined, "-map", "[v]", *ENCODE, out)
    return out


def below(pid):
    """A process and all that it has started."""
    found, pending = [], [pid]
    while pending:
        one = pending.pop()
        found.append(one)
        try:
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                pending += map(int, (task / "children").read_text().split())
        except OSError:
            pass
    return found


class Peak:
    """The most memory that any process of a mill had, MiB."""

    def __init__(self, pid):
        self.pid, self.most, self.ended = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ended.wait(0.2):
            for pid in below(self.pid):
                try:
                    self.most = max(self.most, rss_mib(pid) or 0)
                except OSError:
                    pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def worked(mill, film, name):
    """Wall and CPU seconds, and MiB of the largest process."""
    before, begun = cpu_of(mill.pid), time.monotonic()
    with Peak(mill.pid) as peak:
        failure = mill.film(film, mill.work / "recording.mp4", "--assessment", name)
    if failure:
        sys.exit(f"{film}: {failure}")
    return [time.monotonic() - begun, cpu_of(mill.pid) - before, peak.most]


def transcoded(film, out):
    """The same of ffmpeg alone; its memory is not looked at."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ffmpeg("-i", film, *SETTINGS, out)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [time.monotonic() - begun, cpu, None]


def main():
    program, footage, runs = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    minutes = [int(one) for one in sys.argv[4:]]
    work = pathlib.Path(tempfile.mkdtemp(prefix="reelmill-whole."))
    print(f"load average {os.getloadavg()[0]:.1f}; {runs} rounds; {SECONDS} s of 720p30", flush=True)
    mills = {}
    for name in PROFILES:
        (work / name).mkdir()
        mills[name] = Mill(program, work / name, "--profile", name)
    # A face in every frame, and none: see the footage's README.
    faces, faceless = work / "faces.mp4", work / "faceless.mp4"
    for out, start, seconds in ((faces, 0, 10), (faceless, 10, 8)):
        ffmpeg("-ss", start, "-t", seconds, "-i", footage / "talk_720p.mp4", "-an", *ENCODE, out)

    rows, head = [], ["film", "by", "wall s", "x real time", "CPU s", "largest process MiB"]
    print("| " + " | ".join(head) + " |\n|" + "--|" * len(head), flush=True)

    def row(film, profile, seconds, times):
        walls, cpus, sizes = zip(*times)
        wall, cpu = statistics.median(walls), statistics.median(cpus)
        most = None if None in sizes else statistics.median(sizes)
        spread = [min(time[0] for time in times), max(time[0] for time in times)]
        rows.append({"film": film, "by": profile, "wall_s": wall, "spread": spread, "cpu_s": cpu, "mib": most})
        cells = [film, profile, f"{wall:.1f}", f"{seconds / wall:.1f}", f"{cpu:.1f}", "" if most is None else f"{most:.0f}"]
        print("| " + " | ".join(cells) + " |", flush=True)

    for share, parts in PARTS.items() if runs else ():
        film = composed(work, faces, faceless, parts)
        times = {name: [] for name in (*PROFILES, PEER)}
        for number in range(runs):
            for profile in PROFILES:
                times[profile].append(worked(mills[profile], film, f"{share}-{number}"))
            times[PEER].append(transcoded(film, work / "transcoded.mp4"))
        for name, columns in times.items():
            row(f"{share} % of it with faces", name, SECONDS, columns)
    for length in minutes:
        film = work / f"{length}-minutes.mp4"
        ffmpeg("-stream_loop", "-1", "-i", footage / "talk_360p.mp4", "-t", 60 * length, "-c", "copy", film)
        row(f"{length} min of 360p", "careful", 60 * length, [worked(mills["careful"], film, f"{length}-minutes")])
    for mill in mills.values():
        mill.stop()
    figures = work / "whole_way.json"
    figures.write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1))
    print(f"figures: {figures}")


if __name__ == "__main__":
    main()
