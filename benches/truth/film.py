"""A film of known faces: film.py SEED FOOTAGE OUT.mp4 TRUTH.json

Faces of photos are put onto moving footage without faces, 640x360 at 25 frames a second. The truth tells
of every frame where the faces are: ellipses from hairline to chin. The same seed gives the same film.
No pixel is darker than FLOOR, so that a black mask can be told from the picture.
"""

import json
import math
import pathlib
import random
import subprocess
import sys

import cv2
import numpy as np

WIDTH, HEIGHT, FPS, FRAMES = 640, 360, 25, 460
# A clip border of mills that cut every four seconds.
BORDER = 100
FLOOR = 48
# A head with its hair and neck, in radii of its face, and what of it hides what is behind.
HEAD = 1.7
SOLID = 1.5
# Pictures that make up one frame of a face that moves fast.
SHUTTER = 8


class Photo:
    """A head on a photo, cut out with a soft edge, its face known."""

    def __init__(self, folder, face):
        picture = cv2.imread(str(folder / face["photo"])).astype(np.float32)
        side = picture.shape[1]
        x, y, rx, ry = (face[name] * side for name in ("x", "y", "rx", "ry"))
        half = int(HEAD * max(rx, ry)) + 1
        padded = cv2.copyMakeBorder(picture, half, half, half, half, cv2.BORDER_REPLICATE)
        self.head = padded[int(y) : int(y) + 2 * half, int(x) : int(x) + 2 * half]
        self.rx, self.ry, self.half = rx, ry, half
        down, across = np.mgrid[-half:half, -half:half].astype(np.float32)
        radius = np.sqrt((across / (HEAD * rx)) ** 2 + (down / (HEAD * ry)) ** 2)
        self.alpha = np.clip((1.0 - radius) / 0.12, 0.0, 1.0)

    def put(self, canvas, x, y, width, squeeze=1.0, angle=0.0, light=1.0):
        """Draws the head so that its face is `width` px wide, and answers with the face's ellipse."""
        scale = width / (2 * self.rx)
        turn = math.radians(angle)
        # Out of the photo: squeezed first, turned then.
        matrix = np.array(
            [
                [scale * squeeze * math.cos(turn), -scale * math.sin(turn), x],
                [scale * squeeze * math.sin(turn), scale * math.cos(turn), y],
            ],
            np.float32,
        )
        matrix[:, 2] -= matrix[:, :2] @ np.array([self.half, self.half], np.float32)
        # Smaller at once would alias.
        head, alpha, shrunk = self.head, self.alpha, 1
        while scale * shrunk < 0.5:
            head, alpha = cv2.pyrDown(head), cv2.pyrDown(alpha)
            shrunk *= 2
        matrix[:, :2] *= shrunk
        size = (WIDTH, HEIGHT)
        head = cv2.warpAffine(head, matrix, size, flags=cv2.INTER_LINEAR)
        alpha = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
        canvas[:] = canvas * (1 - alpha) + head * light * alpha
        return [x, y, width / 2 * squeeze, width / 2 * self.ry / self.rx, angle]


def between(dice, low, high):
    return low + (high - low) * dice.random()


class Actor:
    """A face that is in the film for some frames."""

    def __init__(self, dice, photos, kind, first, frames, width, path, blur=1, **looks):
        self.photo, self.kind = dice.choice(photos), kind
        self.first, self.frames, self.width, self.path = first, frames, width, path
        self.blur, self.looks = blur, looks

    def draw(self, canvas, frame):
        """Draws the actor if it is on, and answers with its ellipse."""
        at = frame - self.first
        if not 0 <= at < self.frames:
            return None
        part = at / max(self.frames - 1, 1)
        looks = {name: value(part) for name, value in self.looks.items()}
        if self.blur == 1:
            return self.photo.put(canvas, *self.path(part), self.width, **looks)
        step = 0.5 / max(self.frames - 1, 1)
        moments = [part + step * (n / (self.blur - 1) - 0.5) for n in range(self.blur)]
        drawn = []
        for moment in moments:
            one = canvas.copy()
            self.photo.put(one, *self.path(moment), self.width, **looks)
            drawn.append(one)
        canvas[:] = np.mean(drawn, axis=0)
        return [*self.path(part), self.width / 2, self.width / 2 * self.photo.ry / self.photo.rx, 0.0]


def line(a, b, wave=0.0, waves=1.0):
    """A way from a to b that swings up and down."""
    return lambda part: (
        a[0] + (b[0] - a[0]) * part,
        a[1] + (b[1] - a[1]) * part + wave * math.sin(2 * math.pi * waves * part),
    )


def cast(dice, photos):
    """The actors of a film. Widths are of faces, px of a frame 640 px wide."""

    def inside(margin=70):
        return between(dice, margin, WIDTH - margin), between(dice, margin, HEIGHT - margin)

    def actor(kind, first, frames, width, path, **more):
        return Actor(dice, photos, kind, first, frames, width, path, **more)

    wide = lambda: between(dice, 28, 90)
    actors = []
    for first in (0, 170, 300):
        way = line(inside(), inside(), wave=between(dice, 0, 25))
        actors.append(actor("moving", first, int(between(dice, 30, 70)), wide(), way))
    # From beyond one side to the middle and out again, and along a side, cut by it all the time.
    side = dice.choice([-60, WIDTH + 60])
    there = inside(150)
    actors.append(actor("border", 60, 35, wide(), line((side, there[1]), there)))
    actors.append(actor("border", 230, 35, wide(), line(there, (WIDTH - side, there[1]))))
    rim = dice.choice([8, HEIGHT - 8])
    actors.append(actor("border", 320, 40, wide(), line((100, rim), (540, rim))))
    # Two that cross.
    level, width = between(dice, 100, 260), between(dice, 40, 70)
    actors.append(actor("crossing", 130, 60, width, line((80, level), (560, level))))
    actors.append(actor("crossing", 130, 60, width * between(dice, 0.8, 1.2), line((560, level), (80, level + 15))))
    # Turning to a side and back, and tilting.
    yaw = lambda part: 1 - 0.5 * math.sin(math.pi * part)
    tilt = between(dice, 25, 45) * dice.choice([-1, 1])
    actors.append(actor("turned", 200, 50, wide(), line(inside(), inside()), squeeze=yaw))
    actors.append(actor("turned", 10, 50, wide(), line(inside(), inside()), angle=lambda part: tilt * math.sin(math.pi * part)))
    # So fast that it smears.
    level = between(dice, 90, 270)
    actors.append(actor("smeared", 270, 24, between(dice, 40, 90), line((70, level), (570, level)), blur=SHUTTER))
    dim = between(dice, 0.06, 0.18)
    actors.append(actor("dark", 345, 45, wide(), line(inside(), inside()), light=lambda _: dim))
    for first in (85, 260):
        actors.append(actor("small", first, 40, between(dice, 12, 24), line(inside(), inside())))
    actors.append(actor("after-border", BORDER, 30, wide(), line(inside(), inside())))
    actors.append(actor("one-frame", int(between(dice, 116, 128)), 1, wide(), line(inside(), inside())))
    actors.append(actor("one-frame", 396, 1, wide(), line(inside(), inside())))
    for place in range(6):
        x, y = 70 + 100 * place, between(dice, 80, 280)
        actors.append(actor("crowd", 305, 12, between(dice, 26, 44), line((x, y), (x + 15, y))))
    return actors


def ellipse_mask(x, y, rx, ry, angle):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    fine = 16
    centre, axes = (round(x * fine), round(y * fine)), (round(rx * fine), round(ry * fine))
    cv2.ellipse(mask, centre, axes, angle, 0, 360, 255, -1, cv2.LINE_8, 4)
    return mask > 0


def main():
    seed, folder, out, truth_file = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    dice = random.Random(seed)
    faces = json.loads((pathlib.Path(__file__).parent / "faces.json").read_text())
    photos = [Photo(folder, face) for face in faces]
    actors = cast(dice, photos)
    ground = cv2.imread(str(folder / "rocket.jpg"))
    ground = cv2.resize(ground, (WIDTH + 240, HEIGHT + 240), interpolation=cv2.INTER_AREA).astype(np.float32)
    phase = between(dice, 0, 6.28)
    encoder = subprocess.Popen(
        f"ffmpeg -v error -y -f rawvideo -pix_fmt bgr24 -s {WIDTH}x{HEIGHT} -r {FPS} -i - -c:v libx264 -preset medium "
        f"-crf 16 -g {FPS} -keyint_min {FPS} -sc_threshold 0 -pix_fmt yuv420p".split() + [out],
        stdin=subprocess.PIPE,
    )
    noise = np.random.default_rng(seed)
    tracks = [{"kind": actor.kind, "width": actor.width, "frames": actor.frames} for actor in actors]
    truth = {"width": WIDTH, "height": HEIGHT, "head": SOLID, "tracks": tracks, "frames": []}
    for frame in range(FRAMES):
        left = int(120 + 110 * math.sin(phase + frame / 60))
        top = int(120 + 110 * math.cos(phase + frame / 83))
        canvas = ground[top : top + HEIGHT, left : left + WIDTH].copy()
        seen = []
        for track, actor in enumerate(actors):
            ellipse = actor.draw(canvas, frame)
            if ellipse is None:
                continue
            x, y, rx, ry, angle = ellipse
            # What the heads drawn later hide of the earlier faces.
            head = ellipse_mask(x, y, rx * SOLID, ry * SOLID, angle)
            for other in seen:
                other["mask"] &= ~head
            seen.append({"track": track, "ellipse": ellipse, "mask": ellipse_mask(*ellipse)})
        told = []
        for face in seen:
            whole = math.pi * face["ellipse"][2] * face["ellipse"][3]
            told.append(
                {
                    "track": face["track"],
                    "ellipse": [round(value, 2) for value in face["ellipse"]],
                    "hidden_by": [later["track"] for later in seen if later["track"] > face["track"]],
                    "visible": round(float(face["mask"].sum() / whole), 3),
                }
            )
        truth["frames"].append(told)
        canvas = FLOOR + canvas * ((255 - FLOOR) / 255) + noise.normal(0, 1.5, canvas.shape)
        encoder.stdin.write(np.clip(canvas, FLOOR, 255).astype(np.uint8).tobytes())
    encoder.stdin.close()
    if encoder.wait():
        sys.exit("ffmpeg could not write the film")
    pathlib.Path(truth_file).write_text(json.dumps(truth))


if __name__ == "__main__":
    main()
