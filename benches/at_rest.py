"""What a mill costs that has nothing to do, and how it starts and stops: at_rest.py PROGRAM FOOTAGE

Needs confluent_kafka (make setup). Prints each figure beside its goal.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from mill import Mill, cpu_of, rss_mib

IDLE_SECONDS = 60
LOG_BYTES = 1 << 30
MESSAGE = 100_000

program, footage = sys.argv[1], pathlib.Path(sys.argv[2])


def figure(name, value, unit, goal):
    print(f"{name:58} {value:8.2f} {unit:4} goal {goal:g} {unit}{'' if value <= goal else '  MISSED'}")


def idle(mill, when):
    """Share of one core over a minute in which nothing is asked."""
    time.sleep(10)
    before = cpu_of(mill.pid)
    time.sleep(IDLE_SECONDS)
    figure(f"idle {when}, over {IDLE_SECONDS} s: of one core", (cpu_of(mill.pid) - before) * 100 / IDLE_SECONDS, "%", 1)


def fill(kafka):
    """A log of a gigabyte that nobody reads."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic("bulk", 4)])["bulk"].result(30)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 20, "compression.type": "none"})
    body = os.urandom(MESSAGE)
    for _ in range(LOG_BYTES // MESSAGE):
        while True:
            try:
                producer.produce("bulk", body)
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(60):
        sys.exit("the log was not filled")


work = pathlib.Path(tempfile.mkdtemp(prefix="reelmill-rest."))
mill = Mill(program, work)
try:
    print(f"load average {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores; {rss_mib(mill.pid):.0f} MiB resident")
    print(f"{'up on an empty directory':58} {mill.ready_seconds:8.2f} s")
    idle(mill, "at the start")
    mill.upload(footage / "talk_360p.mp4", "--wait", "--assessment", "rest")
    idle(mill, "after a film")
    figure("SIGTERM with nothing to do", mill.stop(), "s", 2)
    mill.start()
    mill.upload(footage / "talk_720p.mp4", "--assessment", "rest")
    time.sleep(3)
    figure("SIGTERM with a 720p film under way", mill.stop(), "s", 10)
    mill.start()
    fill(mill.env["REELMILL_KAFKA"])
    mill.stop()
    size = sum(file.stat().st_size for file in (work / "data/broker").rglob("*") if file.is_file())
    mill.start()
    figure(f"up on {size / (1 << 30):.2f} GiB of log", mill.ready_seconds, "s", 1.5)
    mill.process.kill()
    mill.process.wait()
    mill.start()
    figure(f"up on {size / (1 << 30):.2f} GiB of log, after kill -9", mill.ready_seconds, "s", 1.5)
    mill.stop()
finally:
    mill.process.kill()
    mill.process.wait()
    shutil.rmtree(work)
