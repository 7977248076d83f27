//! What `doctor` is told.

use super::UpArgs;
use clap::Args;
use processors::NAMES;

#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Processes that are to share a processor's work, e.g. 12 or detect=20,stitch=3: topics of fewer
    /// partitions are told
    #[arg(long, value_name = "[PROCESSOR=]NUMBER", value_delimiter = ',', value_parser = processes)]
    pub replicas: Vec<Processes>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub up: UpArgs,
}

/// How many processes are to run a processor, or each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processes {
    pub of: Option<&'static str>,
    pub count: usize,
}

fn processes(text: &str) -> Result<Processes, String> {
    let (name, number) = match text.split_once('=') {
        Some((name, number)) => (Some(name), number),
        None => (None, text),
    };
    let of = name.map(|name| {
        NAMES.iter().copied().find(|known| *known == name).ok_or_else(|| {
            let nearest = schemas::nearest(name, NAMES.iter().copied());
            format!("there is no processor `{name}`, did you mean `{nearest}`?")
        })
    });
    let count = number.parse().ok().filter(|count| *count > 0);
    let count = count.ok_or("must be a number from 1, or PROCESSOR=NUMBER")?;
    Ok(Processes { of: of.transpose()?, count })
}
