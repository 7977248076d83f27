//! Which faces are good enough to be compared (`QualityFilter`).

use super::{fault::Fault, photos::Portrait};

/// What a face must have. A face below a bar is compared badly: it would match strangers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct QualityBar {
    /// 0 to 100.
    confidence: f32,
    /// Shorter side of the box, px.
    side: f32,
    /// 0 to 100.
    brightness: f32,
    /// 0 to 100.
    sharpness: f32,
    /// Largest turn to a side, and up or down, degrees.
    turn: f32,
}

const NONE: QualityBar =
    QualityBar { confidence: 0.0, side: 0.0, brightness: 0.0, sharpness: 0.0, turn: 180.0 };
const LOW: QualityBar =
    QualityBar { confidence: 75.0, side: 24.0, brightness: 8.0, sharpness: 5.0, turn: 75.0 };
const MEDIUM: QualityBar =
    QualityBar { confidence: 80.0, side: 40.0, brightness: 12.0, sharpness: 15.0, turn: 60.0 };
const HIGH: QualityBar =
    QualityBar { confidence: 85.0, side: 80.0, brightness: 18.0, sharpness: 30.0, turn: 45.0 };

impl QualityBar {
    /// The bar of a name; `AUTO` is `LOW`.
    pub(super) fn named(asked: Option<&str>, default: &str) -> Result<Self, Fault> {
        match asked.unwrap_or(default) {
            "NONE" => Ok(NONE),
            "AUTO" | "LOW" => Ok(LOW),
            "MEDIUM" => Ok(MEDIUM),
            "HIGH" => Ok(HIGH),
            _ => Err(Fault::parameter("QualityFilter must be NONE, AUTO, LOW, MEDIUM or HIGH")),
        }
    }

    /// By the names Rekognition has for them, what a face lacks.
    pub(super) fn lacks(&self, portrait: &Portrait) -> Vec<&'static str> {
        let turned = portrait.pose.is_some_and(|p| p.yaw.abs().max(p.pitch.abs()) > self.turn);
        let quality = portrait.quality;
        [
            (portrait.face.confidence < self.confidence, "LOW_CONFIDENCE"),
            (portrait.shorter_side < self.side, "SMALL_BOUNDING_BOX"),
            (quality.is_some_and(|q| q.brightness < self.brightness), "LOW_BRIGHTNESS"),
            (quality.is_some_and(|q| q.sharpness < self.sharpness), "LOW_SHARPNESS"),
            (turned, "EXTREME_POSE"),
        ]
        .into_iter()
        .filter_map(|(lacking, name)| lacking.then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoundingBox, FaceBox, Pose, Quality};

    #[test]
    fn each_bar_is_higher_than_the_one_before_and_what_is_lacking_is_named() {
        let portrait = |confidence, side, brightness, sharpness, yaw| Portrait {
            face: FaceBox {
                region: BoundingBox { left: 0.0, top: 0.0, width: 0.1, height: 0.1 },
                confidence,
                landmarks: [(0.0, 0.0); 5],
            },
            pose: Some(Pose { roll: 0.0, yaw, pitch: 0.0 }),
            quality: Some(Quality { brightness, sharpness }),
            shorter_side: side,
        };
        let bar = |name| QualityBar::named(Some(name), "NONE").unwrap();
        let poor = portrait(50.0, 10.0, 2.0, 1.0, -80.0);
        assert!(bar("NONE").lacks(&poor).is_empty());
        let all = [
            "LOW_CONFIDENCE",
            "SMALL_BOUNDING_BOX",
            "LOW_BRIGHTNESS",
            "LOW_SHARPNESS",
            "EXTREME_POSE",
        ];
        assert_eq!(bar("LOW").lacks(&poor), all);
        assert_eq!(QualityBar::named(None, "AUTO").unwrap(), LOW);
        let fair = portrait(77.0, 30.0, 10.0, 10.0, 65.0);
        assert!(bar("LOW").lacks(&fair).is_empty());
        assert_eq!(bar("MEDIUM").lacks(&fair), all);
        let good = portrait(82.0, 60.0, 15.0, 20.0, 50.0);
        assert!(bar("MEDIUM").lacks(&good).is_empty());
        assert_eq!(bar("HIGH").lacks(&good), all);
        assert!(QualityBar::named(Some("BEST"), "NONE").is_err());
    }
}
