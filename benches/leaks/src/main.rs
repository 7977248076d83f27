//! Measures a masked film against the known faces of its source.

mod count;
mod truth;

use clap::{Parser, Subcommand};
use count::Count;
use media::Limits;
use std::{error::Error, path::PathBuf};
use truth::Truth;

#[derive(Debug, Parser)]
#[command(name = "reelmill-bench", about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the faces that a film shows which was masked in black, as JSON.
    Leaks {
        /// The film that was masked.
        source: PathBuf,
        /// The film without faces.
        masked: PathBuf,
        /// Where the faces are: `benches/truth/film.py`.
        truth: PathBuf,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    let Command::Leaks { source, masked, truth } = Arguments::parse().command;
    let truth: Truth = serde_json::from_slice(&std::fs::read(truth)?)?;
    let mut count = Count::default();
    let report = media::compare(&source, &masked, &Limits::default(), &mut |pair| {
        count.frame(&truth, pair.output.index() as usize, &pair.output.rgb(truth.width)?);
        Ok(())
    })?;
    if report.frames as usize != truth.frames.len() {
        let told = truth.frames.len();
        return Err(
            format!("the film has {} frames, the truth tells of {told}", report.frames).into()
        );
    }
    println!("{}", serde_json::to_string_pretty(&count.finish(&truth))?);
    Ok(())
}
