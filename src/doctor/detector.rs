//! What finds faces and labels.

use super::{
    finding::{Check, Finding},
    place::Setup,
    store::KEYS,
    within::answer,
};
use crate::access;
use connectors::{Unfit, Why};

pub(super) const REKOGNITION: &str = "REELMILL_REKOGNITION (--rekognition)";

/// Whether it answers, and lets us ask.
pub(super) async fn detector(setup: &Setup) -> Finding {
    let check = Check::Detector;
    let Some(at) = setup.rekognition.at() else {
        return Finding::ok(check, setup.embedded("the detector"));
    };
    let keys = setup.keys(&setup.rekognition);
    let client = match access::rekognition(at, &keys, setup.region()).await {
        Ok(client) => client,
        Err(failure) => {
            return Finding::failed(check, failure.to_string(), format!("see {KEYS}"));
        }
    };
    match answer::<_, Unfit>(client.look()).await {
        Ok(()) => Finding::ok(check, format!("{at} answers, and takes our keys")),
        Err(Unfit { why, said }) => {
            let (found, remedy) = match why {
                Why::Unreached => ("does not answer", format!("start it, or correct {REKOGNITION}")),
                Why::Keys => (
                    "does not accept our keys",
                    format!("set {KEYS} as they are there: `reelmill vision` has them, too"),
                ),
                Why::Rights => (
                    "does not let us ask",
                    "allow rekognition:StartFaceDetection, GetFaceDetection, StartLabelDetection and \
                     GetLabelDetection to the keys"
                        .to_owned(),
                ),
                Why::Clock => {
                    ("finds our clock wrong", "set the clock of this machine, by NTP".to_owned())
                }
                Why::Busy => ("cannot answer now", "try again, and see its log".to_owned()),
                Why::Region => (
                    "is in charge of another region",
                    format!("set REELMILL_REGION (--region) to that of {REKOGNITION}"),
                ),
                Why::Foreign | Why::NoBucket | Why::Other => {
                    ("does not speak Rekognition's protocol", format!("correct {REKOGNITION}"))
                }
            };
            Finding::failed(check, format!("{at} {found}: {said}"), remedy)
        }
    }
}
