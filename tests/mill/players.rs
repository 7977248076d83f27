//! Players that are not ours: Chromium and GStreamer show a recording of copied and of encoded groups of
//! pictures as FFmpeg decodes it, wherever they seek to.

use crate::{
    foreign_clients::present,
    support::{Mill, ffmpeg, footage},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A face between two stretches without one, in groups of a second.
fn film(mill: &Mill) -> PathBuf {
    let film = mill.dir().join("film.mp4");
    let pattern = "-f lavfi -t 3 -i testsrc2=size=640x360:rate=25";
    let talk = footage("talk_360p.mp4");
    let inputs =
        format!("{pattern} -ss 4 -t 3 -i {} {pattern} -f lavfi -t 9 -i sine", talk.display());
    let graph = "[0:v]setsar=1[a];[1:v]scale=640:360,fps=25,setsar=1[b];[2:v]setsar=1[c];[a][b][c]concat=n=3[v]";
    let encode = "-map [v] -map 3:a -pix_fmt yuv420p -c:v libx264 -g 25 -keyint_min 25 \
                  -sc_threshold 0 -bf 2 -c:a aac";
    let arguments = format!("{inputs} -filter_complex {graph} {encode}");
    ffmpeg(&arguments.split_whitespace().collect::<Vec<_>>(), &film);
    film
}

/// A hash of every packet of pictures, in the order of the file.
fn packets(film: &Path) -> Vec<String> {
    let asked =
        "-v error -select_streams v -show_entries packet=data_hash -show_data_hash md5 -of csv=p=0";
    let output = Command::new("ffprobe").args(asked.split(' ')).arg(film).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn chromium_and_gstreamer_show_every_seam_of_a_recording_as_ffmpeg_does() {
    let players = [
        ("chromium", "chromium-headless-shell --version"),
        ("gstreamer", "gst-inspect-1.0 avdec_h264"),
        ("playwright for python", "python3 -m playwright --version"),
    ];
    let is_there = |(name, probe): &(&str, &str)| {
        let (program, arguments) = probe.split_once(' ').unwrap();
        present(name, Command::new(program).args(arguments.split(' ')))
    };
    if !players.iter().all(is_there) {
        return;
    }
    let mill = Mill::start(&["--clip-seconds", "4"]);
    let source = film(&mill);
    let video = mill.upload(&source, "assessment=players");
    mill.at_rest(&video);
    let recording = mill.recording(&video);

    let (before, after) = (packets(&source), packets(&recording));
    assert_eq!(before.len(), after.len());
    let copied = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    assert!((50..175).contains(&copied), "{copied} of {} packets were copied", before.len());

    let shots = mill.dir().join("shots");
    std::fs::create_dir(&shots).unwrap();
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mill/players.py"))
        .args([&mill.endpoints["REELMILL_URL"], &video])
        .args([&recording, &shots])
        .output()
        .unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
