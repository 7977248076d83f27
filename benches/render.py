"""What rendering costs beside its floor and beside ffmpeg, in one run: render.py BENCH FOOTAGE RUNS

BENCH is `reelmill-bench`. CPU seconds of one thread each, medians of interleaved rounds (ffmpeg's default preset in the first
of them), for films of groups of 25 pictures of which a share has a face. The floor is what nobody can do without: a copy of all packets, and
decoding and encoding just the groups with a face, by ffmpeg with the settings of the mill.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

# ONNX Runtime reports to its maker otherwise, and `reelmill-bench` refuses to let it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
SETTINGS = "-c:v libx264 -preset veryfast -crf 23 -threads 1".split()
GROUPS = "-c:v libx264 -preset medium -crf 20 -g 25 -keyint_min 25 -sc_threshold 0 -bf 2 -pix_fmt yuv420p -an".split()
SHARES = {"720p": (0, 10, 30, 100), "360p": (30,), "1080p": (30,)}
HEIGHTS = {"720p": 720, "360p": 360, "1080p": 1080}


def ffmpeg(*arguments):
    """CPU seconds of a call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def faces_only(film, share, seconds, work):
    """The groups of a film that have a face, one after another; None where there are none."""
    chosen = [g for g in range(seconds) if (g + 1) * share // 100 > g * share // 100]
    if not chosen:
        return None
    listed = work / "faces.txt"
    # An outpoint is a decoding time, and those are two frames ahead.
    listed.write_text("".join(f"file {film}\ninpoint {g}\noutpoint {g + 0.9}\n" for g in chosen))
    out = work / f"{film.stem}-{share}.mp4"
    ffmpeg("-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", out)
    count = ["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", out]
    found = int(subprocess.run(count, check=True, capture_output=True, text=True).stdout)
    if found != 25 * len(chosen):
        sys.exit(f"{found} pictures in {len(chosen)} groups of 25")
    return out


def blurred(bench, film, share, out, profile):
    command = [bench, "blur", film, out, "--share", str(share), "--detect", profile]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def psnr(film, masked):
    """dB, of the whole pictures' sides, where no mask is."""
    sides = "split[{0}l][{0}r];[{0}l]crop=iw*.34:ih:0:0[{0}a];[{0}r]crop=iw*.34:ih:iw*.66:0[{0}b];[{0}a][{0}b]hstack[{0}]"
    graph = ";".join(f"[{at}:v]" + sides.format(name) for at, name in enumerate("sm")) + ";[s][m]psnr"
    command = ["ffmpeg", "-v", "info", "-nostdin", "-i", film, "-i", masked, "-lavfi", graph, "-f", "null", "-"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return float(told.rsplit("average:", 1)[1].split()[0])


def main():
    bench, footage, runs = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    work = pathlib.Path(tempfile.mkdtemp(prefix="reelmill-render."))
    out = work / "out.mp4"
    rows = []
    print(f"load average {os.getloadavg()[0]:.1f}; {runs} rounds; CPU seconds for 30 s of film, one thread", flush=True)
    head = ["film", "faces", "blur", "floor", "ffmpeg", "default", "careful", "fast", "blur/floor", "blur/ffmpeg"]
    head += ["careful+blur/ffmpeg", "fast+blur/ffmpeg", "size", "dB beside masks"]
    print("| " + " | ".join(head) + " |\n|" + "--|" * len(head), flush=True)
    for name, shares in SHARES.items():
        film = work / f"{name}.mp4"
        ffmpeg("-i", footage / "talk_720p.mp4", "-vf", f"scale=-2:{HEIGHTS[name]}", *GROUPS, film)
        for share in shares:
            faces = faces_only(film, share, 30, work)
            rounds = []
            for _ in range(runs):
                ours = blurred(bench, film, share, out, "careful")
                size = ours["bytes"] / film.stat().st_size
                # Copied groups are what they were, so 100 % tells of encoded ones.
                quality = [psnr(film, out)] if share == 100 else []
                fast = blurred(bench, film, share, out, "fast")["detect_cpu_s"]
                floor = ffmpeg("-i", film, "-c", "copy", out)
                if faces:
                    floor += ffmpeg("-threads", 1, "-i", faces, *SETTINGS, out)
                same = ffmpeg("-threads", 1, "-i", film, *SETTINGS, out)
                # Half of a round's time, for a figure that nothing is compared with: once.
                if not rounds:
                    default = ffmpeg("-threads", 1, "-i", film, "-c:v", "libx264", "-threads", 1, out)
                blur, careful = ours["blur_cpu_s"], ours["detect_cpu_s"]
                ratios = [blur / floor, blur / same, (blur + careful) / same, (blur + fast) / same]
                rounds.append([blur, floor, same, default, careful, fast, *ratios, size, *quality])
            middle = [statistics.median(column) for column in zip(*rounds)]
            spread = [[min(column), max(column)] for column in zip(*rounds)]
            rows.append({"film": name, "share": share, "median": middle, "spread": spread, "columns": head[2:]})
            cells = [name, f"{share} %", *(f"{value:.2f}" for value in middle)]
            print("| " + " | ".join(cells) + " |", flush=True)
    figures = work / "render.json"
    figures.write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1))
    print(f"figures: {figures}")


if __name__ == "__main__":
    main()
