//! The inputs and the arguments that ffmpeg makes them with.

/// One input: how it is made and what must come of it.
pub(super) struct Input {
    /// What it is, in the table.
    pub(super) what: &'static str,
    /// Arguments of one ffmpeg call each; the last word is the file, that of the last call the
    /// input. [`WORDS`] stand for longer arguments. `EDITS=1-2,…` is no call: see
    /// [`edited`](super::edits::edited).
    pub(super) made_by: &'static [&'static str],
    pub(super) expected: Expected,
    /// What is not kept, or kept in another way; empty when all is.
    pub(super) note: &'static str,
}

/// What must come of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Every frame that `ffprobe` counts from the first key frame on, masked where asked, at its time, with its sound.
    Whole,
    /// No film: an error of this [`reason`](media::MediaError::reason).
    Refused(&'static str),
}

/// Words of the arguments that stand for others. The picture shows a running clock and a frame
/// counter; the sound beeps for a tenth of each half second.
pub(super) const WORDS: &[(&str, &str)] = &[
    ("PICTURE", "-f lavfi -i testsrc2=size=160x120:rate=25:duration=3"),
    ("LARGER", "-f lavfi -i testsrc2=size=320x180:rate=25:duration=3"),
    ("UPRIGHT", "-f lavfi -i testsrc2=size=120x160:rate=25:duration=3"),
    ("BEEPS", "-f lavfi -i aevalsrc=0.5*sin(2000*PI*t)*lt(mod(t\\,0.5)\\,0.1):d=3:s=48000"),
    ("H264", "-c:v libx264 -preset veryfast -g 25 -pix_fmt yuv420p"),
    ("HEVC", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25"),
    ("VP9", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25"),
];

const fn whole(what: &'static str, made_by: &'static [&'static str]) -> Input {
    Input { what, made_by, expected: Expected::Whole, note: "" }
}

const fn noted(what: &'static str, made_by: &'static [&'static str], note: &'static str) -> Input {
    Input { what, made_by, expected: Expected::Whole, note }
}

pub(super) fn containers() -> Vec<Input> {
    vec![
        whole("mp4, index at the end", &["PICTURE BEEPS H264 -c:a aac plain.mp4"]),
        whole(
            "mp4, index in front",
            &["PICTURE BEEPS H264 -c:a aac -movflags +faststart front.mp4"],
        ),
        whole(
            "mp4 in fragments",
            &["PICTURE BEEPS H264 -c:a aac -movflags frag_keyframe+empty_moov fragments.mp4"],
        ),
        whole(
            "MOV, HEVC 10 bit as phones write it",
            &["PICTURE BEEPS HEVC -pix_fmt yuv420p10le -tag:v hvc1 -c:a aac PHONE.MOV"],
        ),
        whole("mov, ProRes with PCM", &["PICTURE BEEPS -c:v prores_ks -c:a pcm_s24le edit.mov"]),
        whole("mkv, H.264", &["PICTURE BEEPS H264 -c:a aac h264.mkv"]),
        whole("mkv, HEVC", &["PICTURE BEEPS HEVC -c:a flac hevc.mkv"]),
        whole(
            "webm, VP8",
            &[
                "PICTURE BEEPS -c:v libvpx -cpu-used 8 -g 25 -auto-alt-ref 1 -lag-in-frames 16 -c:a libvorbis vp8.webm",
            ],
        ),
        whole("webm, VP9", &["PICTURE BEEPS VP9 -c:a libopus vp9.webm"]),
        whole(
            "webm written live, without length",
            &["PICTURE BEEPS VP9 -c:a libopus -live 1 live.webm"],
        ),
        whole("avi, MPEG-4", &["PICTURE BEEPS -c:v mpeg4 -g 25 -c:a libmp3lame plain.avi"]),
        noted(
            "avi, MPEG-4 with B-frames",
            &["PICTURE BEEPS -c:v mpeg4 -g 25 -bf 2 -c:a pcm_s16le b.avi"],
            AVI_ORDER,
        ),
        noted(
            "avi, XviD with packed B-frames",
            &["PICTURE BEEPS -c:v libxvid -g 25 -bf 2 -c:a libmp3lame packed.avi"],
            AVI_ORDER,
        ),
        noted(
            "avi, H.264 with a pyramid of B-frames",
            &["PICTURE BEEPS H264 -bf 5 -x264-params b-pyramid=normal:b-adapt=0 -c:a ac3 h264.avi"],
            AVI_ORDER,
        ),
        noted(
            "avi, H.264 in open groups",
            &[
                "PICTURE BEEPS H264 -bf 3 -x264-params open-gop=1:b-adapt=0 -c:a libmp3lame open.avi",
            ],
            AVI_ORDER,
        ),
        whole(
            "avi with left-out frames",
            &["PICTURE -vf select=not(mod(n\\,3)) -vsync vfr -c:v mpeg4 -g 10 gaps.avi"],
        ),
        whole(
            "avi, Motion JPEG of a camera",
            &["PICTURE BEEPS -c:v mjpeg -pix_fmt yuvj420p -c:a pcm_u8 -ar 11025 camera.avi"],
        ),
        whole("ts, H.264", &["PICTURE BEEPS H264 -c:a aac h264.ts"]),
        whole("ts, HEVC", &["PICTURE BEEPS HEVC -c:a ac3 hevc.ts"]),
        whole("ts, MPEG-2", &["PICTURE BEEPS -c:v mpeg2video -g 12 -bf 2 -c:a mp2 mpeg2.ts"]),
        whole(
            "m2ts of a camcorder",
            &["PICTURE BEEPS H264 -c:a ac3 -mpegts_m2ts_mode 1 camcorder.m2ts"],
        ),
    ]
}

const AVI_ORDER: &str = "avi stores no display times: the n-th displayed frame gets the n-th place";

pub(super) fn pictures() -> Vec<Input> {
    vec![
        whole("MPEG-4 part 2 in mp4", &["PICTURE BEEPS -c:v mpeg4 -bf 2 -g 25 -c:a aac mpeg4.mp4"]),
        whole("AV1 in mp4", &["PICTURE -c:v libaom-av1 -cpu-used 8 -usage realtime -g 25 av1.mp4"]),
        whole("VP9 in mp4", &["PICTURE VP9 vp9.mp4"]),
        noted("H.264 10 bit", &["PICTURE H264 -pix_fmt yuv420p10le ten.mp4"], "8 bit"),
        noted("H.264 4:2:2", &["PICTURE H264 -pix_fmt yuv422p four22.mp4"], "4:2:0"),
        noted("H.264 4:4:4", &["PICTURE H264 -pix_fmt yuv444p four44.mp4"], "4:2:0"),
        noted(
            "HEVC 10 bit 4:2:2",
            &["PICTURE HEVC -pix_fmt yuv422p10le ten22.mkv"],
            "8 bit, 4:2:0",
        ),
        noted("VP9 10 bit", &["PICTURE VP9 -pix_fmt yuv420p10le ten.webm"], "8 bit"),
        whole(
            "full range",
            &["PICTURE -c:v libx264 -preset veryfast -g 25 -pix_fmt yuvj420p full.mp4"],
        ),
        noted(
            "H.264, a part of the picture cropped away by its header",
            &["LARGER H264 -bsf:v h264_metadata=crop_right=64 cropped.mp4"],
            "the hidden part is gone",
        ),
        noted(
            "H.264 interlaced",
            &["PICTURE H264 -flags +ilme+ildct -x264-params tff=1 interlaced.mp4"],
            "both fields in one frame",
        ),
        noted(
            "MPEG-2 interlaced in ts",
            &["PICTURE -c:v mpeg2video -flags +ilme+ildct -g 12 interlaced.ts"],
            "both fields in one frame",
        ),
        noted(
            "odd sides, VP9",
            &["-f lavfi -i testsrc2=size=161x121:rate=25:duration=3 VP9 -pix_fmt yuv420p odd.webm"],
            "one column and one row more",
        ),
        noted(
            "odd sides, H.264 4:4:4",
            &["-f lavfi -i testsrc2=size=161x121:rate=25:duration=3 H264 -pix_fmt yuv444p odd.mp4"],
            "one column and one row more",
        ),
        noted(
            "odd sides, MPEG-4 in avi",
            &["-f lavfi -i testsrc2=size=161x121:rate=25:duration=3 -c:v mpeg4 -g 25 odd.avi"],
            "one column and one row more",
        ),
        whole("tiny", &["-f lavfi -i testsrc2=size=64x64:rate=25:duration=3 H264 tiny.mp4"]),
        whole(
            "turned by 90 degrees",
            &[
                "PICTURE H264 upright.mp4",
                "-i upright.mp4 -c copy -metadata:s:v:0 rotate=90 turned90.mp4",
            ],
        ),
        whole(
            "turned by 180 degrees",
            &[
                "PICTURE HEVC down.mov",
                "-i down.mov -c copy -metadata:s:v:0 rotate=180 turned180.mov",
            ],
        ),
        whole(
            "turned by 270 degrees",
            &[
                "PICTURE BEEPS H264 -c:a aac left.mp4",
                "-i left.mp4 -c copy -metadata:s:v:0 rotate=270 turned270.mp4",
            ],
        ),
        whole("pixels wider than high, mp4", &["PICTURE H264 -aspect 16:9 wide.mp4"]),
        whole("pixels wider than high, mkv", &["PICTURE VP9 -aspect 16:9 wide.mkv"]),
        whole(
            "pixels wider than high, ts",
            &["PICTURE -c:v mpeg2video -g 12 -aspect 16:9 wide.ts"],
        ),
    ]
}

pub(super) fn times() -> Vec<Input> {
    vec![
        whole(
            "1 frame a second",
            &[
                "-f lavfi -i testsrc2=size=160x120:rate=1:duration=6 BEEPS H264 -g 2 -c:a aac slow.mp4",
            ],
        ),
        whole(
            "1 frame a second, avi",
            &[
                "-f lavfi -i testsrc2=size=160x120:rate=1:duration=6 BEEPS -c:v mpeg4 -g 2 -c:a pcm_s16le slow.avi",
            ],
        ),
        whole(
            "120 frames a second",
            &["-f lavfi -i testsrc2=size=160x120:rate=120:duration=3 BEEPS H264 -c:a aac fast.mp4"],
        ),
        whole(
            "120 frames a second, mkv",
            &["-f lavfi -i testsrc2=size=160x120:rate=120:duration=3 H264 fast.mkv"],
        ),
        whole(
            "23.976 frames a second",
            &[
                "-f lavfi -i testsrc2=size=160x120:rate=24000/1001:duration=3 BEEPS H264 -c:a aac cinema.mp4",
            ],
        ),
        whole(
            "29.97 frames a second, avi",
            &[
                "-f lavfi -i testsrc2=size=160x120:rate=30000/1001:duration=3 BEEPS -c:v mpeg4 -g 25 -c:a libmp3lame ntsc.avi",
            ],
        ),
        whole(
            "59.94 frames a second, ts",
            &[
                "-f lavfi -i testsrc2=size=160x120:rate=60000/1001:duration=3 BEEPS H264 -c:a aac ntsc.ts",
            ],
        ),
        whole(
            "variable rate, mp4",
            &[
                "PICTURE BEEPS -vf select=not(mod(n\\,3))+gt(mod(n\\,20)\\,12) -vsync vfr H264 -c:a aac variable.mp4",
            ],
        ),
        whole(
            "variable rate, webm",
            &[
                "PICTURE BEEPS -vf select=not(mod(n\\,3))+gt(mod(n\\,20)\\,12) -vsync vfr VP9 -c:a libopus variable.webm",
            ],
        ),
        whole(
            "variable rate, ts",
            &[
                "PICTURE BEEPS -vf select=not(mod(n\\,3))+gt(mod(n\\,20)\\,12) -vsync vfr H264 -c:a aac variable.ts",
            ],
        ),
        whole(
            "7 B-frames in a pyramid",
            &[
                "PICTURE BEEPS H264 -bf 7 -x264-params b-pyramid=normal:b-adapt=0 -c:a aac pyramid.mp4",
            ],
        ),
        whole(
            "open groups, mp4",
            &["PICTURE H264 -bf 3 -x264-params open-gop=1:b-adapt=0 open.mp4"],
        ),
        whole(
            "open groups, ts",
            &["PICTURE BEEPS H264 -bf 3 -x264-params open-gop=1:b-adapt=0 -c:a aac open.ts"],
        ),
        whole(
            "open groups, HEVC",
            &[
                "PICTURE -c:v libx265 -x265-params log-level=none:keyint=25:open-gop=1:bframes=3 open.mkv",
            ],
        ),
        whole(
            "one group of 300 frames",
            &[
                "-f lavfi -i testsrc2=size=160x120:rate=100:duration=3 BEEPS H264 -g 300 -keyint_min 300 -sc_threshold 0 -c:a aac group.mp4",
            ],
        ),
        whole("key frames only", &["PICTURE H264 -g 1 keys.mp4"]),
        whole("one frame", &["-f lavfi -i testsrc2=size=160x120:rate=25 -frames:v 1 H264 one.mp4"]),
    ]
}

pub(super) fn starts() -> Vec<Input> {
    vec![
        whole(
            "an edit list hides the first half second",
            &["PICTURE BEEPS H264 -c:a aac uncut.mp4", "-ss 0.5 -i uncut.mp4 -c copy edited.mp4"],
        ),
        whole(
            "an edit list leaves the middle second out",
            &["PICTURE BEEPS H264 -c:a aac long.mp4", "EDITS=0-1,2-3 long.mp4 shorter.mp4"],
        ),
        whole(
            "an edit list shows the middle second twice",
            &["PICTURE BEEPS H264 -bf 3 -c:a aac once.mp4", "EDITS=0-2,1-3 once.mp4 twice.mp4"],
        ),
        whole(
            "an edit list shows the film three times",
            &["PICTURE HEVC loop.mov", "EDITS=0-3,0-3,0-3 loop.mov loops.mov"],
        ),
        Input {
            expected: Expected::Refused("unsupported"),
            ..whole(
                "an edit list joins parts between key frames",
                &[
                    "PICTURE BEEPS H264 -c:a aac uncut2.mp4",
                    "EDITS=0-1,1.4-3 uncut2.mp4 joined.mp4",
                ],
            )
        },
        Input {
            expected: Expected::Refused("too_large"),
            ..whole(
                "an edit list shows one second nine times",
                &[
                    "PICTURE BEEPS H264 -c:a aac second.mp4",
                    "EDITS=0-1,0-1,0-1,0-1,0-1,0-1,0-1,0-1,0-1 second.mp4 nine.mp4",
                ],
            )
        },
        whole(
            "the picture begins later than the sound",
            &["-itsoffset 0.4 PICTURE BEEPS -vsync passthrough H264 -c:a aac later.mp4"],
        ),
        whole(
            "the sound begins later than the picture",
            &["PICTURE -itsoffset 0.4 BEEPS H264 -c:a aac silent-start.mp4"],
        ),
        whole(
            "the sound begins later than the picture, ts",
            &["PICTURE -itsoffset 0.4 BEEPS H264 -c:a aac silent-start.ts"],
        ),
        whole(
            "negative decoding times",
            &[
                "PICTURE BEEPS H264 -bf 3 -c:a aac -use_editlist 0 -avoid_negative_ts disabled -movflags negative_cts_offsets negative.mp4",
            ],
        ),
        noted(
            "ts whose clock stands at 10 s",
            &["PICTURE BEEPS H264 -c:a aac -output_ts_offset 10 ten.ts"],
            CLOCK,
        ),
        noted(
            "ts whose clock wraps inside",
            &["PICTURE BEEPS H264 -c:a aac -output_ts_offset 95441.5 wrap.ts"],
            CLOCK,
        ),
        noted(
            "mkv whose clock stands at 1000 s",
            &["PICTURE BEEPS H264 -c:a aac -output_ts_offset 1000 late.mkv"],
            CLOCK,
        ),
        whole(
            "a gap of 3 s in the time stamps, mkv",
            &[
                "PICTURE BEEPS -vf setpts=PTS+gt(N\\,40)*3/TB -af asetpts=PTS+gt(T\\,1.6)*3/TB -vsync passthrough H264 -c:a pcm_s16le gap.mkv",
            ],
        ),
        whole(
            "a gap of 3 s in the time stamps, ts",
            &[
                "PICTURE BEEPS -vf setpts=PTS+gt(N\\,40)*3/TB -vsync passthrough H264 -c:a aac gap.ts",
            ],
        ),
        whole(
            "a gap of 3 s in the time stamps, mp4",
            &[
                "PICTURE BEEPS -vf setpts=PTS+gt(N\\,40)*3/TB -vsync passthrough H264 -c:a aac gap.mp4",
            ],
        ),
        noted(
            "ts that begins between key frames",
            &[
                "PICTURE BEEPS H264 -c:a aac cast.ts",
                "-i cast.ts -ss 0.5 -copyinkf -c copy between.ts",
            ],
            BETWEEN,
        ),
        noted(
            "ts that begins between key frames, MPEG-2",
            &[
                "PICTURE BEEPS -c:v mpeg2video -g 12 -bf 2 -c:a mp2 cast2.ts",
                "-i cast2.ts -ss 0.6 -copyinkf -c copy between2.ts",
            ],
            BETWEEN,
        ),
        noted(
            "mkv that begins between key frames",
            &[
                "PICTURE BEEPS H264 -c:a aac cast.mkv",
                "-i cast.mkv -ss 0.5 -copyinkf -c copy between.mkv",
            ],
            BETWEEN,
        ),
        noted(
            "begins in an open group",
            &[
                "PICTURE H264 -bf 3 -x264-params open-gop=1:b-adapt=0 whole.ts",
                "-ss 1.2 -i whole.ts -c copy begins-open.ts",
            ],
            BETWEEN,
        ),
    ]
}

const CLOCK: &str = "the film begins at 0";
const BETWEEN: &str = "begins at the first frame that can be decoded; the sound keeps its place";

pub(super) fn sound() -> Vec<Input> {
    vec![
        whole("no sound", &["PICTURE H264 silent.mp4"]),
        whole("no sound, ts", &["PICTURE H264 silent.ts"]),
        whole("AAC 5.1", &["PICTURE BEEPS H264 -ac 6 -c:a aac surround.mp4"]),
        noted("AC-3 5.1", &["PICTURE BEEPS H264 -ac 6 -c:a ac3 surround.mkv"], "stereo"),
        whole("AAC mono 8 kHz", &["PICTURE BEEPS H264 -ac 1 -ar 8000 -c:a aac phone.mp4"]),
        whole(
            "PCM mono 8 kHz",
            &["PICTURE BEEPS -c:v mpeg4 -g 25 -ac 1 -ar 8000 -c:a pcm_s16le phone.avi"],
        ),
        whole("u-law mono 8 kHz", &["PICTURE BEEPS H264 -ac 1 -ar 8000 -c:a pcm_mulaw phone.mov"]),
        whole("Opus in mp4", &["PICTURE BEEPS H264 -c:a libopus -strict -2 opus.mp4"]),
        whole("Opus in mkv", &["PICTURE BEEPS H264 -c:a libopus opus.mkv"]),
        whole("MP3 in mp4", &["PICTURE BEEPS H264 -c:a libmp3lame mp3.mp4"]),
        whole("E-AC-3 in mp4", &["PICTURE BEEPS H264 -c:a eac3 eac3.mp4"]),
        whole("PCM 96 kHz 24 bit", &["PICTURE BEEPS H264 -ar 96000 -c:a pcm_s24le studio.mov"]),
        whole(
            "sound shorter than the picture",
            &["PICTURE BEEPS H264 -c:a aac -af atrim=0:1.3 short.mp4"],
        ),
        whole(
            "sound longer than the picture",
            &["PICTURE BEEPS H264 -c:a libopus -vf trim=0:1.4 long.mkv"],
        ),
        noted(
            "two sounds, subtitles and a time code",
            &[
                "PICTURE BEEPS BEEPS -f srt -i words.srt -map 0 -map 1 -map 2 -map 3 H264 -c:a aac -c:s mov_text -timecode 01:00:00:00 tracks.mov",
            ],
            "the first sound; no subtitles",
        ),
        noted(
            "two pictures and two sounds, ts",
            &["LARGER PICTURE BEEPS BEEPS -map 1 -map 0 -map 2 -map 3 H264 -c:a aac two.ts"],
            "the larger picture, the first sound",
        ),
        noted(
            "subtitles and an attachment, mkv",
            &[
                "PICTURE BEEPS -f srt -i words.srt -map 0 -map 1 -map 2 H264 -c:a libopus -c:s srt -attach words.srt -metadata:s:t mimetype=text/plain tracks.mkv",
            ],
            "no subtitles, no attachment",
        ),
    ]
}

pub(super) fn changes() -> Vec<Input> {
    const FITTED: &str = "fitted into the first size, with black bars";
    vec![
        noted(
            "ts, H.264 whose size grows",
            &[
                "PICTURE BEEPS H264 -c:a aac s1.ts",
                "LARGER BEEPS H264 -c:a aac s2.ts",
                "-f concat -i s.txt -c copy size.ts",
            ],
            FITTED,
        ),
        noted(
            "ts, HEVC whose size shrinks",
            &["LARGER HEVC h1.ts", "PICTURE HEVC h2.ts", "-f concat -i h.txt -c copy size-hevc.ts"],
            FITTED,
        ),
        noted(
            "mp4, H.264 whose size grows",
            &[
                "PICTURE BEEPS H264 -c:a aac m1.ts",
                "LARGER BEEPS H264 -c:a aac m2.ts",
                "-f concat -i m.txt -c copy -bsf:a aac_adtstoasc size.mp4",
            ],
            FITTED,
        ),
        noted(
            "webm, VP8 of a phone that is turned",
            &[
                "PICTURE -c:v libvpx -cpu-used 8 -g 25 v1.webm",
                "UPRIGHT -c:v libvpx -cpu-used 8 -g 25 v2.webm",
                "-f concat -i v.txt -c copy turned.webm",
            ],
            FITTED,
        ),
        noted(
            "webm, VP9 whose size grows",
            &[
                "PICTURE VP9 w1.webm",
                "LARGER VP9 w2.webm",
                "-f concat -i w.txt -c copy size-vp9.webm",
            ],
            FITTED,
        ),
        whole(
            "ts whose SPS changes",
            &[
                "PICTURE H264 -profile:v baseline p1.ts",
                "PICTURE H264 -profile:v high -refs 5 -bf 3 p2.ts",
                "-f concat -i p.txt -c copy sps.ts",
            ],
        ),
        noted(
            "ts whose pixel format changes",
            &[
                "PICTURE H264 f1.ts",
                "PICTURE H264 -pix_fmt yuv422p10le f2.ts",
                "-f concat -i f.txt -c copy format.ts",
            ],
            "8 bit, 4:2:0",
        ),
        Input {
            what: "ts whose clock begins anew",
            made_by: &[
                "PICTURE H264 c1.ts",
                "PICTURE H264 -output_ts_offset 0.5 c2.ts",
                "-i concat:c1.ts|c2.ts -copyts -c copy -muxdelay 0 clock.ts",
            ],
            expected: Expected::Refused("broken"),
            note: "",
        },
    ]
}
