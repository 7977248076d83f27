//! Stands between a catalogue and its server, and lets through as much as a test wants.

use super::url;
use crate::database::Address;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens once no more bytes may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection ends.
    Cut,
    /// It stays, and nothing comes any more.
    Silence,
}

/// Whose bytes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Client,
    Server,
}

#[derive(Debug)]
struct Rules {
    silent: AtomicBool,
    client: AtomicI64,
    server: AtomicI64,
}

impl Rules {
    fn left(&self, of: Of) -> &AtomicI64 {
        match of {
            Of::Client => &self.client,
            Of::Server => &self.server,
        }
    }
}

pub(super) struct Proxy {
    pub(super) address: Address,
    rules: Arc<Rules>,
}

impl Proxy {
    /// Lets everything through.
    pub(super) async fn before(server: &Address) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut here = url(server);
        let port = here.port().unwrap();
        here.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let rules = Arc::new(Rules {
            silent: AtomicBool::new(false),
            client: AtomicI64::new(i64::MAX),
            server: AtomicI64::new(i64::MAX),
        });
        let proxy = Self { address: here.as_str().parse().unwrap(), rules: Arc::clone(&rules) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                tokio::spawn(between(client, server, Arc::clone(&rules)));
            }
        });
        proxy
    }

    /// So many bytes more, counted over all connections.
    pub(super) fn let_through(&self, bytes: i64, of: Of, then: Fault) {
        self.rules.silent.store(then == Fault::Silence, Ordering::SeqCst);
        self.rules.left(of).store(bytes, Ordering::SeqCst);
    }

    pub(super) fn mend(&self) {
        self.rules.client.store(i64::MAX, Ordering::SeqCst);
        self.rules.server.store(i64::MAX, Ordering::SeqCst);
    }
}

async fn between(client: TcpStream, server: TcpStream, rules: Arc<Rules>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever ends takes the other with it, and both sides see their connection end.
    tokio::select! {
        () = pass(from_client, to_server, &rules, Of::Client) => {}
        () = pass(from_server, to_client, &rules, Of::Server) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rules: &Rules, of: Of) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let left = rules.left(of).fetch_sub(read as i64, Ordering::SeqCst);
        let allowed = usize::try_from(left.clamp(0, read as i64)).unwrap();
        if to.write_all(&buffer[..allowed]).await.is_err() {
            return;
        }
        if allowed < read {
            if rules.silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            return;
        }
    }
}
