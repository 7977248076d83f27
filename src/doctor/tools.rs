//! What pictures and films are worked on with.

use super::{
    finding::{Check, Finding},
    place::Setup,
    within::thread,
};
use crate::confinement;
use std::time::Duration;

pub(super) const ONNXRUNTIME: &str = "run `make setup`, or set REELMILL_ONNXRUNTIME (--onnxruntime) to \
                           libonnxruntime.so or its folder";
pub(super) const FFMPEG: &str = "install an FFmpeg that has them, such as Debian's";
pub(super) const KERNEL: &str =
    "use Linux 6.12 or later, and let containers use landlock and seccomp";

/// Whether ONNX Runtime loads and takes the weights, which are part of the program.
pub(super) async fn models(setup: &Setup) -> Finding {
    let check = Check::Models;
    let chosen = setup.args.mill.detector.onnxruntime.clone();
    let looked = thread(move || {
        let models = vision::Models::find(chosen.as_deref())?;
        vision::FaceDetector::new(&models, 1)?;
        vision::LabelDetector::new(&models, 1)?;
        vision::FaceEmbedder::new(&models, 1)?;
        Ok::<_, vision::VisionError>(models.library().to_owned())
    });
    match looked.await {
        Ok(Ok(library)) => {
            let weights = &vision::weights_sha256()[..12];
            let (faces, labels) = (vision::DETECTOR, vision::LABELLER);
            let found = format!("{} takes {faces} ({weights}) and {labels}", library.display());
            Finding::ok(check, found)
        }
        Ok(Err(error)) => Finding::failed(check, error.to_string(), ONNXRUNTIME),
        Err(broken) => {
            Finding::failed(check, format!("ONNX Runtime broke down: {broken}"), ONNXRUNTIME)
        }
    }
}

/// What FFmpeg was built with.
pub(super) async fn codecs() -> Finding {
    match thread(media::codecs).await {
        Ok(Ok(codecs)) => judged(&codecs),
        Ok(Err(error)) => Finding::failed(Check::Codecs, error.to_string(), FFMPEG),
        Err(broken) => Finding::failed(Check::Codecs, broken.to_string(), FFMPEG),
    }
}

fn judged(codecs: &media::Codecs) -> Finding {
    let check = Check::Codecs;
    let version = &codecs.version;
    if !codecs.missing.is_empty() {
        let found = format!("libavcodec {version} has no {}", codecs.missing.join(", no "));
        return Finding::failed(check, found, FFMPEG);
    }
    if !codecs.missing_of_footage.is_empty() {
        let missing = codecs.missing_of_footage.join(", no ");
        let found = format!("libavcodec {version} has no {missing}: such footage is refused");
        return Finding::warning(check, found, FFMPEG);
    }
    Finding::ok(check, format!("libavcodec {version} has libx264, aac and all decoders"))
}

/// What holds the processes that read footage.
pub(super) async fn fence() -> Finding {
    let check = Check::Fence;
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(e) => {
            let place = std::env::temp_dir();
            let found = format!("no directory can be made in {}: {e}", place.display());
            return Finding::failed(check, found, "let this user write there, or set TMPDIR");
        }
    };
    let helper = confinement::helper();
    let tried = confinement::tried(&helper, folder.path());
    let Ok(tried) = tokio::time::timeout(Duration::from_secs(5), tried).await else {
        let found = "no helper that reads footage is ready within 5 s";
        return Finding::failed(check, found, "see how busy this machine is");
    };
    match tried {
        Err(failure) => Finding::failed(check, failure.to_string(), KERNEL),
        Ok((Some(fence), checked)) if fence.is_whole() && checked.is_tight() => {
            Finding::ok(check, format!("media work is confined by {fence}"))
        }
        Ok((Some(fence), _)) => {
            Finding::warning(check, format!("media work is confined by {fence} only"), KERNEL)
        }
        Ok((None, _)) => Finding::warning(check, "media work is not confined", KERNEL),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn what_recordings_need_is_a_failure_and_what_some_footage_needs_a_warning() {
        let whole = media::Codecs { version: "61.19.100".to_owned(), ..Default::default() };
        assert_eq!(judged(&whole).state, State::Ok);
        let refusing =
            media::Codecs { missing_of_footage: vec!["decoder av1".into()], ..whole.clone() };
        assert_eq!(judged(&refusing).state, State::Warning);
        let missing = media::Codecs { missing: vec!["encoder libx264".into()], ..whole };
        let told = judged(&missing);
        assert_eq!(told.state, State::Failed);
        assert!(told.found.contains("no encoder libx264"), "{}", told.found);
    }
}
