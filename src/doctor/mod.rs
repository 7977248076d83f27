//! `doctor`: looks whether everything that the settings name can be used, and says what to do where
//! it cannot. Nothing is changed but for one object in the bucket, which is removed again.

mod broker;
mod clock;
mod detector;
mod finding;
mod machine;
mod place;
mod records;
mod registry;
mod report;
mod settings;
mod store;
mod tools;
mod within;

pub use finding::{Check, Finding, State};

use crate::{
    cli::{DoctorArgs, Processes},
    config,
    failure::Failure,
};
use place::Setup;
use std::{
    io::{Write, stdout},
    path::PathBuf,
};
use within::{look, one};

/// Looks, and prints what was found; a failure where something failed.
pub async fn doctor(args: DoctorArgs, config: Option<PathBuf>) -> Result<(), Failure> {
    let DoctorArgs { replicas, json, up } = args;
    let setup = Setup::new(up)?;
    let file = config.or_else(config::own_file);
    let findings = findings(&setup, &replicas, file).await;
    let mut out = stdout();
    if json {
        writeln!(out, "{:#}", report::json(&findings))?;
    } else {
        out.write_all(report::table(&findings).as_bytes())?;
    }
    out.flush()?;
    match findings.iter().any(|finding| finding.state == State::Failed) {
        true => Err(Failure::told()),
        false => Ok(()),
    }
}

/// All findings, one of every check, in their order. Nobody waits for another's silence.
async fn findings(setup: &Setup, replicas: &[Processes], file: Option<PathBuf>) -> Vec<Finding> {
    let file = file.as_deref();
    let here = vec![
        settings::configuration(setup, file),
        settings::variables(),
        settings::secrets(setup, file),
        machine::data(setup),
        machine::disk(setup),
        machine::ports(setup),
    ];
    let (kafka, registry, store, detector, models, codecs, fence, index, database, clock) = tokio::join!(
        look(&broker::CHECKS, broker::KAFKA, broker::kafka(setup, replicas)),
        look(&registry::CHECKS, registry::REGISTRY, registry::registry(setup)),
        look(&store::CHECKS, store::S3_SETTING, store::store(setup)),
        one(Check::Detector, detector::REKOGNITION, detector::detector(setup)),
        one(Check::Models, tools::ONNXRUNTIME, tools::models(setup)),
        one(Check::Codecs, tools::FFMPEG, tools::codecs()),
        one(Check::Fence, tools::KERNEL, tools::fence()),
        one(Check::Index, records::OPENSEARCH, records::index(setup)),
        one(Check::Database, records::DATABASE, records::database(setup)),
        one(Check::Clock, "see those that do not answer", clock::clock(setup)),
    );
    let found =
        [here, kafka, registry, store, detector, models, codecs, fence, index, database, clock];
    let secrets = setup.secrets();
    found.into_iter().flatten().map(|finding| finding.told(&secrets)).collect()
}
