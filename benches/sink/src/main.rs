//! What `benches/sink.py` runs: the same documents into the same kind of index, by reelmill and by a
//! bare loader of ready bodies. Prints how long that took, in seconds.
//!
//!     sink bodies OPENSEARCH DOCUMENTS FILE     the bulk bodies that reelmill sends, as lines
//!     sink ours OPENSEARCH DOCUMENTS            as `reelmill index rebuild` writes
//!     sink long OPENSEARCH DOCUMENTS            the same, every hundredth with the longest id there is
//!     sink poison OPENSEARCH DOCUMENTS          the same, these ids a little longer: refused
//!     sink bare OPENSEARCH DOCUMENTS FILE       the lines of FILE, as they are
//!     sink processor OPENSEARCH DOCUMENTS       as the processor `index` writes: one at a time, eight
//!                                               at once, each until it is found

mod documents;
mod index;

use connectors::opensearch::{NewIndex, OpenSearch, OpenSearchConfig};
use futures::{StreamExt, TryStreamExt, stream};
use index::Index;
use ports::{Document, Search, Trouble};
use std::{
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write},
    time::Instant,
};

/// A bench ends at the first surprise, and says which.
type Failure = Box<dyn Error + Send + Sync>;

/// As reelmill sends them.
const DOCUMENTS_OF_A_BULK: usize = 500;
const BYTES_OF_A_BULK: usize = 8 << 20;
/// As the processor has them in hand.
const AT_ONCE: usize = 8;
/// OpenSearch takes up to 32,766 bytes.
const LONG: usize = 32_000;
const TOO_LONG: usize = 33_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let seconds = match arguments[..] {
        ["bodies", at, count, file] => bodies(at, count.parse()?, file).await?,
        ["ours", at, count] => ours(at, &documents::documents(count.parse()?), 0).await?,
        ["long", at, count] => ours(at, &documents::with_long_ids(count.parse()?, LONG), 0).await?,
        ["poison", at, count] => {
            let documents = documents::with_long_ids(count.parse()?, TOO_LONG);
            ours(at, &documents, documents.len().div_ceil(documents::ONE_OF)).await?
        }
        ["bare", at, count, file] => bare(at, count.parse()?, file).await?,
        ["processor", at, count] => processor(at, count.parse()?).await?,
        _ => return Err("usage: sink bodies|ours|bare|processor …, see benches/sink.py".into()),
    };
    writeln!(std::io::stdout(), "{seconds}")?;
    Ok(())
}

fn config(at: &str) -> OpenSearchConfig {
    OpenSearchConfig {
        url: at.to_owned(),
        alias: "bench-sink".to_owned(),
        ..OpenSearchConfig::default()
    }
}

async fn ours(at: &str, documents: &[Document], refused: usize) -> Result<f64, Failure> {
    let new = NewIndex::create(&config(at)).await?;
    let index = Index::new(at, new.name());
    let started = Instant::now();
    let answers = new.put_all(documents).await?;
    let found = answers.iter().filter(|answer| matches!(answer, Err(Trouble::Refused(_)))).count();
    if found != refused {
        return Err(format!("{found} documents were refused, not {refused}").into());
    }
    index.holds(documents.len() - refused).await?;
    let seconds = started.elapsed().as_secs_f64();
    new.abandon().await?;
    Ok(seconds)
}

async fn bare(at: &str, count: usize, file: &str) -> Result<f64, Failure> {
    let lines = fs::read_to_string(file)?;
    let new = NewIndex::create(&config(at)).await?;
    let index = Index::new(at, new.name());
    let started = Instant::now();
    let (mut bulk, mut held) = (String::new(), 0);
    let mut lines = lines.lines();
    while let (Some(action), Some(body)) = (lines.next(), lines.next()) {
        let full = bulk.len() + action.len() + body.len() + 2 > BYTES_OF_A_BULK;
        if held == DOCUMENTS_OF_A_BULK || (held > 0 && full) {
            index.bulk(std::mem::take(&mut bulk)).await?;
            held = 0;
        }
        for line in [action, body] {
            bulk.push_str(line);
            bulk.push('\n');
        }
        held += 1;
    }
    index.bulk(bulk).await?;
    index.holds(count).await?;
    let seconds = started.elapsed().as_secs_f64();
    new.abandon().await?;
    Ok(seconds)
}

async fn processor(at: &str, count: usize) -> Result<f64, Failure> {
    let documents = documents::documents(count);
    let search = OpenSearch::open(&config(at)).await?;
    let started = Instant::now();
    stream::iter(&documents)
        .map(|document| search.put(document))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    for document in &documents {
        search.remove(&document.video_id).await?;
    }
    Ok(seconds)
}

async fn bodies(at: &str, count: usize, file: &str) -> Result<f64, Failure> {
    let started = Instant::now();
    let new = NewIndex::create(&config(at)).await?;
    for answer in new.put_all(&documents::documents(count)).await? {
        answer?;
    }
    let index = Index::new(at, new.name());
    index.holds(count).await?;
    let mut out = BufWriter::new(File::create(file)?);
    for (id, body) in index.all().await? {
        writeln!(out, "{}", serde_json::json!({ "index": { "_id": id } }))?;
        writeln!(out, "{body}")?;
    }
    out.flush()?;
    new.abandon().await?;
    Ok(started.elapsed().as_secs_f64())
}
