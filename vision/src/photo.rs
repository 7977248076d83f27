//! Photographs of strangers: JPEG and PNG, decoded within limits and turned as they are displayed.

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use media::RgbImage;
use serde::{Deserialize, Serialize};
use std::{io::Cursor, panic::catch_unwind};

/// Most pixels that are decoded: the cameras of telephones take up to 50 million.
const MOST_PIXELS: u64 = 50_000_000;
/// Most memory of a decoded picture, bytes.
const MOST_BYTES: u64 = 256 << 20;
/// Most passes of a progressive JPEG. Each visits every pixel but may cost the file ten bytes;
/// cameras and programs write about ten.
const MOST_PASSES: usize = 64;
/// Starts a pass of a JPEG; among its coded pixels these two bytes cannot follow each other.
const START_OF_SCAN: [u8; 2] = [0xff, 0xda];

/// Why a photograph was not decoded.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
pub enum PhotoError {
    /// Neither JPEG nor PNG, or damaged.
    #[error("the picture is not a readable JPEG or PNG: {detail}; convert it to one of these")]
    Unreadable {
        /// What the decoder says.
        detail: String,
    },
    /// Too many pixels.
    #[error(
        "a picture of {width}x{height} px is larger than the 50 million pixels looked at; make it smaller"
    )]
    TooLarge {
        /// Width, px.
        width: u32,
        /// Height, px.
        height: u32,
    },
}

impl PhotoError {
    fn unreadable(detail: impl Into<String>) -> Self {
        Self::Unreadable { detail: detail.into() }
    }
}

/// Decodes a JPEG or PNG and turns it as its EXIF orientation asks. Blocks.
///
/// # Errors
/// See [`PhotoError`]; it is always the picture's fault.
pub fn decode_photo(file: &[u8]) -> Result<RgbImage, PhotoError> {
    // A decoder's own mistake must not cost the caller more than this picture.
    catch_unwind(|| decode(file))
        .unwrap_or_else(|_| Err(PhotoError::unreadable("the decoder gave up on it")))
}

fn decode(file: &[u8]) -> Result<RgbImage, PhotoError> {
    let format = image::guess_format(file)
        .ok()
        .filter(|format| matches!(format, ImageFormat::Jpeg | ImageFormat::Png))
        .ok_or_else(|| PhotoError::unreadable("its first bytes are of neither"))?;
    let passes = || file.windows(2).filter(|pair| *pair == START_OF_SCAN).count();
    if format == ImageFormat::Jpeg && passes() > MOST_PASSES {
        return Err(PhotoError::unreadable("it has too many passes"));
    }
    let unreadable = |error: image::ImageError| PhotoError::unreadable(error.to_string());
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MOST_PIXELS || decoder.total_bytes() > MOST_BYTES {
        return Err(PhotoError::TooLarge { width, height });
    }
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut picture =
        DynamicImage::from(DynamicImage::from_decoder(decoder).map_err(unreadable)?.into_rgb8());
    picture.apply_orientation(orientation);
    let picture = picture.into_rgb8();
    let (width, height) = picture.dimensions();
    Ok(RgbImage { width, height, data: picture.into_raw() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageEncoder, Rgb, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};

    /// 48 wide and 32 high, red at the top left, else blue.
    fn picture() -> image::RgbImage {
        image::RgbImage::from_fn(48, 32, |x, y| {
            if x < 16 && y < 16 { Rgb([250, 0, 0]) } else { Rgb([0, 0, 250]) }
        })
    }

    fn jpeg(orientation: Option<u8>) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 95);
        if let Some(orientation) = orientation {
            let tag = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0];
            encoder.set_exif_metadata([b"MM\0\x2a\0\0\0\x08\0\x01", &tag[..]].concat()).unwrap();
        }
        encoder.encode_image(&picture()).unwrap();
        file
    }

    fn png() -> Vec<u8> {
        let mut file = Vec::new();
        let picture = picture();
        PngEncoder::new(&mut file)
            .write_image(&picture, 48, 32, image::ExtendedColorType::Rgb8)
            .unwrap();
        file
    }

    fn is_red(picture: &RgbImage, x: u32, y: u32) -> bool {
        let at = ((y * picture.width + x) * 3) as usize;
        picture.data[at] > 128 && picture.data[at + 2] < 128
    }

    #[test]
    fn jpeg_and_png_are_read_alike() {
        for file in [jpeg(None), png()] {
            let picture = decode_photo(&file).unwrap();
            assert_eq!((picture.width, picture.height), (48, 32));
            assert!(is_red(&picture, 4, 4) && !is_red(&picture, 44, 4));
        }
    }

    #[test]
    fn every_exif_orientation_is_turned_as_a_viewer_displays_it() {
        // Where the stored top left corner is displayed: orientation, turned by 90 degrees, right,
        // bottom (EXIF 2.3, tag 0x0112).
        for (orientation, turned, right, bottom) in [
            (1, false, false, false),
            (2, false, true, false),
            (3, false, true, true),
            (4, false, false, true),
            (5, true, false, false),
            (6, true, true, false),
            (7, true, true, true),
            (8, true, false, true),
        ] {
            let picture = decode_photo(&jpeg(Some(orientation))).unwrap();
            let size = if turned { (32, 48) } else { (48, 32) };
            assert_eq!((picture.width, picture.height), size, "orientation {orientation}");
            let x = if right { picture.width - 4 } else { 3 };
            let y = if bottom { picture.height - 4 } else { 3 };
            assert!(is_red(&picture, x, y), "orientation {orientation}");
        }
    }

    #[test]
    fn other_formats_and_damaged_files_are_refused() {
        let gif = b"GIF89a\x01\0\x01\0\0\0\0;".to_vec();
        let short = png()[..60].to_vec();
        for file in [Vec::new(), b"plain words".to_vec(), gif, short, jpeg(None)[..20].to_vec()] {
            let error = decode_photo(&file).unwrap_err();
            assert!(matches!(error, PhotoError::Unreadable { .. }), "{error}");
        }
    }

    #[test]
    fn a_small_file_that_unpacks_to_a_huge_picture_is_refused_before_it_is_unpacked() {
        let mut file = png();
        // The header's width and height, and its checksum.
        file[16..24].copy_from_slice(&[0, 0, 0x3a, 0x98, 0, 0, 0x3a, 0x98]);
        let checksum = crc32(&file[12..29]);
        file[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decode_photo(&file).unwrap_err();
        assert!(matches!(error, PhotoError::TooLarge { width: 15_000, .. }), "{error}");
    }

    #[test]
    fn a_jpeg_of_a_thousand_passes_is_refused() {
        let mut file = jpeg(None);
        let scan = file.windows(2).position(|pair| pair == START_OF_SCAN).unwrap();
        let again = file[scan..file.len() - 2].to_vec();
        for _ in 0..1000 {
            file.splice(file.len() - 2..file.len() - 2, again.iter().copied());
        }
        let error = decode_photo(&file).unwrap_err();
        assert!(error.to_string().contains("passes"), "{error}");
    }

    /// PNG's checksum (ISO 3309).
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }
}
