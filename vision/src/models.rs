//! ONNX Runtime and the weights: where they are and how a session on them starts.

use crate::VisionError;
use ort::{environment::Environment, session::Session, value::TensorRef};
use sha2::{Digest, Sha256};
use std::{
    env,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The environment variable that names the shared library, or a folder that holds it.
const VARIABLE: &str = "REELMILL_ONNXRUNTIME";

/// Weights as they are compiled in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
}

impl Weights {
    /// Lowercase hex.
    pub(crate) fn sha256(self) -> String {
        Sha256::digest(self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// All weights there are: their names, and the SHA-256 of each in lowercase hex. Takes some tenths of
/// a second.
#[must_use]
pub fn weights() -> [(&'static str, String); 3] {
    [YUNET, DLIB, YOLOX].map(|weights| (weights.name, weights.sha256()))
}

pub(crate) const YUNET: Weights =
    Weights { name: "yunet_s", bytes: include_bytes!("../../models/yunet_s_dynamic.onnx") };
pub(crate) const DLIB: Weights = Weights {
    name: "dlib_face_resnet_v1",
    bytes: include_bytes!("../../models/dlib_face_resnet_v1.onnx"),
};
pub(crate) const YOLOX: Weights =
    Weights { name: "yolox_nano", bytes: include_bytes!("../../models/yolox_nano.onnx") };

/// A loaded ONNX Runtime, from which detectors are made. Clones share it.
#[derive(Debug, Clone)]
pub struct Models {
    library: PathBuf,
    environment: Environment,
}

/// ONNX Runtime allows one environment per process, for the life of the process.
static LOADED: Mutex<Option<Models>> = Mutex::new(None);

impl Models {
    /// Finds and loads ONNX Runtime's shared library.
    ///
    /// Looks at `explicit` (a library or a folder that holds one), then at the environment
    /// variable `REELMILL_ONNXRUNTIME`; without either, beside the running program, in
    /// `../lib/reelmill` seen from there, and in `$HOME/.cache/reelmill/onnxruntime`. A process loads one library once: later calls return
    /// the one that is loaded, whatever they name.
    ///
    /// # Errors
    /// `RuntimeMissing` where nothing was found, `RuntimeUnusable` where it does not load.
    pub fn find(explicit: Option<&Path>) -> Result<Self, VisionError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(models) = loaded.as_ref() {
            return Ok(models.clone());
        }
        let models = Self::load(locate(places(explicit))?)?;
        *loaded = Some(models.clone());
        Ok(models)
    }

    /// Loads the shared library and nothing more: no file of its own is opened and no thread
    /// started before [`Models::find`] is called with the same path.
    ///
    /// # Errors
    /// `RuntimeUnusable` where it does not load.
    pub fn preload(library: &Path) -> Result<(), VisionError> {
        stays_silent()?;
        ort::init_from(library).map(drop).map_err(|e| VisionError::RuntimeUnusable {
            path: library.to_owned(),
            detail: e.to_string(),
        })
    }

    /// The shared library in use.
    pub fn library(&self) -> &Path {
        &self.library
    }

    fn load(library: PathBuf) -> Result<Self, VisionError> {
        stays_silent()?;
        let unusable =
            |detail: String| VisionError::RuntimeUnusable { path: library.clone(), detail };
        let environment = ort::init_from(&library)
            .map_err(|e| unusable(e.to_string()))?
            .with_name("reelmill")
            .with_telemetry(false)
            .build()
            .map_err(|e| unusable(e.to_string()))?;
        Ok(Self { library, environment })
    }

    /// A session of `threads` threads on some weights.
    pub(crate) fn net(&self, weights: Weights, threads: usize) -> Result<Net, VisionError> {
        let failed = |error: &dyn std::fmt::Display| VisionError::inference(weights.name, error);
        let session = Session::builder(&self.environment)
            .map_err(|e| failed(&e))?
            .with_intra_threads(threads.max(1))
            .map_err(|e| failed(&e))?
            // Waiting threads must not burn the cores that FFmpeg works on.
            .with_intra_op_spinning(false)
            .map_err(|e| failed(&e))?
            .commit_from_memory(weights.bytes)
            .map_err(|e| failed(&e))?;
        Ok(Net { name: weights.name, session })
    }
}

/// The variable, and its value, that a process must begin with before ONNX Runtime is loaded: the
/// library of the PyPI wheel sends usage data to its maker otherwise, whatever its API is told.
pub const NO_TELEMETRY: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

fn stays_silent() -> Result<(), VisionError> {
    let (name, value) = NO_TELEMETRY;
    if std::env::var_os(name).is_some_and(|set| set == value) {
        Ok(())
    } else {
        Err(VisionError::Telemetry)
    }
}

/// One model, ready to run.
#[derive(Debug)]
pub(crate) struct Net {
    name: &'static str,
    session: Session,
}

impl Net {
    /// Runs the model on `1 x 3 x height x width` numbers and hands its outputs to `read`.
    pub(crate) fn run<T>(
        &mut self,
        input: &[f32],
        (width, height): (usize, usize),
        read: impl FnOnce(&Outputs<'_, '_>) -> Result<T, VisionError>,
    ) -> Result<T, VisionError> {
        let name = self.name;
        let tensor = TensorRef::from_array_view(([1, 3, height, width], input))
            .map_err(|e| VisionError::inference(name, e))?;
        let values =
            self.session.run(ort::inputs![tensor]).map_err(|e| VisionError::inference(name, e))?;
        read(&Outputs { name, values: &values })
    }
}

/// What a model answered.
#[derive(Debug)]
pub(crate) struct Outputs<'a, 'r> {
    name: &'static str,
    values: &'a ort::session::SessionOutputs<'r>,
}

impl Outputs<'_, '_> {
    /// The numbers of the output `output`, which must be at least `length`.
    pub(crate) fn numbers(&self, output: &str, length: usize) -> Result<&[f32], VisionError> {
        let value = self
            .values
            .get(output)
            .ok_or_else(|| VisionError::inference(self.name, format!("no output {output}")))?;
        self.long_enough(value, length)
    }

    /// The numbers of the first output, which must be at least `length`.
    pub(crate) fn first(&self, length: usize) -> Result<&[f32], VisionError> {
        if self.values.len() == 0 {
            return Err(VisionError::inference(self.name, "no output"));
        }
        self.long_enough(&self.values[0], length)
    }

    fn long_enough<'v>(
        &self,
        value: &'v ort::value::DynValue,
        length: usize,
    ) -> Result<&'v [f32], VisionError> {
        let (_, numbers) =
            value.try_extract_tensor::<f32>().map_err(|e| VisionError::inference(self.name, e))?;
        if numbers.len() < length {
            let detail = format!("{} numbers where {length} were expected", numbers.len());
            return Err(VisionError::inference(self.name, detail));
        }
        Ok(numbers)
    }
}

/// Where to look, in order.
fn places(explicit: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = explicit {
        return vec![path.to_owned()];
    }
    if let Some(path) = env::var_os(VARIABLE).filter(|p| !p.is_empty()) {
        return vec![path.into()];
    }
    let program = env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent);
    // Where a release has it. Not ../lib itself: another program's may be there, in another version.
    let library = beside.and_then(Path::parent).map(|prefix| prefix.join("lib/reelmill"));
    let cache = env::home_dir().map(|home| home.join(".cache/reelmill/onnxruntime"));
    beside.map(Path::to_owned).into_iter().chain(library).chain(cache).collect()
}

/// The first place that is, or holds, a shared library of ONNX Runtime.
fn locate(searched: Vec<PathBuf>) -> Result<PathBuf, VisionError> {
    for place in &searched {
        if place.is_file() {
            return Ok(place.clone());
        }
        if let Some(library) = library_in(place) {
            return Ok(library);
        }
    }
    Err(VisionError::RuntimeMissing { searched })
}

/// `libonnxruntime.so`, or the highest of `libonnxruntime.so.*`, in a folder.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join("libonnxruntime.so");
    if plain.is_file() {
        return Some(plain);
    }
    let mut versions: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.starts_with("libonnxruntime.so.") && path.is_file()
        })
        .collect();
    versions.sort();
    versions.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_missing_runtime_names_the_remedy_and_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = locate(vec![folder.path().join("nothing")]).unwrap_err().to_string();
        assert!(error.contains("make setup"), "{error}");
        assert!(error.contains("--onnxruntime"), "{error}");
        assert!(error.contains("/nothing"), "{error}");
    }

    #[test]
    fn a_folder_stands_for_the_newest_library_in_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libonnxruntime.so.1.30.0", "libonnxruntime.so.1.31.1", "libonnx.so.9"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let found = locate(vec![folder.path().to_owned()]).unwrap();
        assert_eq!(found, folder.path().join("libonnxruntime.so.1.31.1"));
    }

    #[test]
    fn what_is_named_explicitly_is_the_only_place() {
        assert_eq!(places(Some(Path::new("/opt/ort"))), [PathBuf::from("/opt/ort")]);
    }
}
