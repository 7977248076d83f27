//! Pictures as other crates see them, and how coded pixels map to displayed ones.

/// A packed 8-bit RGB picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Width, px.
    pub width: u32,
    /// Height, px.
    pub height: u32,
    /// `width * height * 3` bytes, rows without padding.
    pub data: Vec<u8>,
}

/// A packed 8-bit brightness (luma) picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LumaImage {
    /// Width, px.
    pub width: u32,
    /// Height, px.
    pub height: u32,
    /// `width * height` bytes, rows without padding.
    pub data: Vec<u8>,
}
