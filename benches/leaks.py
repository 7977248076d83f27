"""Counts the faces that reelmill and deface leave in the same films, in one run: leaks.py MILL BENCH DEFACE SEEDS

MILL is `reelmill`, BENCH `reelmill-bench`. Both mask in black, which a count of pixels can see. Prints a table
of pooled seeds, and writes all figures as JSON.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from mill import Mill

# ONNX Runtime reports to its maker otherwise, and `reelmill-bench` refuses to let it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
HERE = pathlib.Path(__file__).parent
FOOTAGE = HERE.parent / "tests/footage"
PYTHON = sys.executable
# A mill as it comes masks with pixels, which may leave somebody recognisable.
MODES = {
    "careful": ("--mask", "solid"),
    "fast": ("--mask", "solid", "--profile", "fast"),
    "pixelated": ("--mask", "pixelate"),
}
# What AWS Rekognition looks at. Tracks alone: nothing is rendered or checked.
SAMPLES = ("--sample-ms", "500")


def made(seed, work):
    """The film of a seed and its truth, kept for the next run of the same generator."""
    maker = b"".join((HERE / "truth" / name).read_bytes() for name in ("film.py", "faces.json"))
    name = f"{seed}-{hashlib.sha256(maker).hexdigest()[:8]}"
    film, truth = work / f"{name}.mp4", work / f"{name}.json"
    if not truth.exists():
        command = [PYTHON, HERE / "truth/film.py", str(seed), FOOTAGE, film, truth]
        subprocess.run(command, check=True)
    return film, truth


def defaced(deface, film, out, work):
    """deface's ellipses, which it draws by default, in black: its `solid` would draw whole boxes."""
    oval = work / "oval.png"
    if not oval.exists():
        ellipse = "geq=r=0:g=0:b=0:a='255*lte(hypot(X-255.5,Y-255.5),256)'"
        picture = ["-f", "lavfi", "-i", f"color=size=512x512,format=rgba,{ellipse}", "-frames:v", "1", oval]
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *picture], check=True)
    options = ["--replacewith", "img", "--replaceimg", oval]
    subprocess.run([deface, film, *options, "-o", out], check=True, capture_output=True)


def leaks(seed, bench, *arguments):
    done = subprocess.run([bench, *arguments], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    for leak in found["leaks"]:
        leak["seed"] = seed
    return found


def add(total, one):
    for name, value in one.items():
        if isinstance(value, dict):
            add(total.setdefault(name, {}), value)
        elif isinstance(value, list):
            total[name] = total.get(name, []) + value
        else:
            total[name] = total.get(name, 0) + value


def share(part, whole):
    return f"{100 * part / whole:6.2f} %" if whole else "       -"


def main():
    program, bench, deface, seeds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    first = int(os.environ.get("FIRST", "1"))
    films = pathlib.Path(os.environ.get("FILMS", pathlib.Path.home() / ".cache/reelmill/truth"))
    films.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="reelmill-leaks."))
    pooled, identities, unpublished, took = {}, {}, {}, {}
    print(f"load average {os.getloadavg()[0]:.1f}; seeds {first} to {first + seeds - 1}", flush=True)
    mills = {}
    for name, options in MODES.items():
        (work / name).mkdir()
        mills[name] = Mill(program, work / name, "--clip-seconds", "4", *options)
    for seed in range(first, first + seeds):
        film, truth = made(seed, films)
        # Each counts in the films it has published: what one keeps back would hide what others show.
        counted = {}
        for name, mill in mills.items():
            out = work / f"{name}-{seed}.mp4"
            begun = time.monotonic()
            refused = mill.film(film, out, "--assessment", f"seed{seed}")
            took[name] = took.get(name, 0) + time.monotonic() - begun
            if refused:
                # Not published is not leaked, and no recording either.
                print(f"{name}, seed {seed}: {refused.strip()}", flush=True)
                unpublished[name] = unpublished.get(name, 0) + 1
                continue
            if "solid" in MODES[name]:
                counted[name] = leaks(seed, bench, "leaks", film, out, truth)
            else:
                command = [bench, "identity", film, out, truth]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                add(identities.setdefault(name, {}), json.loads(done.stdout))
        if deface != "-":
            out = work / f"deface-{seed}.mp4"
            begun = time.monotonic()
            defaced(deface, film, out, work)
            took["deface"] = took.get("deface", 0) + time.monotonic() - begun
            counted["deface"] = leaks(seed, bench, "leaks", film, out, truth)
        begun = time.monotonic()
        counted["samples"] = leaks(seed, bench, "tracks", film, truth, *SAMPLES)
        took["samples"] = took.get("samples", 0) + time.monotonic() - begun
        for name, figures in counted.items():
            add(pooled.setdefault(name, {}), figures)
    for mill in mills.values():
        mill.stop()
    report(pooled, unpublished, took)
    for name, identity in identities.items():
        still, compared = identity["recognised"], identity["compared"]
        nearest = min(identity["distances"], default=0)
        print(f"\n{name}: {still} of {compared} faces of 40 px and more recognisable, the nearest at {nearest:.2f}")
    figures = work / "leaks.json"
    figures.write_text(json.dumps({"pooled": pooled, "identities": identities, "unpublished": unpublished, "seconds": took}, indent=1))
    print(f"figures: {figures}")


def report(pooled, unpublished, took):
    for name, total in pooled.items():
        print(f"\n{name}: {took[name]:.0f} s, {unpublished.get(name, 0)} not published")
        print(f"  {'':14} {'faces':>7} {'leaked':>8} {'tracks':>7} {'leaked':>8}")
        for kind in ("classes", "kinds"):
            for one, count in sorted(total[kind].items()):
                faces, tracks = count["face_frames"], count["tracks"]
                leaked, lost = share(count["leaked"], faces), share(count["leaked_tracks"], tracks)
                print(f"  {one:14} {faces:7} {leaked} {tracks:7} {lost}")
            print()
        print(f"  touched outside of faces: {total['touched_pixels'] / total['face_pixels']:.2f} of their area")
        print(f"  masked frames without a face: {share(total['masked_without_face'], total['frames_without_face'])}")


if __name__ == "__main__":
    main()
