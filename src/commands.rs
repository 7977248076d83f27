//! The commands that talk to a running mill, and those that need none.

use crate::{
    cli::{BlurChoice, Cli, Command, EventCommand, IndexCommand, TopicsCommand},
    client::{self, Client, plain},
    connections, event,
    failure::Failure,
    index, letters, pipeline,
};
use clap::CommandFactory;
use std::io::{Read, Write};

/// Runs every command but `doctor` and those that stay: `up`, `run`, `serve`, `vision` and `watch`.
pub async fn run(command: Command) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match command {
        Command::Upload(args) => {
            let options = client::UploadOptions {
                assessment: args.assessment,
                title: args.title,
                blur: match args.blur {
                    BlurChoice::All => "all".to_owned(),
                    BlurChoice::None => "none".to_owned(),
                },
                wait: args.wait,
                quiet: false,
            };
            client::upload(&Client::new(&args.url.url)?, &args.files, options, &mut out).await?;
        }
        Command::Status(args) => {
            let client = Client::new(&args.url.url)?;
            client::status(&client, args.video.as_deref(), args.json, &mut out).await?;
        }
        Command::Health(args) => {
            client::health(&Client::new(&args.url)?, &mut out).await?;
        }
        Command::Search(args) => {
            let client = Client::new(&args.url.url)?;
            client::search(&client, &args.query.join(" "), args.json, &mut out).await?;
        }
        Command::Get(args) => {
            let client = Client::new(&args.url.url)?;
            client::get(&client, &args.video, args.output, &mut out).await?;
        }
        Command::Retry(args) => {
            let client = Client::new(&args.url.url)?;
            client::retry(&client, &args.video, args.stage.as_deref(), &mut out).await?;
        }
        Command::Replay(args) => {
            let client = Client::new(&args.url.url)?;
            let chosen =
                args.since.map_or(client::Chosen::These(args.video), client::Chosen::Since);
            client::replay(&client, &chosen, &args.from, &mut out).await?;
        }
        Command::DeadLetters(command) => letters::run(command, &mut out).await?,
        Command::Index(IndexCommand::Rebuild(args)) => index::rebuild(*args, &mut out).await?,
        Command::Topics(TopicsCommand::Create(kafka)) => {
            connections::create_topics(&kafka, None).await?;
        }
        Command::Topics(TopicsCommand::List(kafka)) => {
            let topics = connections::kafka(&kafka, "cli")?.list_topics().await;
            for topic in topics.map_err(|e| connections::no_kafka(&kafka, &e))? {
                writeln!(out, "{} {}", topic.name, topic.partitions)?;
            }
        }
        Command::Event(EventCommand::Encode { topic, registry }) => {
            out.write_all(&event::encode(&topic, &stdin()?, &registry.at).await?)?;
        }
        Command::Event(EventCommand::Decode { topic, registry }) => {
            writeln!(out, "{}", event::decode(&topic, &stdin()?, &registry.at).await?)?;
        }
        Command::Completions { shell } => {
            // It panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "reelmill", &mut script);
            out.write_all(&script)?;
        }
        Command::Man { directory } => {
            let made = std::fs::create_dir_all(&directory)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), &directory));
            made.map_err(|e| {
                let shown = plain(&directory.display().to_string());
                Failure::usage(format!(
                    "the manual pages cannot be written into {shown} ({e}): name a directory that \
                     can be made and written"
                ))
            })?;
        }
        Command::Pipeline => write!(out, "{}", pipeline::drawing())?,
        Command::Up(_)
        | Command::Run(_)
        | Command::Serve(_)
        | Command::Vision(_)
        | Command::Watch(_)
        | Command::Doctor(_) => {}
    }
    out.flush()?;
    Ok(())
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}
