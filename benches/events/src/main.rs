//! What `benches/events.py` runs: the same map over events, by reelmill's runner and by a bare loop.
//!
//!     events codec RECORDS             in process, no Kafka
//!     events fill KAFKA IN RECORDS
//!     events runner KAFKA IN OUT       until its standard input closes
//!     events bare KAFKA IN OUT exactly|atleast COMMIT_MS
//!     events latency KAFKA IN OUT RATE SECONDS

mod bare;
mod latency;
mod map;
mod runner;

use std::{error::Error, io::Read, thread};

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A bench ends at the first surprise, and says which.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["codec", records] => runner::codec(records.parse()?),
        ["fill", kafka, topic, records] => bare::fill(kafka, topic, records.parse()?),
        ["runner", kafka, input, output] => runner::run(kafka, input, output),
        ["bare", kafka, input, output, mode, commit_ms] => {
            bare::run(kafka, input, output, mode == "exactly", commit_ms.parse()?)
        }
        ["latency", kafka, input, output, rate, seconds] => {
            latency::run(kafka, input, output, rate.parse()?, seconds.parse()?)
        }
        _ => Err("usage: events codec|fill|runner|bare|latency …, see benches/events.py".into()),
    }
}

/// Calls when the standard input closes: whoever runs us wants us to stop.
fn at_the_end(stop: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        // Whatever is said is of no interest.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        stop();
    });
}
