mod facts;
mod faults;
mod postgres;
mod sqlite;

/// Where a test has its catalogue; gone after the test.
struct Place {
    address: super::Address,
    _dir: Option<tempfile::TempDir>,
}
