//! Measures masked films: what they show, and what they cost.

mod cost;
mod count;
mod identity;
mod tracked;
mod truth;

use clap::{Parser, Subcommand, ValueEnum};
use count::Count;
use media::Limits;
use std::{
    error::Error,
    path::{Path, PathBuf},
};
use truth::Truth;
use vision::Profile;

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    /// Count the faces that tracks alone leave in a film, as JSON: nothing is rendered, and nothing
    /// looked at again.
    Tracks {
        /// The film.
        source: PathBuf,
        /// Where the faces are: `benches/truth/film.py`.
        truth: PathBuf,
        /// Time between two frames that are looked at, ms; 0 for every frame, 500 for what AWS Rekognition does.
        #[arg(long, default_value_t = 0)]
        sample_ms: i64,
    },
    /// Compare the faces that the detector finds in a film with what its masked film shows at their
    /// places, as JSON: how well masks hide, not whether there are any.
    Identity {
        /// The film that was masked.
        source: PathBuf,
        /// The film without faces.
        masked: PathBuf,
        /// Where the faces are: `benches/truth/film.py`.
        truth: PathBuf,
    },
    /// Mask a film and tell what that has cost, as JSON.
    Blur {
        /// The film, of which every packet can be copied (`Probe::smart_ok`).
        source: PathBuf,
        /// The film that comes of it.
        masked: PathBuf,
        /// Share of its groups of pictures that have a face, percent.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=100))]
        share: u32,
        /// Look for faces, too.
        #[arg(long)]
        detect: Option<Detect>,
    },
}

/// How closely a film is looked at.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Detect {
    /// Every frame.
    Careful,
    /// As `--profile fast` does.
    Fast,
}

impl From<Detect> for Profile {
    fn from(detect: Detect) -> Self {
        match detect {
            Detect::Careful => Self::Careful,
            Detect::Fast => Self::Fast,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().command {
        Command::Leaks { source, masked, truth } => leaks(&source, &masked, &truth),
        Command::Identity { source, masked, truth } => {
            let truth: Truth = serde_json::from_slice(&std::fs::read(truth)?)?;
            let identity = identity::of(&source, &masked, &truth)?;
            println!("{}", serde_json::to_string_pretty(&identity)?);
            Ok(())
        }
        Command::Tracks { source, truth, sample_ms } => {
            let truth: Truth = serde_json::from_slice(&std::fs::read(truth)?)?;
            let count = tracked::count(&source, &truth, sample_ms)?;
            println!("{}", serde_json::to_string_pretty(&count)?);
            Ok(())
        }
        Command::Blur { source, masked, share, detect } => {
            let cost = cost::of_blur(&source, &masked, share, detect.map(Profile::from))?;
            println!("{}", serde_json::to_string_pretty(&cost)?);
            Ok(())
        }
    }
}

fn leaks(source: &Path, masked: &Path, truth: &Path) -> Result<(), Box<dyn Error>> {
    let truth: Truth = serde_json::from_slice(&std::fs::read(truth)?)?;
    let mut count = Count::default();
    let report = media::compare(source, masked, &Limits::default(), &mut |pair| {
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
