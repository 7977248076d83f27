//! Whose fault an error of the index is.

use super::is_damage;
use ::tantivy::TantivyError;
use ::tantivy::directory::error::{LockError, OpenDirectoryError, OpenReadError, OpenWriteError};
use ports::Trouble;
use std::io;
use std::path::Path;

/// Sorts an error by blame. Total: the disk may recover, a damaged index or a wrong call of ours
/// does not.
pub(super) fn blame(dir: &Path, error: &TantivyError) -> Trouble {
    let said = format!("search index in {}: {error}", dir.display());
    match error {
        TantivyError::LockFailure(LockError::LockBusy, _) => Trouble::transient(
            "index_locked",
            format!("{said}; stop the other process that uses it"),
        ),
        TantivyError::LockFailure(LockError::IoError(cause), _)
        | TantivyError::OpenDirectoryError(
            OpenDirectoryError::FailedToCreateTempDir(cause)
            | OpenDirectoryError::IoError { io_error: cause, .. },
        )
        | TantivyError::OpenReadError(OpenReadError::IoError { io_error: cause, .. })
        | TantivyError::OpenWriteError(OpenWriteError::IoError { io_error: cause, .. })
        | TantivyError::IoError(cause) => disk(said, cause),
        // Its threads report nothing but that they ended, most often because of the disk. The
        // next write starts new ones.
        TantivyError::ErrorInThread(_) | TantivyError::SystemError(_) | TantivyError::Poisoned => {
            Trouble::transient("index_writer_lost", format!("{said}; see whether the disk is full"))
        }
        TantivyError::DataCorruption(_)
        | TantivyError::DeserializeError(_)
        | TantivyError::OpenReadError(OpenReadError::FileDoesNotExist(_))
        | TantivyError::OpenDirectoryError(
            OpenDirectoryError::DoesNotExist(_) | OpenDirectoryError::NotADirectory(_),
        )
        | TantivyError::OpenWriteError(OpenWriteError::FileAlreadyExists(_)) => {
            Trouble::fatal(format!("{said}; the index is damaged, restore it from a copy"))
        }
        TantivyError::SchemaError(_)
        | TantivyError::IncompatibleIndex(_)
        | TantivyError::OpenReadError(OpenReadError::IncompatibleIndex(_))
        | TantivyError::FieldNotFound(_) => {
            Trouble::fatal(format!("{said}; the index was written by another version"))
        }
        TantivyError::AggregationError(_)
        | TantivyError::IndexAlreadyExists
        | TantivyError::InvalidArgument(_)
        | TantivyError::IndexBuilderMissingArgument(_)
        | TantivyError::InternalError(_)
        | TantivyError::MissingPlugin(_)
        | TantivyError::ConflictingPlugins(_)
        | TantivyError::UnexpectedPlugin(_) => {
            Trouble::fatal(format!("{said}; this is a bug, please report it"))
        }
    }
}

fn disk(said: String, cause: &io::Error) -> Trouble {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Trouble::away("disk_full", format!("{said}; make room on the disk"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Trouble::fatal(format!("{said}; let this user write there"))
        }
        _ if is_damage(cause) => {
            Trouble::fatal(format!("{said}; the index is damaged, restore it from a copy"))
        }
        _ => Trouble::transient("index_io", said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tantivy::error::DataCorruption;
    use std::sync::Arc;

    #[test]
    fn every_error_has_its_blame() {
        let io = |kind| TantivyError::from(io::Error::from(kind));
        let file = || "segment.idx".into();
        let table = [
            (TantivyError::LockFailure(LockError::LockBusy, None), Some("index_locked")),
            (io(io::ErrorKind::StorageFull), Some("disk_full")),
            (io(io::ErrorKind::QuotaExceeded), Some("disk_full")),
            (io(io::ErrorKind::Interrupted), Some("index_io")),
            (io(io::ErrorKind::PermissionDenied), None),
            (io(io::ErrorKind::ReadOnlyFilesystem), None),
            (io(io::ErrorKind::InvalidData), None),
            (io(io::ErrorKind::UnexpectedEof), None),
            (
                OpenWriteError::wrap_io_error(io::ErrorKind::StorageFull.into(), file()).into(),
                Some("disk_full"),
            ),
            (LockError::IoError(Arc::new(io::ErrorKind::PermissionDenied.into())).into(), None),
            (TantivyError::ErrorInThread("gone".to_owned()), Some("index_writer_lost")),
            (TantivyError::Poisoned, Some("index_writer_lost")),
            (OpenReadError::FileDoesNotExist(file()).into(), None),
            (OpenDirectoryError::DoesNotExist(file()).into(), None),
            (DataCorruption::comment_only("bad sum").into(), None),
            (TantivyError::SchemaError("no field".to_owned()), None),
            (TantivyError::InvalidArgument("odd".to_owned()), None),
        ];
        for (error, transient) in table {
            let reason = match blame(Path::new("index"), &error) {
                Trouble::Transient { reason, .. } => Some(reason),
                Trouble::Fatal(_) => None,
                Trouble::Refused(_) => Some("refused"),
            };
            assert_eq!(reason, transient, "{error:?}");
        }
    }
}
