//! Opening a partition: what its files say, and what a crash left of them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{
    BrokerError,
    batch::{self, BatchHeader, PREFIX_BYTES},
    log::Log,
    segment::{Checkpoint, Segment},
};

/// A partition's log as its files tell it.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) log: Log,
    /// How much of the files had to be read: what lies behind the last checkpoints.
    pub(crate) scanned_bytes: u64,
}

/// Reads the log in `folder`, or begins one. What a crash left behind the last whole batch is cut
/// off: its producer was never told that it is safe.
///
/// # Errors
/// [`BrokerError::DamagedLog`] where records are missing in front of others, which no crash does.
pub(crate) fn open(folder: &Path) -> Result<Recovered, BrokerError> {
    let failed = |source| BrokerError::Io { path: folder.to_owned(), source };
    migrate(folder).map_err(failed)?;
    let bases = segments(folder).map_err(failed)?;
    let first = bases.first().copied().unwrap_or(0);
    let path = Segment::new(first).log_path(folder);
    let mut log = Log::new(folder, writable(&path).map_err(failed)?, first);
    let mut scanned_bytes = 0;
    for (i, base) in bases.iter().enumerate() {
        let path = Segment::new(*base).log_path(folder);
        if i > 0 {
            log.roll(writable(&path).map_err(failed)?);
        }
        scanned_bytes += read_segment(folder, *base, &mut log).map_err(failed)?;
        let offset = log.end_offset();
        if bases.get(i + 1).is_some_and(|next| *next != offset) {
            return Err(BrokerError::DamagedLog { path, offset });
        }
        cut(&path, &log).map_err(failed)?;
    }
    Ok(Recovered { log, scanned_bytes })
}

/// Reads what lies behind the checkpoint of the segment at `base`; returns the number of bytes.
fn read_segment(folder: &Path, base: i64, log: &mut Log) -> io::Result<u64> {
    let segment = Segment::new(base);
    let file = log.file();
    let length = file.metadata()?.len();
    // More than the file holds is what power loss leaves: then the file counts.
    let fits = |checkpoint: &Checkpoint| checkpoint.covered <= length;
    if let Some(checkpoint) = Checkpoint::load(&segment.checkpoint_path(folder)).filter(fits) {
        log.resume(checkpoint);
    }
    let covered = log.position();
    let mut reader = BufReader::with_capacity(1 << 20, &*file);
    reader.seek(SeekFrom::Start(covered))?;
    while let Some(header) = next_batch(&mut reader, length - log.position())? {
        if header.base_offset != log.end_offset() {
            break;
        }
        log.push(&header);
    }
    Ok(log.position() - covered)
}

/// Cuts off what lies behind the last whole batch of the active segment.
fn cut(path: &Path, log: &Log) -> io::Result<()> {
    let (file, end) = (log.file(), log.position());
    let length = file.metadata()?.len();
    if end < length {
        let lost = length - end;
        tracing::warn!(path = %path.display(), lost, "cut off the torn end of a log");
        file.set_len(end)?;
    }
    Ok(())
}

/// Logs used to be one file `N.log` for the partition that is the folder `N` now.
fn migrate(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let old = folder.with_extension("log");
    let first = Segment::new(0).log_path(folder);
    if old.is_file() && !first.exists() {
        fs::rename(&old, &first)?;
        tracing::info!(from = %old.display(), to = %first.display(), "moved a log");
    }
    Ok(())
}

/// First offsets of the segments in `folder`, in order.
fn segments(folder: &Path) -> io::Result<Vec<i64>> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        let base: Option<i64> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        bases.extend(base.filter(|base| is_log && *base >= 0));
    }
    bases.sort_unstable();
    Ok(bases)
}

fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// The next whole, undamaged batch of a log with `left` bytes to go.
fn next_batch(reader: &mut impl Read, left: u64) -> io::Result<Option<BatchHeader>> {
    let mut prefix = [0; PREFIX_BYTES];
    if left < prefix.len() as u64 {
        return Ok(None);
    }
    reader.read_exact(&mut prefix)?;
    let Ok(bytes) = batch::batch_bytes(&prefix) else { return Ok(None) };
    if bytes as u64 > left {
        return Ok(None);
    }
    let mut batch = vec![0; bytes];
    batch[..PREFIX_BYTES].copy_from_slice(&prefix);
    reader.read_exact(&mut batch[PREFIX_BYTES..])?;
    Ok(BatchHeader::parse(&batch).ok())
}
