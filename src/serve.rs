//! `serve`: the API of a deployment, from the ports its processors share.

use crate::{
    cli::ServeArgs,
    connections::{self, Connections},
    failure::Failure,
    health::health,
    index, output,
    signals::Signals,
    traces::Tracing,
    version,
};
use api::Reach;
use engine::CancellationToken;
use std::sync::Arc;

/// Serves until a signal comes.
pub async fn serve(args: ServeArgs) -> Result<(), Failure> {
    let ServeArgs { data, port, listen, without_accounts, endpoints, patience, shared } = args;
    let reach = match (listen.is_loopback(), without_accounts) {
        (true, _) => Reach::Loopback,
        (false, true) => Reach::Everyone,
        (false, false) => {
            return Err(Failure::usage(format!(
                "refusing to listen on {listen}: there are no accounts yet, so whoever reaches the \
                 port sees every video; listen on 127.0.0.1, or accept that with \
                 --without-accounts and keep the port from others"
            )));
        }
    };
    if shared.database.is_none() || shared.index.opensearch.is_none() {
        return Err(Failure::usage(
            "the api answers from the catalogue and the index that the processors write: set \
             --database and --opensearch as theirs are",
        ));
    }
    let data = connections::data_directory(data)?;
    connections::database(&data, &shared)?;
    index::settings(&shared.index, endpoints.region())?;
    let spans = Tracing::open(&shared)?;
    let metrics = version::metrics()?;
    let opened = Connections::open_patiently(&data, &endpoints, &shared, &patience, &metrics).await;
    let connections = opened?;
    let shutdown = CancellationToken::new();
    let health = health(&metrics, vec![connections.pool()], Arc::new(Vec::new));
    let services = connections.services(&shared, health, spans.traces(), shutdown.clone());

    let listener = connections::listen(listen, port).await?;
    let signals = Signals::new()?;
    output::publish(&format!("REELMILL_URL=http://{}\n", listener.local_addr()?))?;
    let orphans = connections::announce_orphans(Arc::clone(&services), shared.orphan_age);
    tokio::spawn(orphans);
    signals.cancel(shutdown.clone());
    let served = api::serve(listener, api::router(services), reach, shutdown.cancelled_owned());
    let result = served.await.map_err(|e| Failure::start("the api", &e));
    spans.stop().await;
    result
}
