//! The hostile files, made when the test runs.

use crate::boxes::{change, element, mp4_box, overwritten};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Mebibytes a helper needs to refuse a file before it has decoded anything.
pub(crate) const LITTLE: u64 = 256;
/// The most a helper may have.
pub(crate) const MOST: u64 = 1024;

/// One hostile file and what must become of it.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) how: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The reason given; `plays` for files that are refused nothing but their references.
    pub(crate) reason: &'static str,
    /// Highest resident memory of a helper, MiB.
    pub(crate) memory: u64,
}

/// Makes films with the ffmpeg command line.
pub(crate) struct Maker<'a> {
    pub(crate) folder: &'a Path,
    /// A file that nobody may open.
    pub(crate) canary: &'a Path,
    /// Where nobody may connect to, `127.0.0.1:port`.
    pub(crate) address: String,
}

impl Maker<'_> {
    pub(crate) fn ffmpeg(&self, name: &str, arguments: &str) -> Vec<u8> {
        let out: PathBuf = self.folder.join(name);
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments.split(' '))
            .arg(&out)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::read(out).unwrap()
    }

    pub(crate) fn film(&self, name: &str, codec: &str) -> Vec<u8> {
        let picture = "-f lavfi -i testsrc2=size=160x96:rate=10:duration=1";
        self.ffmpeg(name, &format!("{picture} -pix_fmt yuv420p -c:v {codec}"))
    }

    /// An ordinary film.
    pub(crate) fn ordinary(&self) -> Vec<u8> {
        self.film("ordinary.mp4", "libx264")
    }

    /// All rows, group by group: the bytes of all at once would count as the helpers' memory, which
    /// begin as copies of this process.
    pub(crate) const GROUPS: [fn(&Self) -> Vec<Row>; 10] = [
        Self::scripts,
        Self::strangers,
        Self::references,
        Self::tables,
        Self::repeats,
        Self::pictures,
        Self::packed,
        Self::matroska,
        Self::transport_streams,
        Self::avis,
    ];

    /// Texts that make a player open other files.
    pub(crate) fn scripts(&self) -> Vec<Row> {
        let (file, address) = (self.canary.display(), &self.address);
        let hls = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{file}\n#EXTINF:1,\nhttp://{address}/x.ts\n#EXT-X-ENDLIST\n"
        );
        let master =
            format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://{address}/a.m3u8\n{file}\n");
        let dash = format!(
            "<?xml version=\"1.0\"?>\n<MPD type=\"static\" mediaPresentationDuration=\"PT1S\"><Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>http://{address}/{file}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        );
        let film = self.ordinary();
        let concat = format!("ffconcat version 1.0\nfile '{file}'\n");
        let text =
            |name: &str, how, body: String, reason| row(name, how, body.into_bytes(), reason);
        vec![
            text("HLS media playlist", "#EXTM3U with a path and a URL", hls.clone(), "playlist"),
            text("HLS master playlist", "variants by path and URL", master, "playlist"),
            text(
                "HLS behind a BOM, with CRLF",
                "",
                format!("\u{feff}{}", hls.replace('\n', "\r\n")),
                "playlist",
            ),
            row(
                "HLS behind an ID3 tag",
                "ID3v2.4 header, then the playlist",
                [b"ID3\x04\0\0\0\0\0\0", hls.as_bytes()].concat(),
                "playlist",
            ),
            row(
                "HLS in front of a film",
                "playlist, then an mp4",
                [hls.as_bytes(), &film].concat(),
                "playlist",
            ),
            row(
                "HLS behind a film",
                "an mp4, then the playlist",
                [&film[..], hls.as_bytes()].concat(),
                "plays",
            ),
            text("DASH manifest", "BaseURL on loopback", dash, "playlist"),
            text("ffconcat script", "file with an absolute path", concat.clone(), "playlist"),
            text("ffconcat behind blank lines", "", format!("\n\n{concat}"), "playlist"),
            text(
                "Smooth Streaming manifest",
                "",
                format!(
                    "<SmoothStreamingMedia MajorVersion=\"2\"><c url=\"http://{address}\"/></SmoothStreamingMedia>"
                ),
                "playlist",
            ),
            text(
                "SMIL",
                "video src",
                format!("<smil><body><video src=\"{file}\"/></body></smil>"),
                "not_media",
            ),
            text(
                "SDP",
                "session description for loopback",
                format!(
                    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 {address}\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
                ),
                "not_media",
            ),
            text(
                "XSPF",
                "",
                format!(
                    "<?xml version=\"1.0\"?><playlist><trackList><track><location>{file}</location></track></trackList></playlist>"
                ),
                "not_media",
            ),
            text("M3U without a header", "a bare path", format!("{file}\n"), "not_media"),
            text("PLS", "", format!("[playlist]\nFile1={file}\nNumberOfEntries=1\n"), "not_media"),
            text(
                "ASX",
                "",
                format!(
                    "<asx version=\"3.0\"><entry><ref href=\"http://{address}\"/></entry></asx>"
                ),
                "not_media",
            ),
            text(
                "internet shortcut",
                "",
                format!("[InternetShortcut]\nURL=http://{address}/\n"),
                "not_media",
            ),
            text(
                "RTSP redirect",
                "RTSPtext",
                format!("RTSPtext\r\nrtsp://{address}/x\r\n"),
                "not_media",
            ),
            text(
                "protocol names",
                "concat:, subfile, crypto, data",
                format!(
                    "concat:{file}|{file}\nsubfile,,start,0,end,9,,:{file}\ncrypto+file:{file}\ndata:video/mp4;base64,AAAA\n"
                ),
                "not_media",
            ),
            text("AviSynth script", "AviSource", format!("AviSource(\"{file}\")\n"), "not_media"),
            text(
                "filter graph",
                "movie source",
                format!("movie='{file}',scale=2:2\n"),
                "not_media",
            ),
            text(
                "SubRip subtitles",
                "",
                "1\n00:00:00,000 --> 00:00:01,000\n<img src=\"file:///etc/passwd\">\n".to_owned(),
                "not_media",
            ),
            text(
                "SVG",
                "image by path",
                format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"{file}\"/></svg>"),
                "not_media",
            ),
            text(
                "PDF",
                "",
                "%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF\n".to_owned(),
                "not_media",
            ),
            text("PostScript", "file operator", format!("%!PS\n({file}) (r) file\n"), "not_media"),
        ]
    }

    /// Files of other kinds under a video's name.
    fn strangers(&self) -> Vec<Row> {
        let jpeg = self.ffmpeg("one.jpg", "-f lavfi -i color=red:size=64x64 -frames:v 1");
        let film = self.ordinary();
        let webm = self.film("stub.webm", "libvpx");
        vec![
            row("empty file", "no bytes", Vec::new(), "empty"),
            row(
                "zip",
                "PK header",
                [b"PK\x03\x04\x14\0".as_slice(), &[0; 200]].concat(),
                "not_media",
            ),
            row(
                "ELF",
                "this test program",
                std::fs::read("/proc/self/exe").unwrap()[..65536].to_vec(),
                "not_media",
            ),
            row("gzip", "", [b"\x1f\x8b\x08\0".as_slice(), &[7; 200]].concat(), "not_media"),
            row("picture", "JPEG, as image patterns name it", jpeg, "not_media"),
            row("first bytes of an mp4", "100 of them", film[..100].to_vec(), "truncated"),
            row("first bytes of a webm", "60 of them", webm[..60].to_vec(), "truncated"),
            row("half an mp4", "", film[..film.len() / 2].to_vec(), "truncated"),
        ]
    }

    /// Containers that name other files.
    fn references(&self) -> Vec<Row> {
        let film = self.ordinary();
        let path = self.canary.display().to_string();
        let data: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"];
        let external = |kind: &[u8; 4], body: Vec<u8>| {
            change(&film, &data, &|_| {
                let entry = mp4_box(kind, &[&[0, 0, 0, 0], &body[..]].concat());
                [&[0, 0, 0, 0, 0, 0, 0, 1], &entry[..]].concat()
            })
        };
        let redirect = {
            let rdrf = [&[0; 4], &b"url "[..], &(path.len() as u32).to_be_bytes(), path.as_bytes()];
            let rmda = mp4_box(b"rmda", &mp4_box(b"rdrf", &rdrf.concat()));
            let moov = mp4_box(b"moov", &mp4_box(b"rmra", &rmda));
            [mp4_box(b"ftyp", b"qt  \0\0\0\0qt  "), moov].concat()
        };
        let canary = self.canary.display();
        let ordinary = self.folder.join("ordinary.mp4");
        let attached = self.ffmpeg(
            "attached.mkv",
            &format!(
                "-i {} -c copy -attach {canary} -metadata:s:t mimetype=text/plain -metadata:s:t filename=../../etc/passwd",
                ordinary.display()
            ),
        );
        vec![
            row(
                "mov data reference by URL",
                "dref url, not self-contained",
                external(b"url ", format!("file://{path}\0").into_bytes()),
                "plays",
            ),
            row(
                "mov data reference by alias",
                "dref alis",
                external(b"alis", alias(&path)),
                "plays",
            ),
            row("mov reference movie", "rmra/rdrf", redirect, "no_video"),
            row("mkv attachment", "with a path for a name", attached, "plays"),
        ]
    }

    /// Numbers that ask for more than there is.
    fn tables(&self) -> Vec<Row> {
        let film = self.ordinary();
        let table = |kind: &[u8; 4], with: &dyn Fn(&[u8]) -> Vec<u8>| {
            change(&film, &[b"moov", b"trak", b"mdia", b"minf", b"stbl", kind], with)
        };
        let billion = 1_000_000_000_u32.to_be_bytes();
        let count = |kind| table(kind, &|body| overwritten(body, 4, &billion));
        let equal_sizes = table(b"stsz", &|_| [[0; 4], [0, 0, 0, 1], billion].concat());
        let many = |count: usize, one: Vec<u8>| one.repeat(count);
        let tracks = change(&film, &[b"moov"], &|body| {
            [body, &many(100_000, mp4_box(b"trak", &[]))].concat()
        });
        let deep = change(&film, &[b"moov"], &|body| {
            let mut nested = Vec::new();
            for _ in 0..20_000 {
                nested = mp4_box(b"moov", &nested);
            }
            [body, &nested].concat()
        });
        let backwards = change(&film, &[b"moov", b"trak", b"edts", b"elst"], &|body| {
            overwritten(body, body.len() - 4, &[0xff; 4])
        });
        let scale = |value: u32| {
            change(&film, &[b"moov", b"trak", b"mdia", b"mdhd"], &|body| {
                overwritten(body, 12, &value.to_be_bytes())
            })
        };
        let slow = table(b"stts", &|_| {
            [0, 1, 10, 0x7fff_ffff_u32].iter().flat_map(|n| n.to_be_bytes()).collect()
        });
        let endless = change(&film, &[b"moov", b"mvhd"], &|body| {
            let times = [&[1, 0, 0, 0], &[0; 16][..], &1000_u32.to_be_bytes(), &[0x7f; 8]].concat();
            [&times, &body[20..]].concat()
        });
        let entry = element(
            &[0xae],
            &[&[0xd7, 0x81, 1, 0x83, 0x81, 1][..], &[0x86, 0x85], b"V_VP8"].concat(),
        );
        let head = element(&[0x1a, 0x45, 0xdf, 0xa3], &[&[0x42, 0x82, 0x84][..], b"webm"].concat());
        let segment = |body: &[u8]| [&head[..], &element(&[0x18, 0x53, 0x80, 0x67], body)].concat();
        let matroska = |body: Vec<u8>| segment(&element(&[0x16, 0x54, 0xae, 0x6b], &body));
        let mut tags = Vec::new();
        for _ in 0..10_000 {
            tags = element(&[0x67, 0xc8], &tags);
        }
        let tags = element(&[0x12, 0x54, 0xc3, 0x67], &element(&[0x73, 0x73], &tags));
        vec![
            row("10^9 sample times", "stts count", count(b"stts"), "too_large"),
            row(
                "10^9 sample sizes",
                "stsz count",
                table(b"stsz", &|body| overwritten(body, 8, &billion)),
                "broken",
            ),
            row("10^9 equal samples", "stsz with one size for all", equal_sizes, "no_video"),
            row("10^9 chunks", "stco count", count(b"stco"), "too_large"),
            row("10^9 chunk runs", "stsc count", count(b"stsc"), "broken"),
            row("100,000 tracks in mp4", "empty trak boxes", tracks, "too_large"),
            Row {
                memory: MOST,
                ..row(
                    "100,000 tracks in mkv",
                    "track entries",
                    matroska(many(100_000, entry)),
                    "broken",
                )
            },
            row("20,000 boxes in each other", "moov in moov", deep, "broken"),
            row("10,000 elements in each other", "simple tags", segment(&tags), "broken"),
            row("edit played backwards", "media rate -1", backwards, "plays"),
            row("no time base", "mdhd time scale 0", scale(0), "plays"),
            row("a tick a second", "mdhd time scale 1", scale(1), "plays"),
            row("a frame in days", "stts delta 2^31", slow, "too_large"),
            row("endless duration", "mvhd of version 1", endless, "plays"),
        ]
    }
}

pub(crate) fn row(name: &str, how: &'static str, bytes: Vec<u8>, reason: &'static str) -> Row {
    Row { name: name.to_owned(), how, bytes, reason, memory: LITTLE }
}

/// A Macintosh alias record that ends in an absolute POSIX path.
fn alias(path: &str) -> Vec<u8> {
    let mut record = vec![0; 150];
    record[5] = 150;
    record.extend([0, 18]);
    record.extend((path.len() as u16).to_be_bytes());
    record.extend(path.as_bytes());
    record.extend([0xff, 0xff, 0, 0]);
    record
}
