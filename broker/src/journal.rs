//! The metadata journal: one JSON record a line, each behind its checksum.
//!
//! A crash can tear the last lines; they are cut off, because nobody was told that they are safe.
//! A bad line in front of good ones is damage, and the broker refuses to start on it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{BrokerError, Sync, metadata::Record};

#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    sync: Sync,
    /// Length of what is valid, in bytes.
    end: u64,
    /// Was anything written since the last sync?
    dirty: bool,
}

impl Journal {
    /// Opens the journal at `path`, or begins one, and returns its records in order.
    ///
    /// # Errors
    /// [`BrokerError::DamagedJournal`] for a bad line in front of good ones.
    pub(crate) fn open(path: &Path, sync: Sync) -> Result<(Journal, Vec<Record>), BrokerError> {
        let failed = |source| BrokerError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let bytes = fs::read(path).map_err(failed)?;
        let (mut records, mut end) = (Vec::new(), 0);
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        for line in lines.by_ref() {
            let Some(record) = parse(line) else { break };
            records.push(record);
            end += line.len();
        }
        if lines.any(|line| parse(line).is_some()) {
            let line = records.len() + 1;
            return Err(BrokerError::DamagedJournal { path: path.to_owned(), line });
        }
        if end < bytes.len() {
            let lost = bytes.len() - end;
            tracing::warn!(path = %path.display(), lost, "cut off the torn end of the journal");
            file.set_len(end as u64).map_err(failed)?;
        }
        Ok((Journal { path: path.to_owned(), file, sync, end: end as u64, dirty: false }, records))
    }

    /// Appends `records` and, if configured, waits until they are on the disk.
    pub(crate) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let bytes = lines(records)?;
        let written = self.file.write_all_at(&bytes, self.end).and_then(|()| match self.sync {
            Sync::Always => self.file.sync_data(),
            Sync::Never | Sync::Every(_) => Ok(()),
        });
        if let Err(error) = written {
            // Whole lines of a failed append must not come back at the next start.
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.end += bytes.len() as u64;
        self.dirty = self.sync != Sync::Always;
        Ok(())
    }

    /// Brings what was appended to the disk.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Replaces the whole journal by `records`; a crash leaves the old one or the new one.
    pub(crate) fn replace(&mut self, records: &[Record]) -> io::Result<()> {
        let bytes = lines(records)?;
        let new = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.file = file;
        self.end = bytes.len() as u64;
        sync_folder(&self.path)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }
}

/// Makes the creation or renaming of `path` itself survive power loss.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn lines(records: &[Record]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        let json = serde_json::to_vec(record)?;
        write!(bytes, "{:08x} ", crc32c::crc32c(&json))?;
        bytes.extend_from_slice(&json);
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn parse(line: &[u8]) -> Option<Record> {
    let (checksum, rest) = line.split_at_checked(9)?;
    let json = rest.strip_suffix(b"\n")?;
    let checksum = std::str::from_utf8(checksum.strip_suffix(b" ")?).ok()?;
    let matches = u32::from_str_radix(checksum, 16).ok()? == crc32c::crc32c(json);
    matches.then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: i64) -> Record {
        Record::NextProducerId { id }
    }

    fn reopen(path: &Path) -> Vec<Record> {
        Journal::open(path, Sync::Never).unwrap().1
    }

    #[test]
    fn a_journal_cut_at_any_byte_keeps_every_whole_line_and_goes_on_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let whole = lines(&[record(1), record(2), record(3)]).unwrap();
        let line = whole.len() / 3;
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, records) = Journal::open(&path, Sync::Never).unwrap();
            assert_eq!(records.len(), cut / line, "cut at {cut}");
            journal.append(&[record(9)]).unwrap();
            drop(journal);
            assert_eq!(reopen(&path).len(), cut / line + 1);
            assert_eq!(reopen(&path).last(), Some(&record(9)));
        }
    }

    #[test]
    fn a_changed_byte_in_front_of_good_lines_is_an_error_that_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut bytes = lines(&[record(1), record(2), record(3)]).unwrap();
        let second = bytes.len() / 3 + 20;
        bytes[second] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = Journal::open(&path, Sync::Never).unwrap_err();
        assert!(matches!(error, BrokerError::DamagedJournal { line: 2, .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "evidence is kept");
    }

    #[test]
    fn replacing_keeps_only_the_new_records_and_appends_go_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path, Sync::Always).unwrap();
        journal.append(&[record(1), record(2)]).unwrap();
        journal.replace(&[record(3)]).unwrap();
        journal.append(&[record(4)]).unwrap();
        assert_eq!(reopen(&path), [record(3), record(4)]);
    }

    #[test]
    fn a_crash_in_the_middle_of_a_replacement_leaves_the_old_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        Journal::open(&path, Sync::Never).unwrap().0.append(&[record(1)]).unwrap();
        fs::write(path.with_extension("new"), &lines(&[record(2)]).unwrap()[..10]).unwrap();
        assert_eq!(reopen(&path), [record(1)]);
    }
}
