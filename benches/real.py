"""Counts the faces that reelmill and deface leave in real footage, in one run: real.py MILL BENCH [DEFACE|-]

MILL is `reelmill`, BENCH `reelmill-bench`. The faces of `truth/real` were marked by eye. All mask in black, and
a pixel counts as masked that is black in the recording and was not in the source. Prints tables, and writes all
figures as JSON.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from leaks import HERE, MODES, SAMPLES, add, defaced, leaks, share
from mill import Mill

ROOT = HERE.parent
NAMES = ("careful", "fast")
# As `reelmill-bench leaks` has it.
BLACK, COVERED = 32, 0.95
# A frame with more masked pixels than this is masked; fewer come of encoding dark things that move.
SPECK = 100
# A pixel of the source with no level above this may be black without a mask: it says nothing.
DARK = 48
# Ellipses as marked, and what remains when a hand's error is taken from their radii.
SHRUNK = {"whole": 1.0, "inner": 0.95}
# Less of a face that says something is not enough to judge it.
LEAST_TOLD = 0.3


def frames(film, width, height):
    """The frames of a film, at the size of its source."""
    raw = f"-map 0:v:0 -fps_mode passthrough -s {width}x{height} -f rawvideo -pix_fmt rgb24 -"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", film, *raw.split()]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE)
    while len(picture := reader.stdout.read(3 * width * height)) == 3 * width * height:
        yield np.frombuffer(picture, np.uint8).reshape(height, width, 3)
    if reader.wait():
        sys.exit(f"ffmpeg could not read {film}")


def ellipse(shape, marked, scale):
    """The pixels whose middles lie in an ellipse: `Ellipse::holds` in films/src/truth.rs."""
    x, y, rx, ry, degrees = marked
    down, across = np.mgrid[: shape[0], : shape[1]] + 0.5
    right, below = across - x, down - y
    sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return ((right * cos + below * sin) / (rx * scale)) ** 2 + ((below * cos - right * sin) / (ry * scale)) ** 2 <= 1


def empty():
    return {"faces": {}, "clips": {}, "beside": {"face_pixels": 0, "touched": 0}, "without": {}, "leaks": []}


def count(clip, recording):
    """What a recording leaves of the faces that were marked."""
    size = clip["width"], clip["height"]
    marked = {frame["frame"]: frame for frame in clip["looked_at"]}
    found, people, seen = empty(), {}, 0
    pairs = zip(frames(ROOT / clip["film"], *size), frames(recording, *size), strict=True)
    for at, (source, output) in enumerate(pairs):
        seen += 1
        if at in marked:
            one_frame(clip, marked[at], source, output, found, people)
    if seen != clip["frames"]:
        sys.exit(f"{clip['film']} has {seen} frames, the truth tells of {clip['frames']}")
    for (kind, _), leaked in people.items():
        for counts in (found["faces"][kind], found["clips"][clip["clip"]]):
            add(counts, {"people": 1} | {f"{how}_people": int(how in leaked) for how in SHRUNK})
    return found


def one_frame(clip, frame, source, output, found, people):
    told = source.max(axis=2) >= DARK
    masked = told & (output.max(axis=2) < BLACK)
    outside = masked.copy()
    for face in frame["faces"]:
        kind, whole = face["class"], ellipse(told.shape, face["ellipse"], 1)
        outside &= ~whole
        if frame["seen"] == "faces":
            found["beside"]["face_pixels"] += int(whole.sum())
        if (whole & told).sum() < LEAST_TOLD * whole.sum():
            sys.exit(f"{clip['clip']}, frame {frame['frame']}: too dark to be judged")
        covered = {}
        for how, scale in SHRUNK.items():
            visible = ellipse(told.shape, face["ellipse"], scale) & told
            covered[how] = float((masked & visible).sum() / visible.sum())
        leaked = {how for how in SHRUNK if covered[how] < COVERED}
        people.setdefault((kind, face["track"]), set()).update(leaked)
        for counts in (found["faces"].setdefault(kind, {}), found["clips"].setdefault(clip["clip"], {})):
            add(counts, {"faces": 1} | {how: int(how in leaked) for how in SHRUNK})
        if leaked:
            shown = {how: round(part, 3) for how, part in covered.items()}
            where = {"clip": clip["clip"], "frame": frame["frame"], "seconds": frame["frame"] / clip["fps"]}
            found["leaks"].append(where | {"track": face["track"], "class": kind, "masked": shown})
    touched = int(outside.sum())
    if frame["seen"] == "faces":
        found["beside"]["touched"] += touched
    elif not frame["faces"]:
        one = {"frames": 1, "masked": int(touched > SPECK), "pixels": told.size, "touched": touched}
        add(found["without"].setdefault(frame["seen"], {}), one)


def samples(clip, bench, work):
    """What tracks alone leave; `reelmill-bench` knows no frames that were not looked at: faces are all it tells."""
    found = {"faces": {}, "clips": {}, "leaks": []}
    for how, scale in SHRUNK.items():
        kinds = {(face["class"], face["track"]) for frame in clip["looked_at"] for face in frame["faces"]}
        kinds = sorted(kinds, key=str)
        truth = {"width": clip["width"], "height": clip["height"], "head": 1, "frames": [[]] * clip["frames"]}
        truth["tracks"] = [{"kind": kind, "width": 99, "frames": 99} for kind, _ in kinds]
        for frame in clip["looked_at"]:
            faces = []
            for face in frame["faces"]:
                x, y, rx, ry, angle = face["ellipse"]
                place = [x, y, rx * scale, ry * scale, angle]
                faces.append({"track": kinds.index((face["class"], face["track"])), "ellipse": place, "visible": 1})
            truth["frames"][frame["frame"]] = faces
        file = work / f"{clip['clip']}.json"
        file.write_text(json.dumps(truth))
        told = leaks(clip["clip"], bench, "tracks", ROOT / clip["film"], file, *SAMPLES)
        for leak in told["leaks"]:
            where = {"clip": clip["clip"], "frame": leak["frame"], "seconds": leak["frame"] / clip["fps"]}
            kind, track = kinds[leak["track"]]
            found["leaks"].append(where | {"track": track, "class": kind, "masked": {how: round(leak["masked"], 3)}})
        for kind, one in told["kinds"].items():
            counts = {how: one["leaked"], f"{how}_people": one["leaked_tracks"]}
            if how == "whole":
                counts |= {"faces": one["face_frames"], "people": one["tracks"]}
            add(found, {"faces": {kind: counts}, "clips": {clip["clip"]: counts}})
    return found


def main():
    program, bench, deface = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "-"
    clips = json.loads((HERE / "truth/real/faces.json").read_text())
    work = pathlib.Path(tempfile.mkdtemp(prefix="reelmill-real."))
    pooled, unpublished, took, mills = {}, {}, {}, {}
    print(f"load average {os.getloadavg()[0]:.1f}; {sum(len(clip['looked_at']) for clip in clips)} frames", flush=True)
    for name in NAMES:
        (work / name).mkdir()
        mills[name] = Mill(program, work / name, "--clip-seconds", "4", *MODES[name])
    for clip in clips:
        film = ROOT / clip["film"]
        for name, mill in mills.items():
            out = work / f"{name}-{clip['clip']}.mp4"
            begun = time.monotonic()
            refused = mill.film(film, out, "--assessment", clip["clip"])
            took[name] = took.get(name, 0) + time.monotonic() - begun
            if refused:
                # Not published is not leaked, and no recording either.
                print(f"{name}, {clip['clip']}: {refused.strip()}", flush=True)
                unpublished.setdefault(name, []).append(clip["clip"])
                continue
            add(pooled.setdefault(name, {}), count(clip, out))
        if deface != "-":
            out = work / f"deface-{clip['clip']}.mp4"
            begun = time.monotonic()
            defaced(deface, film, out, work)
            took["deface"] = took.get("deface", 0) + time.monotonic() - begun
            add(pooled.setdefault("deface", {}), count(clip, out))
        begun = time.monotonic()
        add(pooled.setdefault("500 ms", {}), samples(clip, bench, work))
        took["500 ms"] = took.get("500 ms", 0) + time.monotonic() - begun
    for mill in mills.values():
        mill.stop()
    for name, clips_kept in unpublished.items():
        print(f"{name} has not published {', '.join(clips_kept)}")
    report(pooled)
    figures = work / "real.json"
    figures.write_text(json.dumps({"pooled": pooled, "unpublished": unpublished, "seconds": took}, indent=1))
    print(f"\nfigures: {figures}")


def report(pooled):
    names = list(pooled)
    print("\nleaked: faces (whole ellipse, inner one); people (whole, inner)")
    rule = "|--" * (len(names) + 1) + "|"
    for part, title in (("faces", "class"), ("clips", "clip")):
        print(f"\n| {title} (faces, people) | " + " | ".join(names) + f" |\n{rule}")
        for one in dict.fromkeys(one for name in names for one in pooled[name][part]):
            counts = {name: pooled[name][part].get(one) for name in names}
            most = max((known for known in counts.values() if known), key=lambda known: known["faces"])
            print(f"| {one} ({most['faces']}, {most['people']}) | " + " | ".join(map(cell, counts.values())) + " |")
    masks = [name for name in names if "without" in pooled[name]]
    print("\n| masks where no face is | " + " | ".join(masks) + " |\n" + "|--" * (len(masks) + 1) + "|")
    for seen in sorted({seen for name in masks for seen in pooled[name]["without"]}):
        ones = [pooled[name]["without"].get(seen) for name in masks]
        cells = [f"{one['masked']} of {one['frames']}" if one else "-" for one in ones]
        print(f"| frames with a mask: {seen} | " + " | ".join(cells) + " |")
        cells = [share(one["touched"], one["pixels"]).strip() if one else "-" for one in ones]
        print(f"| touched of the picture: {seen} | " + " | ".join(cells) + " |")
    besides = [pooled[name]["beside"] for name in masks]
    cells = [f"{one['touched'] / one['face_pixels']:.2f}" if one["face_pixels"] else "-" for one in besides]
    print("| touched beside faces, of their area | " + " | ".join(cells) + " |")


def cell(counts):
    """Leaked faces, of whole and of inner ellipses, and people of whom any did, the same."""
    if not counts:
        return "-"
    return f"{counts['whole']}, {counts['inner']}; {counts['whole_people']}, {counts['inner_people']}"


if __name__ == "__main__":
    main()
