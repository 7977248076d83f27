//! Where the faces of a film are, as `benches/truth/film.py` writes it.

use serde::Deserialize;

/// A film's faces.
#[derive(Debug, Deserialize)]
pub(crate) struct Truth {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// What hides the faces behind a head, in radii of its face.
    pub(crate) head: f32,
    pub(crate) tracks: Vec<Track>,
    /// The faces of each frame, those behind first.
    pub(crate) frames: Vec<Vec<Face>>,
}

/// A face over time.
#[derive(Debug, Deserialize)]
pub(crate) struct Track {
    pub(crate) kind: String,
    /// Of the face, px.
    pub(crate) width: f32,
    pub(crate) frames: u32,
}

/// A face on one frame.
#[derive(Debug, Deserialize)]
pub(crate) struct Face {
    pub(crate) track: usize,
    pub(crate) ellipse: Ellipse,
    /// Share of the face that is in the picture and not behind another's head, 0 to 1.
    pub(crate) visible: f32,
}

/// Middle and radii in px, and the angle that it is turned by clockwise, degrees.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Ellipse(f32, f32, f32, f32, f32);

impl Ellipse {
    /// Whether the middle of a pixel lies in the ellipse with its radii `scale` times as long.
    pub(crate) fn holds(&self, x: u32, y: u32, scale: f32) -> bool {
        let &Self(middle_x, middle_y, radius_x, radius_y, degrees) = self;
        let (right, down) = (x as f32 + 0.5 - middle_x, y as f32 + 0.5 - middle_y);
        let (sin, cos) = degrees.to_radians().sin_cos();
        let across = (right * cos + down * sin) / (radius_x * scale);
        let along = (down * cos - right * sin) / (radius_y * scale);
        across * across + along * along <= 1.0
    }
}

/// Frames of a face that a detector should not miss, at least.
const LONG: u32 = 5;
/// Its width in a frame 640 px wide.
const LARGE: f32 = 24.0;

impl Track {
    /// What it counts as.
    pub(crate) fn class(&self) -> &str {
        match self.kind.as_str() {
            "dark" | "turned" | "border" => &self.kind,
            _ if self.frames < LONG => "brief",
            _ if self.width < LARGE => "small",
            _ => "clear",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipse_is_turned_clockwise() {
        let face = Ellipse(100.0, 100.0, 20.0, 10.0, 90.0);
        assert!(face.holds(100, 118, 1.0) && !face.holds(118, 100, 1.0));
        let face = Ellipse(100.0, 100.0, 40.0, 5.0, 45.0);
        assert!(face.holds(120, 120, 1.0) && !face.holds(120, 80, 1.0));
        assert!(!face.holds(133, 133, 1.0) && face.holds(133, 133, 1.3));
    }

    #[test]
    fn what_is_hard_to_see_is_no_clear_face() {
        let track = |kind: &str, width, frames| Track { kind: kind.into(), width, frames };
        assert_eq!(track("moving", 24.0, 5).class(), "clear");
        assert_eq!(track("smeared", 60.0, 24).class(), "clear");
        assert_eq!(track("moving", 23.9, 5).class(), "small");
        assert_eq!(track("one-frame", 60.0, 1).class(), "brief");
        assert_eq!(track("dark", 60.0, 40).class(), "dark");
    }
}
