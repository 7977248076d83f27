//! The table of what became of hostile files.

use crate::{Fate, corpus::Row, trace::Seen};
use confine::Usage;
use std::fmt::Write as _;

/// Computing time in which every file is refused; the clock would measure the machine's load.
const SECONDS: u64 = 10;

/// MiB to which the table rounds up. Memory differs from machine to machine, and by threads.
const STEP: u64 = 64;
/// MiB by which what is measured may differ from what the table tells.
const TOLERANCE: u64 = 2 * STEP;

/// A row of the table: what was seen of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Its name, and how it is made.
    file: String,
    reason: String,
    /// MiB, rounded up.
    memory: u64,
    opened: usize,
    contacted: usize,
}

impl Measured {
    pub(crate) fn new(row: &Row, fate: &Fate, connections: usize) -> Self {
        let calls = |of: fn(&Seen) -> usize| fate.seen.iter().map(of).sum::<usize>();
        Self {
            file: format!("{} | {}", row.name, row.how),
            reason: fate.reason.clone(),
            memory: mebibytes(fate.usage).next_multiple_of(STEP).max(STEP),
            opened: calls(|seen| seen.opened.len()),
            contacted: calls(|seen| seen.network.len()) + connections,
        }
    }

    fn line(&self) -> String {
        let Self { file, reason, memory, opened, contacted } = self;
        format!("| {file} | `{reason}` | {memory} | {opened} | {contacted} |")
    }

    /// From a line of the table.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let mut cells = line.rsplitn(5, " | ");
        let (contacted, opened) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
        let memory = cells.next()?.parse().ok()?;
        let reason = cells.next()?.trim_matches('`').to_owned();
        Some(Self { file: cells.next()?.to_owned(), reason, memory, opened, contacted })
    }

    /// Whether a row tells the same; of memory, nearly.
    pub(crate) fn is_told_by(&self, told: &Self) -> bool {
        let exact = |row: &Self| (row.file.clone(), row.reason.clone(), row.opened, row.contacted);
        exact(self) == exact(told) && self.memory.abs_diff(told.memory) <= TOLERANCE
    }
}

/// What is wrong with a row's fate; empty where all is well.
pub(crate) fn complaints(row: &Row, fate: &Fate, connections: usize) -> String {
    let mut complaints = String::new();
    let mut check = |is_well: bool, what: String| {
        if !is_well {
            writeln!(complaints, "{}: {what}", row.name).unwrap();
        }
    };
    let memory = mebibytes(fate.usage);
    check(fate.reason == row.reason, format!("{} instead of {}", fate.reason, row.reason));
    check(fate.usage.time.as_secs() < SECONDS, format!("took {:?}", fate.usage.time));
    check(memory < row.memory, format!("took {memory} MiB"));
    let was_killed = row.reason == "media_timeout";
    check(fate.usage.memory.is_some() || was_killed, "its memory is not known".to_owned());
    check(connections == 0, format!("{connections} connections came"));
    for seen in &fate.seen {
        check(seen.opened.is_empty(), format!("opened {:?}", seen.opened));
        check(!seen.named.iter().any(|call| call.contains("canary")), format!("{:?}", seen.named));
        check(seen.network.is_empty(), format!("called {:?}", seen.network));
    }
    complaints
}

pub(crate) fn table(rows: &[Measured]) -> String {
    let mut text = format!(
        "# Hostile inputs\n\n\
         Every file below goes through `cut`'s and, where it is not refused there, `detect`'s confined\n\
         work under strace, in `tests/hostile` (`cargo test --test hostile`), which also writes this\n\
         table. *Reason* is the word in the dead letter and in the video's status; `plays` means that\n\
         the film is an ordinary one and what it refers to is not followed. Every file is done with\n\
         in less than {SECONDS} s of computing time. The last three columns are measured: *MiB* is the\n\
         helper's highest resident size, rounded up to the next {STEP} ({STEP} where it was killed and\n\
         that is not known); *opened* counts files outside\n\
         of the work's directory, *contacted* calls on sockets and connections to a listener on\n\
         loopback. An ordinary film is worked on right after\n\
         each. Those that play, and some of the others, also go through one running mill with all its\n\
         works, traced as a whole. The files follow from the code alone: there is no seed. Where a header \"says so\", that of\n\
         a small film was changed: to encode a picture of 16000x16000 takes x264 4 GB and x265 6 GB, and\n\
         ffmpeg lets none be larger.\n\n\
         | file | how it is made | reason | MiB | opened | contacted |\n\
         |--|--|--|--|--|--|\n"
    );
    for row in rows {
        writeln!(text, "{}", row.line()).unwrap();
    }
    text
}

/// The highest resident memory; 0 where it is not known.
pub(crate) fn mebibytes(usage: Usage) -> u64 {
    usage.memory.unwrap_or_default() >> 20
}

#[test]
fn a_row_of_the_table_tells_what_was_measured_and_of_memory_nearly() {
    let row = Measured {
        file: "SVG | image by path".to_owned(),
        reason: "not_media".to_owned(),
        memory: 64,
        opened: 0,
        contacted: 2,
    };
    assert_eq!(row.line(), "| SVG | image by path | `not_media` | 64 | 0 | 2 |");
    let read = |line: &str| Measured::read(line).unwrap();
    assert_eq!(read(&row.line()), row);
    assert!(row.is_told_by(&read("| SVG | image by path | `not_media` | 192 | 0 | 2 |")));
    for other in [
        "| SVG | image by path | `not_media` | 256 | 0 | 2 |",
        "| SVG | image by path | `broken` | 64 | 0 | 2 |",
        "| SVG | image by path | `not_media` | 64 | 1 | 2 |",
        "| SVG | image by path | `not_media` | 64 | 0 | 0 |",
        "| SVG | | `not_media` | 64 | 0 | 2 |",
    ] {
        assert!(!row.is_told_by(&read(other)), "{other}");
    }
    let head = table(&[]);
    assert_eq!(head.lines().filter_map(Measured::read).count(), 0, "{head}");
}
