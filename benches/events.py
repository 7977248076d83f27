"""Events a second, CPU and latency of the event path beside its peers, on Apache Kafka: events.py PROGRAM STREAMS

PROGRAM is the `events` of benches/events, STREAMS the class path that benches/events/streams.sh prints;
REELMILL_KAFKA says where Kafka is (scripts/services.sh with kafka -- ...). All do the same map over the same
events, exactly once, one process each, turn by turn; what is counted is what their group has committed.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from mill import cpu_of, rss_mib

PARTITIONS = 4
RECORDS = int(os.environ.get("RECORDS", 4_000_000))
ROUNDS = int(os.environ.get("RUNS", 3))
MEASURED = 8
# Until Java has compiled what is hot.
WARM_UP = {"streams": int(os.environ.get("STREAMS_WARM_UP", 25))}
RATE, LATENCY_SECONDS = 50, int(os.environ.get("LATENCY_SECONDS", 20))
# "speed" or "latency"; both where not set.
ONLY = os.environ.get("ONLY")

program, streams_path = sys.argv[1:]
kafka = os.environ["REELMILL_KAFKA"]
here = pathlib.Path(__file__).parent
schema = here.parent / "schemas/avro/labels-detected.avsc"
work = pathlib.Path(tempfile.mkdtemp(prefix="reelmill-events."))
admin = AdminClient({"bootstrap.servers": kafka})


def topic(name):
    """An empty topic, and no group of its name."""
    for one in (name, "latency-" + name):
        try:
            admin.delete_consumer_groups([one])[one].result(30)
        except Exception:
            pass
    if name in admin.list_topics(timeout=30).topics:
        admin.delete_topics([name])[name].result(30)
        time.sleep(1)
    admin.create_topics([NewTopic(name, PARTITIONS)])[name].result(30)


def committed(group, source):
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(source, p) for p in range(PARTITIONS)])
    answer = admin.list_consumer_group_offsets([asked])[group].result(30)
    return sum(max(p.offset, 0) for p in answer.topic_partitions)


def java(*arguments):
    return ["java", "-Xmx512m", "-cp", streams_path, "Map", kafka, *arguments, str(schema), str(work / "state")]


def contestant(name, source, commit_ms):
    """The command, and the topic it writes to, which is the name of its group too."""
    if name == "runner":
        out = "events-out-runner"
        return [program, "runner", kafka, source, out], out
    out = f"events-out-{name}"
    if name.startswith("streams"):
        return java(source, out, str(commit_ms)), out
    mode = "atleast" if name == "atleast" else "exactly"
    return [program, "bare", kafka, source, out, mode, str(commit_ms)], out


class Running:
    def __init__(self, command):
        log = open(work / "contestant.log", "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def speed(name, source):
    command, out = contestant(name, source, 100)
    topic(out)
    with Running(command) as process:
        time.sleep(WARM_UP.get(name, 6))
        first, began, cpu = committed(out, source), time.monotonic(), cpu_of(process.pid)
        while time.monotonic() - began < MEASURED:
            time.sleep(0.25)
        done, took = committed(out, source) - first, time.monotonic() - began
        cpu = cpu_of(process.pid) - cpu
        rss = rss_mib(process.pid)
        if process.poll() is not None or done <= 0:
            sys.exit(f"{name} did nothing: {(work / 'contestant.log').read_text()[-2000:]}")
        if committed(out, source) >= RECORDS * 0.99:
            print(f"note: {name} ran out of events, give more by RECORDS")
    load = os.getloadavg()[0]
    print(f"  {name:8} {done / took:10,.0f} events/s  {cpu * 1e6 / done:6.2f} us  load {load:.1f}", flush=True)
    return done / took, cpu * 1e6 / done, rss


def latency(name, commit_ms):
    source = "events-latency-in"
    topic(source)
    command, out = contestant(name, source, commit_ms)
    topic(out)
    with Running(command):
        time.sleep(5)
        measure = [program, "latency", kafka, source, out, str(RATE), str(LATENCY_SECONDS)]
        answer = subprocess.run(measure, check=True, capture_output=True, text=True).stdout
    return tuple(float(number) for number in answer.split())


def ratio(what, value, goal, met):
    print(f"{what:52} {value:6.2f}  goal {goal}{'' if met else '  MISSED'}")


def speeds():
    """Events a second, in process and on Kafka: medians of all rounds."""
    codec = [float(subprocess.run([program, "codec", "200000"], check=True, capture_output=True, text=True).stdout) for _ in range(ROUNDS)]
    print(f"in process, decode to encode through the runner: {statistics.median(codec):,.0f} events/s on one core")

    topic("events-in")
    subprocess.run([program, "fill", kafka, "events-in", str(RECORDS)], check=True)
    rows = {name: [] for name in ("runner", "bare", "atleast", "streams")}
    for _ in range(ROUNDS):
        for name, row in rows.items():
            row.append(speed(name, "events-in"))
    middle = {name: [statistics.median(column) for column in zip(*row)] for name, row in rows.items()}
    for name, (rate, cpu, rss) in middle.items():
        spread = f"{min(r[0] for r in rows[name]):,.0f}-{max(r[0] for r in rows[name]):,.0f}"
        print(f"{name:10} {rate:10,.0f} events/s ({spread})  client CPU {cpu:6.2f} us/event  {rss:5.0f} MiB")

    rate, cpu = ({name: row[i] for name, row in middle.items()} for i in (0, 1))
    ratio("runner / bare, events/s", rate["runner"] / rate["bare"], ">= 0.7", rate["runner"] >= 0.7 * rate["bare"])
    ratio("runner / streams, events/s", rate["runner"] / rate["streams"], ">= 1.5", rate["runner"] >= 1.5 * rate["streams"])
    ratio("runner / streams, client CPU", cpu["runner"] / cpu["streams"], "<= 0.5", cpu["runner"] <= 0.5 * cpu["streams"])
    ratio("bare at least once / exactly once, events/s", rate["atleast"] / rate["bare"], "<= 1.1", rate["atleast"] <= 1.1 * rate["bare"])
    return {"codec": codec, "speed": rows}


def latencies():
    """One event at a time."""
    if ONLY == "latency":
        # A broker that has just started is slow: its compiler is at work.
        latency("bare", 0)
    print(f"load average {os.getloadavg()[0]:.1f}")
    took = {}
    for name, commit_ms in (("bare", 0), ("runner", 0), ("streams10", 10), ("streams100", 100)):
        took[name] = latency(name, commit_ms)
        print(f"{name:10} at {RATE}/s, ack to visible: p50 {took[name][0]:6.2f} ms  p99 {took[name][1]:6.2f} ms")
    p50, p99 = took["runner"]
    ratio("runner p50, ms", p50, "<= 4", p50 <= 4)
    ratio("runner p99, ms", p99, "<= 15", p99 <= 15)
    return {"latency": took}


print(f"load average {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
figures = {"load": os.getloadavg()}
if ONLY != "latency":
    figures |= speeds()
if ONLY != "speed":
    figures |= latencies()
(work / "figures.json").write_text(json.dumps(figures, indent=1))
print(f"figures: {work / 'figures.json'}")
