//! The server as boto3 sees it, unchanged; every answer is checked strictly against botocore's own
//! model. Needs boto3 (`make setup`).

use crate::{memory::MemoryStore, options, support::footage};
use image::{ImageEncoder, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    ops::ControlFlow,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};
use vision::{Keys, Server, ServerOptions};

/// Whether boto3 is there; where services are required, its absence is a failure.
fn boto3_is_there() -> bool {
    let mut python = Command::new("python3");
    let probe = python.args(["-c", "import boto3"]).stdout(Stdio::null()).stderr(Stdio::null());
    let there = probe.status().is_ok_and(|status| status.success());
    if !there {
        assert!(
            std::env::var_os("REELMILL_REQUIRE_SERVICES").is_none(),
            "boto3 for python is required and missing: run scripts/setup.sh"
        );
        eprintln!("skipped: boto3 for python is not installed");
    }
    there
}

fn photo(name: &str) -> RgbImage {
    image::open(footage(name)).unwrap().into_rgb8()
}

/// Two portraits side by side, the first one larger.
fn beside(left: &RgbImage, right: &RgbImage) -> RgbImage {
    let left = imageops::resize(left, 600, 750, imageops::FilterType::Triangle);
    let right = imageops::resize(right, 400, 767, imageops::FilterType::Triangle);
    let mut both = RgbImage::new(1000, 767);
    imageops::replace(&mut both, &left, 0, 0);
    imageops::replace(&mut both, &right, 600, 0);
    both
}

/// A JPEG that is stored lying on its side and says so.
fn lying(upright: &RgbImage) -> Vec<u8> {
    let turned_clockwise_to_display: u8 = 6;
    let tag = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, turned_clockwise_to_display, 0, 0, 0, 0, 0, 0];
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 90);
    encoder.set_exif_metadata([b"MM\0\x2a\0\0\0\x08\0\x01", &tag[..]].concat()).unwrap();
    encoder.encode_image(&imageops::rotate270(upright)).unwrap();
    file
}

/// The picture turned clockwise by some degrees about its middle, its corners lost.
fn leaning(picture: &RgbImage, degrees: f32) -> RgbImage {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (width, height) = picture.dimensions();
    let (middle_x, middle_y) = (width as f32 / 2.0, height as f32 / 2.0);
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x as f32 - middle_x, y as f32 - middle_y);
        let (x, y) = (middle_x + dx * cos + dy * sin, middle_y - dx * sin + dy * cos);
        let inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
        if inside { *picture.get_pixel(x as u32, y as u32) } else { image::Rgb([128; 3]) }
    })
}

/// Few bytes, many pixels.
fn bomb() -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut file);
    let (side, black) = (8_000, vec![0; 8_000 * 8_000]);
    encoder.write_image(&black, side, side, image::ExtendedColorType::L8).unwrap();
    file
}

fn frame(film: &str, number: usize) -> RgbImage {
    let (mut at, mut found) = (0, None);
    media::decode(&footage(film), &media::Limits::default(), &mut |frame| {
        if at == number {
            found = Some(frame.rgb(frame.width())?);
            return Ok(ControlFlow::Break(()));
        }
        at += 1;
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let picture = found.unwrap();
    RgbImage::from_raw(picture.width, picture.height, picture.data).unwrap()
}

/// Writes the pictures that are sent, and fills the store.
fn prepare(folder: &Path, store: &MemoryStore) {
    for name in ["obama.jpg", "obama2.jpg", "biden.jpg", "biden2.jpg", "rocket.jpg"] {
        fs::copy(footage(name), folder.join(name)).unwrap();
    }
    let (obama, again) = (photo("obama.jpg"), photo("obama2.jpg"));
    let save = |name: &str, picture: &RgbImage| picture.save(folder.join(name)).unwrap();
    save("two.png", &beside(&obama, &photo("biden2.jpg")));
    save("mirrored.png", &imageops::flip_horizontal(&again));
    save("blurred.png", &imageops::blur(&again, 6.0));
    let mut dark = again.clone();
    dark.pixels_mut().for_each(|pixel| pixel.0 = pixel.0.map(|level| level / 2));
    save("dark.png", &dark);
    save("frame-0.png", &frame("head-pose-two.mp4", 0));
    save("frame-40.png", &frame("head-pose-two.mp4", 40));
    save("leaning.png", &leaning(&again, 30.0));
    fs::write(folder.join("turned.jpg"), lying(&obama)).unwrap();
    fs::write(folder.join("bomb.png"), bomb()).unwrap();

    store.put("photos", "obama.jpg", fs::read(footage("obama.jpg")).unwrap());
    store.put("photos", "notes.txt", b"words, no picture".to_vec());
    store.put("photos", "huge.jpg", vec![0xff; (15 << 20) + 1]);
    // More than may be sent, less than may be stored.
    let noise =
        |x: u32, y: u32| (x.wrapping_mul(y ^ 0x9e37).wrapping_mul(2_654_435_761) >> 24) as u8;
    let large = RgbImage::from_fn(1800, 1200, |x, y| {
        image::Rgb([noise(x, y), noise(y, x + 7), noise(x + y, y)])
    });
    let mut file = std::io::Cursor::new(Vec::new());
    large.write_to(&mut file, image::ImageFormat::Png).unwrap();
    assert!((5 << 20..15 << 20).contains(&file.get_ref().len()), "{}", file.get_ref().len());
    store.put("photos", "large.png", file.into_inner());
    store.put("films", "pose.mp4", fs::read(footage("head-pose-two.mp4")).unwrap());
    store.put("films", "sign.mkv", fs::read(footage("signing-again.mkv")).unwrap());
    store.put("films", "notes.mp4", b"these are notes, not a film".to_vec());
}

/// What the answers leave out of the model and which errors were seen, as a table.
fn table(seen: &str) -> String {
    let seen: BTreeMap<String, BTreeMap<String, Vec<String>>> = serde_json::from_str(seen).unwrap();
    let mut page = String::from(
        "# Rekognition: what answers leave out\n\n\
         Written by the test `boto3`, which drives every operation with boto3 and checks each answer\n\
         against botocore's model: no unknown member, right types, bounds, patterns and names of\n\
         errors. A member of the model that was in no answer is listed here.\n\n\
         | operation | left out | errors seen |\n|--|--|--|\n",
    );
    for (operation, found) in &seen {
        let [left_out, errors] = ["left_out", "errors"].map(|part| found[part].join(", "));
        writeln!(page, "| {operation} | {left_out} | {errors} |").unwrap();
    }
    page
}

#[tokio::test]
async fn every_operation_answers_boto3_in_the_shapes_of_botocores_model() {
    if !boto3_is_there() {
        return;
    }
    let (data, pictures) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Arc::new(MemoryStore::default());
    prepare(pictures.path(), &store);
    let keys = Keys { access_key: "reelmill".to_owned(), secret_key: "secret".to_owned() };
    let options = ServerOptions { keys: Some(keys), ..options(data.path(), store) };
    let server = Server::start(options).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boto3/drive.py");
    let mut python = Command::new("python3");
    python.arg("-B").arg(script).arg(server.url()).arg(pictures.path());
    let output = tokio::task::spawn_blocking(move || python.output().unwrap()).await.unwrap();
    server.stop().await;
    let told = String::from_utf8_lossy(&output.stderr);
    println!("{told}");
    assert!(output.status.success(), "{told}");

    let page = table(String::from_utf8(output.stdout).unwrap().trim());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rekognition-shapes.md");
    if std::env::var_os("REELMILL_WRITE_TABLES").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, page, "write it anew with REELMILL_WRITE_TABLES=1");
}
