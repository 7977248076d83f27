//! Runs a broker until it is killed: `serve DATA PORT`. Prints its address once it listens.

use std::process::ExitCode;

use broker::{Broker, Options, Sync};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(data), Some(Ok(port))) = (arguments.next(), arguments.next().map(|p| p.parse()))
    else {
        eprintln!("usage: serve DATA PORT");
        return ExitCode::from(64);
    };
    let options = Options {
        data: data.into(),
        port,
        default_partitions: 4,
        sync: Sync::Never,
        auto_create_topics: false,
    };
    match Broker::start(options).await {
        Ok(broker) => {
            println!("{}", broker.bootstrap());
            std::future::pending().await
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
