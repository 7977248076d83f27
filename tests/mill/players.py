"""Plays a recording in Chromium and in GStreamer: players.py ORIGIN VIDEO FILE SHOTS

ORIGIN is the mill's address, FILE what it hands out as the recording of VIDEO. Chromium seeks to the first and last
frame of every half second and must show what FFmpeg decodes there; then it plays to the end. GStreamer decodes the same
bytes as FFmpeg. SHOTS is a directory for a picture of each seek.
"""

import base64
import json
import pathlib
import subprocess
import sys

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 160, 90
# What two ways from YUV to a small picture may differ by, mean levels of 256.
CONVERSION = 8.0

LOAD = """async ({ source, width, height }) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const video = document.createElement("video");
  [video.muted, video.src] = [true, source];
  document.body.replaceChildren(video);
  Object.assign(window, { canvas, video });
  await new Promise((done, failed) => {
    video.oncanplaythrough = done;
    video.onerror = () => failed(new Error(video.error.message));
  });
  return [video.duration, video.videoWidth, video.videoHeight];
}"""
SEEK = """async (at) => {
  const shown = new Promise((done) => video.requestVideoFrameCallback((_, frame) => done(frame.mediaTime)));
  const sought = new Promise((done) => { video.onseeked = done; });
  video.currentTime = at;
  await sought;
  const time = await shown;
  const drawing = canvas.getContext("2d");
  drawing.imageSmoothingQuality = "high";
  drawing.drawImage(video, 0, 0, canvas.width, canvas.height);
  if (video.error) throw new Error(video.error.message);
  return [time, canvas.toDataURL("image/png")];
}"""
PLAY = """async () => {
  video.currentTime = 0;
  video.playbackRate = 2;
  const ended = new Promise((done, failed) => {
    video.onended = done;
    video.onerror = () => failed(new Error(video.error.message));
  });
  await video.play();
  await ended;
  return video.currentTime;
}"""


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True)
    if result.returncode != 0 or result.stderr:
        sys.exit(f"{command[0]}: {result.returncode}: {result.stderr.decode(errors='replace')}")
    return result.stdout


def frames(path, *options):
    size = WIDTH * HEIGHT * 3
    small = ["-vf", f"scale={WIDTH}:{HEIGHT}:flags=area", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    raw = run("ffmpeg", "-v", "warning", "-nostdin", *options, "-i", path, *small)
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def apart(a, b):
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


def chromium(origin, video, file, shots):
    asked = ["-select_streams", "v", "-show_entries", "frame=pts_time:format=duration", "-of", "json"]
    told = json.loads(run("ffprobe", "-v", "error", *asked, file))
    times = [float(frame["pts_time"]) for frame in told["frames"]]
    wanted = frames(file, "-xerror", "-err_detect", "explode")
    assert len(wanted) == len(times), (len(wanted), len(times))
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox.
        options = {"executable_path": "/usr/bin/chromium-headless-shell", "args": ["--no-sandbox"]}
        browser = playwright.chromium.launch(**options)
        page = browser.new_page()
        page.goto(origin)
        source = f"/api/videos/{video}/recording"
        length, width, height = page.evaluate(LOAD, {"source": source, "width": WIDTH, "height": HEIGHT})
        print(f"Chromium {browser.version}: {length} s of {width}x{height}")
        duration = float(told["format"]["duration"])
        assert abs(length - duration) < 0.05, (length, duration)
        step = round(0.5 / (times[1] - times[0]))
        seams = range(0, len(times), step)
        near = {seam + off for seam in seams for off in (-1, 0, 1)}
        places = sorted(near & set(range(len(times))))
        # Backwards, then forwards in leaps; a seek to what is shown already would show nothing anew.
        for at in [*reversed(places), *places[3::7]]:
            until = times[at + 1] if at + 1 < len(times) else duration
            time, shot = page.evaluate(SEEK, (times[at] + until) / 2)
            picture = shots / f"{at:05}.png"
            picture.write_bytes(base64.b64decode(shot.split(",", 1)[1]))
            assert abs(time - times[at]) < 0.002, f"frame {at} at {times[at]}: Chromium shows {time}"
            [shown] = frames(picture)
            off = apart(shown, wanted[at])
            assert off < CONVERSION, f"frame {at}: {off:.1f} levels from what FFmpeg decodes"
        end = page.evaluate(PLAY)
        assert abs(end - duration) < 0.1, (end, duration)
        browser.close()
    print(f"{len(places)} frames sought, played to the end")


def gstreamer(file):
    """Decodes to the same pixels as FFmpeg."""
    chain = "qtdemux name=film film.video_0 ! h264parse ! avdec_h264 ! video/x-raw,format=I420 ! fdsink fd=1"
    theirs = run("gst-launch-1.0", "--quiet", "filesrc", f"location={file}", "!", *chain.split())
    raw = ["-map", "0:v", "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    ours = run("ffmpeg", "-v", "warning", "-nostdin", "-i", file, *raw)
    assert len(theirs) == len(ours), (len(theirs), len(ours))
    assert theirs == ours, "GStreamer decodes other pixels than FFmpeg"
    print(f"GStreamer: {len(theirs)} bytes of pixels as FFmpeg's")


if __name__ == "__main__":
    origin, video, file, shots = sys.argv[1:]
    chromium(origin, video, pathlib.Path(file), pathlib.Path(shots))
    gstreamer(file)
