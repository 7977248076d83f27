//! Where the search index is: a directory of this machine, or OpenSearch.

use crate::{
    access,
    cli::{IndexArgs, RebuildArgs},
    failure::Failure,
};
use connectors::{
    opensearch::{NewIndex, OpenSearch, OpenSearchConfig},
    reindexing,
    tantivy::Tantivy,
};
use engine::Trouble;
use ports::Search;
use std::{io::Write, path::Path, sync::Arc};

/// OpenSearch's settings, if it is that; mistakes that can be told without asking it.
pub fn settings(args: &IndexArgs, region: &str) -> Result<Option<OpenSearchConfig>, Failure> {
    let Some(url) = args.opensearch.clone() else { return Ok(None) };
    let config = OpenSearchConfig {
        url,
        user: args.opensearch_user.clone(),
        password: args.opensearch_password.clone(),
        signed_for: args.opensearch_iam.then(|| region.to_owned()),
        alias: args.opensearch_index.clone(),
        ..OpenSearchConfig::default()
    };
    config.check().map_err(refused)?;
    Ok(Some(config))
}

/// Opens the index; one that is not there is made, empty.
pub async fn open(data: &Path, args: &IndexArgs, region: &str) -> Result<Arc<dyn Search>, Failure> {
    match settings(args, region)? {
        Some(config) => Ok(Arc::new(OpenSearch::open(&config).await.map_err(refused)?)),
        None => {
            let index = Tantivy::open(data.join("index"));
            Ok(Arc::new(index.map_err(|e| Failure::start("the search index", &e))?))
        }
    }
}

/// `index rebuild`
pub async fn rebuild(args: RebuildArgs, out: &mut impl Write) -> Result<(), Failure> {
    let config = settings(&args.index, &args.region.name)?.ok_or_else(|| {
        Failure::usage(
            "set --opensearch to rebuild its index; the index of one machine is in --data and \
             cannot be rebuilt yet",
        )
    })?;
    let store = access::s3(&args.s3, &args.keys, &args.region.name).await?;
    let index = NewIndex::create(&config).await.map_err(refused)?;
    let rebuilt = reindexing::rebuild(&store, &args.bucket, index).await?;
    let switched = &rebuilt.switched;
    writeln!(
        out,
        "{} is searched now: {} runs from the store, {} videos from the index before it, \
         {} unfinished runs left to the mill",
        switched.index, rebuilt.runs, switched.carried, rebuilt.unfinished
    )?;
    for index in &switched.removed {
        writeln!(out, "{index} is removed")?;
    }
    for (key, reason) in &rebuilt.left_out {
        writeln!(out, "{key} is left out: {reason}")?;
    }
    Ok(())
}

/// Wrong settings do not mend themselves; a server that is away may come back.
fn refused(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Fatal(fatal) => Failure::usage(format!("--opensearch: {fatal}")),
        passing => Failure::away("the search index", &passing),
    }
}
