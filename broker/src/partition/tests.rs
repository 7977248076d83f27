use super::*;
use crate::{batch::example, config::Overrides};

const PRODUCER: Producer = Producer { id: 7, epoch: 0 };
const FOREVER: u64 = u64::MAX;

fn config(pairs: &[(&str, &str)]) -> LogConfig {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    LogConfig::of(&pairs.collect::<Overrides>())
}

fn create(folder: &Path, pairs: &[(&str, &str)]) -> Partition {
    Partition::create(&folder.join("0"), Sync::Never, config(pairs)).unwrap()
}

fn reopen(folder: &Path, pairs: &[(&str, &str)]) -> (Partition, u64) {
    Partition::open(&folder.join("0"), Sync::Never, config(pairs)).unwrap()
}

fn append(partition: &Partition, batch: &[u8]) -> Result<i64, ResponseError> {
    partition.append(batch, |_| Ok(()))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder.join("0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().unwrap() == ending)
        .collect();
    paths.sort();
    paths
}

/// Every offset a consumer gets who reads slice after slice.
fn offsets(partition: &Partition, isolation: Isolation) -> Vec<i64> {
    let mut offsets = Vec::new();
    let mut next = partition.start_offset();
    loop {
        let slice = partition.read(next, 1_000, isolation).unwrap();
        let mut rest = &slice.records[..];
        if rest.is_empty() {
            return offsets;
        }
        while !rest.is_empty() {
            let header = BatchHeader::parse(&rest[..BatchHeader::peek(rest).unwrap().bytes]);
            let header = header.unwrap();
            rest = &rest[header.bytes..];
            next = header.last_offset() + 1;
            offsets.extend(header.base_offset..next);
        }
    }
}

#[test]
fn a_log_cut_at_any_byte_keeps_every_whole_batch_and_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let whole = create(folder.path(), &[]);
    for _ in 0..3 {
        append(&whole, &example::plain(2, 1_000)).unwrap();
    }
    let path = files(folder.path(), "log").remove(0);
    let bytes = fs::read(&path).unwrap();
    let batch = bytes.len() / 3;
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let (reopened, _) = reopen(folder.path(), &[]);
        let kept = (cut / batch) as i64;
        assert_eq!(reopened.end_offset(), 2 * kept, "cut at {cut}");
        assert_eq!(append(&reopened, &example::plain(1, 1_000)), Ok(2 * kept));
        drop(reopened);
        assert_eq!(reopen(folder.path(), &[]).0.end_offset(), 2 * kept + 1);
    }
}

#[test]
fn garbage_behind_the_last_batch_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    append(&create(folder.path(), &[]), &example::plain(1, 1)).unwrap();
    let path = files(folder.path(), "log").remove(0);
    let good = fs::read(&path).unwrap();
    for garbage in [vec![0; 500], vec![0xff; 500], b"GET / HTTP/1.1\r\n".repeat(9)] {
        fs::write(&path, [good.clone(), garbage].concat()).unwrap();
        assert_eq!(reopen(folder.path(), &[]).0.end_offset(), 1);
        assert_eq!(fs::read(&path).unwrap(), good);
    }
}

#[test]
fn open_transactions_and_aborted_ones_are_known_again_after_reopening() {
    for (checkpointed, small) in [(false, false), (true, false), (false, true), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut partition = create(folder.path(), &[]);
        if small {
            // A segment for every batch.
            partition.configure(LogConfig { segment_bytes: 10, ..config(&[]) });
        }
        append(&partition, &example::batch(PRODUCER, 0, 2)).unwrap();
        partition.end_transaction(PRODUCER, Outcome::Abort).unwrap();
        append(&partition, &example::batch(PRODUCER, 2, 2)).unwrap();
        for again in 0..3 {
            assert_eq!(partition.readable_to(Isolation::Committed), 3, "{again}");
            assert_eq!(partition.readable_to(Isolation::Uncommitted), 5);
            let slice = partition.read(0, FOREVER, Isolation::Committed).unwrap();
            assert_eq!(slice.aborted, [(PRODUCER.id, 0)], "{checkpointed} {small} {again}");
            assert_eq!(offsets(&partition, Isolation::Committed), [0, 1, 2]);
            assert_eq!(offsets(&partition, Isolation::Uncommitted), [0, 1, 2, 3, 4]);
            // A repeated batch is answered with its place, not written again.
            assert_eq!(append(&partition, &example::batch(PRODUCER, 2, 2)), Ok(3));
            assert_eq!(partition.end_offset(), 5);
            if checkpointed {
                partition.tidy(false, true).unwrap();
            }
            drop(partition);
            partition = reopen(folder.path(), &[]).0;
        }
    }
}

#[test]
fn a_slice_ends_at_the_limit_but_always_holds_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let partition = create(folder.path(), &[]);
    for _ in 0..4 {
        append(&partition, &example::plain(1, 1_000)).unwrap();
    }
    let batch = example::plain(1, 1_000).len();
    let length = |from, max: usize| {
        partition.read(from, max as u64, Isolation::Uncommitted).unwrap().records.len()
    };
    assert_eq!(length(0, 1), batch);
    assert_eq!(length(0, 3 * batch - 1), 2 * batch);
    assert_eq!(length(1, 100 * batch), 3 * batch);
    assert_eq!(length(4, 100 * batch), 0);
    let available = |from| partition.available(from, Isolation::Uncommitted);
    assert_eq!(available(1), Ok(3 * batch as u64));
    assert_eq!(available(4), Ok(0));
    assert_eq!(available(5), Err(ResponseError::OffsetOutOfRange));
}

#[test]
fn clients_cannot_write_markers_or_trailing_bytes_or_more_than_the_topic_allows() {
    let folder = tempfile::tempdir().unwrap();
    let partition = create(folder.path(), &[("max.message.bytes", "100")]);
    let marker = batch::marker(PRODUCER, Outcome::Commit);
    assert_eq!(append(&partition, &marker), Err(ResponseError::InvalidRecord));
    let trailing = [&example::plain(1, 1)[..], b"x"].concat();
    assert_eq!(append(&partition, &trailing), Err(ResponseError::CorruptMessage));
    let large = example::plain(50, 1);
    assert_eq!(append(&partition, &large), Err(ResponseError::MessageTooLarge));
    assert_eq!(partition.end_offset(), 0);
}

#[test]
fn a_log_in_many_segments_reads_like_one_from_every_offset() {
    let folder = tempfile::tempdir().unwrap();
    let small = [("segment.bytes", "1024")];
    let partition = create(folder.path(), &small);
    for i in 0..200 {
        append(&partition, &example::plain(1 + i % 3, 1_000)).unwrap();
    }
    let end = partition.end_offset();
    let segments = files(folder.path(), "log");
    assert!(segments.len() > 10, "{}", segments.len());
    for path in &segments {
        assert!(fs::metadata(path).unwrap().len() <= 1_024);
    }
    let reopened = reopen(folder.path(), &small).0;
    for partition in [&partition, &reopened] {
        assert_eq!(offsets(partition, Isolation::Uncommitted), (0..end).collect::<Vec<i64>>());
        for from in 0..end {
            let slice = partition.read(from, 1, Isolation::Uncommitted).unwrap();
            let header = BatchHeader::parse(&slice.records).unwrap();
            assert!((header.base_offset..=header.last_offset()).contains(&from));
            assert!(partition.available(from, Isolation::Uncommitted).unwrap() > 0);
        }
    }
}

#[test]
fn a_clean_stop_leaves_nothing_to_read_and_a_crash_little() {
    let folder = tempfile::tempdir().unwrap();
    let (batch, small) = (example::plain(100_000, 1_000), [("segment.bytes", "4000000")]);
    let partition = create(folder.path(), &small);
    for _ in 0..200 {
        append(&partition, &batch).unwrap();
        partition.tidy(false, false).unwrap();
    }
    // As a crash leaves it: 20 MB, of which checkpoints know all but the last segment.
    let (crashed, scanned) = reopen(folder.path(), &small);
    assert_eq!(crashed.end_offset(), 200 * 100_000);
    assert!(scanned <= 4_000_000, "read {scanned} bytes");
    partition.tidy(false, true).unwrap();
    let (stopped, scanned) = reopen(folder.path(), &small);
    assert_eq!((stopped.end_offset(), scanned), (200 * 100_000, 0));
    assert_eq!(append(&stopped, &batch), Ok(200 * 100_000));
}

#[test]
fn one_large_segment_is_read_from_its_last_checkpoint_on() {
    let folder = tempfile::tempdir().unwrap();
    let batch = example::plain(1_000_000, 1_000);
    let partition = create(folder.path(), &[]);
    for _ in 0..30 {
        append(&partition, &batch).unwrap();
        partition.tidy(false, false).unwrap();
    }
    let (reopened, scanned) = reopen(folder.path(), &[]);
    assert_eq!(reopened.end_offset(), 30_000_000);
    assert!(scanned <= 8 << 20, "read {scanned} of 30 MB");
}

#[test]
fn a_checkpoint_that_promises_more_than_there_is_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let partition = create(folder.path(), &[]);
    for _ in 0..3 {
        append(&partition, &example::plain(1, 1_000)).unwrap();
    }
    partition.tidy(false, true).unwrap();
    let path = files(folder.path(), "log").remove(0);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(reopen(folder.path(), &[]).0.end_offset(), 2);
}

#[test]
fn records_missing_in_the_middle_are_an_error_that_names_the_file_and_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let small = [("segment.bytes", "1024")];
    let partition = create(folder.path(), &small);
    for _ in 0..100 {
        append(&partition, &example::plain(1, 1_000)).unwrap();
    }
    let damaged = files(folder.path(), "log").remove(1);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[300] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let error = Partition::open(&folder.path().join("0"), Sync::Never, config(&small)).unwrap_err();
    assert!(matches!(&error, BrokerError::DamagedLog { path, .. } if *path == damaged), "{error}");
    assert_eq!(fs::read(&damaged).unwrap(), bytes, "evidence is kept");
}

#[test]
fn a_partition_of_the_time_when_it_was_one_file_opens_with_all_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let old = create(folder.path(), &[]);
    for _ in 0..5 {
        append(&old, &example::plain(1, 1_000)).unwrap();
    }
    fs::rename(files(folder.path(), "log").remove(0), folder.path().join("0.log")).unwrap();
    fs::remove_dir_all(folder.path().join("0")).unwrap();
    for _ in 0..2 {
        let (partition, _) = reopen(folder.path(), &[]);
        assert_eq!(offsets(&partition, Isolation::Uncommitted), [0, 1, 2, 3, 4]);
    }
    assert!(!folder.path().join("0.log").exists());
}

#[test]
fn records_go_when_they_are_old_enough_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let day = [("segment.bytes", "1024"), ("retention.ms", "86400000")];
    let partition = create(folder.path(), &day);
    for _ in 0..50 {
        append(&partition, &example::plain(1, now_ms() - 90_000_000)).unwrap();
    }
    for _ in 0..50 {
        append(&partition, &example::plain(1, now_ms())).unwrap();
    }
    append(&partition, &example::idempotent(PRODUCER, 0, 1)).unwrap();
    partition.tidy(false, false).unwrap();
    let start = partition.start_offset();
    assert!((35..=50).contains(&start), "{start}");
    assert_eq!(offsets(&partition, Isolation::Uncommitted), (start..101).collect::<Vec<_>>());
    let out = partition.available(start - 1, Isolation::Uncommitted);
    assert_eq!(out, Err(ResponseError::OffsetOutOfRange));
    let (reopened, _) = reopen(folder.path(), &day);
    assert_eq!((reopened.start_offset(), reopened.end_offset()), (start, 101));
}

#[test]
fn a_log_of_old_records_becomes_empty_and_still_knows_its_end_and_its_producers() {
    let folder = tempfile::tempdir().unwrap();
    let second = [("retention.ms", "1000")];
    let partition = create(folder.path(), &second);
    append(&partition, &example::idempotent(PRODUCER, 0, 3)).unwrap();
    partition.tidy(false, false).unwrap();
    for partition in [&partition, &reopen(folder.path(), &second).0] {
        assert_eq!((partition.start_offset(), partition.end_offset()), (3, 3));
        assert_eq!(partition.bytes(), 0);
        // Still known, and still refused with a gap.
        assert_eq!(append(partition, &example::idempotent(PRODUCER, 0, 3)), Ok(0));
        let gap = append(partition, &example::idempotent(PRODUCER, 9, 1));
        assert_eq!(gap, Err(ResponseError::OutOfOrderSequenceNumber));
    }
    assert_eq!(files(folder.path(), "log").len(), 1);
}

#[test]
fn a_partition_keeps_at_least_the_bytes_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let bounded = [("segment.bytes", "1024"), ("retention.bytes", "5000")];
    let partition = create(folder.path(), &bounded);
    for _ in 0..500 {
        append(&partition, &example::plain(10, now_ms())).unwrap();
    }
    partition.tidy(false, false).unwrap();
    let bytes = partition.bytes();
    assert!((5_000..5_000 + 1_024).contains(&bytes), "{bytes}");
    assert_eq!(partition.end_offset(), 5_000);
    let on_disk: u64 =
        files(folder.path(), "log").iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(on_disk, bytes);
}

#[test]
fn nothing_of_an_open_transaction_goes_whatever_its_age() {
    let folder = tempfile::tempdir().unwrap();
    let partition = create(folder.path(), &[("segment.bytes", "1024"), ("retention.ms", "1")]);
    for _ in 0..50 {
        append(&partition, &example::plain(1, 1_000)).unwrap();
    }
    append(&partition, &example::batch(PRODUCER, 0, 1)).unwrap();
    for _ in 0..50 {
        append(&partition, &example::plain(1, 1_000)).unwrap();
    }
    partition.tidy(false, false).unwrap();
    assert!((30..=50).contains(&partition.start_offset()));
    partition.end_transaction(PRODUCER, Outcome::Commit).unwrap();
    partition.tidy(false, false).unwrap();
    assert_eq!(partition.start_offset(), 102);
}

#[test]
fn deleted_records_are_out_of_range_at_once_and_their_files_go_after() {
    let folder = tempfile::tempdir().unwrap();
    let partition = create(folder.path(), &[("segment.bytes", "1024")]);
    for _ in 0..100 {
        append(&partition, &example::plain(1, 1_000)).unwrap();
    }
    let before = files(folder.path(), "log").len();
    partition.advance_start(55);
    let out = partition.available(54, Isolation::Uncommitted);
    assert_eq!(out, Err(ResponseError::OffsetOutOfRange));
    assert_eq!(offsets(&partition, Isolation::Uncommitted), (55..100).collect::<Vec<_>>());
    partition.tidy(false, false).unwrap();
    assert_eq!(partition.start_offset(), 55);
    assert!(files(folder.path(), "log").len() < before);
    assert_eq!(offsets(&partition, Isolation::Uncommitted), (55..100).collect::<Vec<_>>());
    partition.advance_start(100);
    partition.tidy(false, false).unwrap();
    assert_eq!((partition.bytes(), partition.end_offset()), (0, 100));
}

#[test]
fn times_lead_to_records_in_every_segment_and_to_the_latest() {
    let folder = tempfile::tempdir().unwrap();
    let partition = create(folder.path(), &[("segment.bytes", "1024")]);
    for i in 0..100 {
        let first = 1_000 * i;
        append(&partition, &example::timed(&[first, first + 500, first + 250])).unwrap();
    }
    // One record that is later than all that follow.
    append(&partition, &example::timed(&[5, 900_000, 7])).unwrap();
    append(&partition, &example::timed(&[99_900])).unwrap();
    assert!(files(folder.path(), "log").len() > 5);
    let found =
        |partition: &Partition, time| partition.offset_at(time, Isolation::Uncommitted).unwrap();
    let reopened = reopen(folder.path(), &[]).0;
    for partition in [&partition, &reopened] {
        assert_eq!(found(partition, 0), Some((0, 0)));
        for i in 0..100 {
            assert_eq!(found(partition, 1_000 * i), Some((3 * i, 1_000 * i)));
            assert_eq!(found(partition, 1_000 * i + 1), Some((3 * i + 1, 1_000 * i + 500)));
        }
        assert_eq!(found(partition, 99_600), Some((301, 900_000)));
        assert_eq!(found(partition, 900_001), None);
        assert_eq!(partition.latest().unwrap(), Some((301, 900_000)));
    }
    partition.advance_start(2);
    assert_eq!(found(&partition, 0), Some((2, 250)));
}

#[test]
fn a_partition_that_waits_for_its_disk_keeps_neither_readers_nor_other_partitions_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let slow = create(&folder.path().join("slow"), &[]);
    let quick = create(&folder.path().join("quick"), &[]);
    append(&slow, &example::plain(1, 1_000)).unwrap();
    std::thread::scope(|scope| {
        let writing = lock(&slow.writing);
        let blocked = scope.spawn(|| append(&slow, &example::plain(1, 1_000)));
        let others = scope.spawn(|| {
            assert_eq!(offsets(&slow, Isolation::Uncommitted), [0]);
            assert_eq!(slow.available(0, Isolation::Uncommitted).map(|bytes| bytes > 0), Ok(true));
            append(&quick, &example::plain(1, 1_000))
        });
        assert_eq!(others.join().unwrap(), Ok(0));
        assert!(!blocked.is_finished());
        drop(writing);
        assert_eq!(blocked.join().unwrap(), Ok(1));
    });
}

#[test]
fn a_log_is_synced_when_its_interval_has_passed_and_not_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let every = Sync::Every(std::time::Duration::from_secs(1));
    let partition = Partition::create(&folder.path().join("0"), every, config(&[])).unwrap();
    let dirty = || partition.dirty.load(Ordering::Acquire);
    append(&partition, &example::plain(1, 1_000)).unwrap();
    partition.tidy(false, false).unwrap();
    assert!(dirty());
    partition.tidy(true, false).unwrap();
    assert!(!dirty());
}

#[tokio::test]
async fn a_waiting_consumer_wakes_for_its_own_partitions_only() {
    use crate::waiters::Waiting;
    let folder = tempfile::tempdir().unwrap();
    let [mine, other] =
        ["mine", "other"].map(|name| std::sync::Arc::new(create(&folder.path().join(name), &[])));
    let waiting = Waiting::on(vec![mine.clone()]);
    let moment = std::time::Duration::from_millis(50);
    append(&other, &example::plain(1, 1_000)).unwrap();
    assert!(tokio::time::timeout(moment, waiting.changed()).await.is_err(), "woken for nothing");
    append(&mine, &example::plain(1, 1_000)).unwrap();
    tokio::time::timeout(moment, waiting.changed()).await.expect("not woken");
}

#[test]
fn whoever_still_holds_a_deleted_partition_leaves_its_successors_folder_alone() {
    let folder = tempfile::tempdir().unwrap();
    let deleted = create(folder.path(), &[("segment.bytes", "1024")]);
    append(&deleted, &example::plain(1, 1_000)).unwrap();
    deleted.close();
    let successor = create(folder.path(), &[]);
    let refused = append(&deleted, &example::plain(1, 1_000));
    assert_eq!(refused, Err(ResponseError::UnknownTopicOrPartition));
    deleted.tidy(true, true).unwrap();
    assert!(files(folder.path(), "index").is_empty(), "no checkpoint of another log");
    assert_eq!(append(&successor, &example::plain(1, 1_000)), Ok(0));
}
