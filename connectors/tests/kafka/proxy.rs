//! A proxy that stands in for a broker: it parks the ends of transactions, and freezes.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, EndTxnRequest, EndTxnResponse, FindCoordinatorResponse, MetadataResponse,
        RequestHeader, ResponseHeader,
    },
    protocol::{Decodable, Encodable, StrBytes},
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    /// The broker's `host:port`.
    upstream: String,
    address: SocketAddr,
    /// Every so manieth commit is parked; 0 for none.
    park_every: u64,
    frozen: watch::Sender<bool>,
    commits: Mutex<Commits>,
}

#[derive(Default)]
struct Commits {
    seen: u64,
    /// While one is parked.
    passed: u64,
    parked: Option<Parked>,
    released: Vec<i16>,
}

/// A commit that is under way for a long time. The client has lost the connection it went out by, and
/// sends it again.
struct Parked {
    request: Bytes,
    correlation: i32,
    version: i16,
    server: (OwnedReadHalf, OwnedWriteHalf),
    /// The second copy was answered: from now on the client is in its next transaction.
    answered: bool,
}

/// What a client asked on a connection: its answers come without saying what they are.
type Asked = Mutex<BTreeMap<i32, (ApiKey, i16)>>;

impl Proxy {
    /// Parks every `park_every`th commit, cuts the client off, and lets it go to the broker when a
    /// record of the next transaction has arrived there. 0 parks none.
    pub(crate) async fn start(upstream: &str, park_every: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            address,
            park_every,
            frozen: watch::Sender::new(false),
            commits: Mutex::default(),
        });
        let serves = shared.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let shared = serves.clone();
                // Clients come and go, and so does the broker.
                tokio::spawn(async move { shared.serve(client).await.ok() });
            }
        });
        Self { address, shared, serving }
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// From now on nothing passes, in either direction, and no connection ends.
    pub(crate) fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    pub(crate) fn thaw(&self) {
        self.shared.frozen.send_replace(false);
    }

    /// What the broker said to the parked commits when they came, 0 for yes.
    pub(crate) fn released(&self) -> Vec<i16> {
        self.shared.commits.lock().unwrap().released.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let server = TcpStream::connect(&self.upstream).await?;
        server.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let asked = Asked::default();
        let parked = tokio::select! {
            parked = self.requests(&mut from_client, &mut to_server, &asked) => parked?,
            ended = self.responses(&mut from_server, &mut to_client, &asked) => return ended,
        };
        if let Some((request, header, version)) = parked {
            let mut commits = self.commits.lock().unwrap();
            commits.parked = Some(Parked {
                request,
                correlation: header.correlation_id,
                version,
                server: (from_server, to_server),
                answered: false,
            });
        }
        Ok(())
    }

    /// Passes requests on until the client goes, or one is to be parked.
    async fn requests(
        &self,
        client: &mut OwnedReadHalf,
        server: &mut OwnedWriteHalf,
        asked: &Asked,
    ) -> io::Result<Option<(Bytes, RequestHeader, i16)>> {
        loop {
            let frame = read_frame(client).await?;
            let (mut body, mut front) = (frame.clone(), frame.clone());
            let api = ApiKey::try_from(front.get_i16()).unwrap();
            let version = front.get_i16();
            let header = RequestHeader::decode(&mut body, api.request_header_version(version));
            let header = header.unwrap();
            self.thawed().await;
            if api == ApiKey::EndTxn {
                let end = EndTxnRequest::decode(&mut body, version).unwrap();
                if end.committed && self.is_to_be_parked() {
                    return Ok(Some((frame, header, version)));
                }
            }
            asked.lock().unwrap().insert(header.correlation_id, (api, version));
            write_frame(server, &frame).await?;
        }
    }

    fn is_to_be_parked(&self) -> bool {
        let mut commits = self.commits.lock().unwrap();
        if commits.parked.is_some() {
            commits.passed += 1;
            if commits.passed <= self.park_every {
                return false;
            }
            // Whoever sent it has begun anew instead of sending it again.
            commits.parked = None;
        }
        commits.passed = 0;
        commits.seen += 1;
        self.park_every > 0 && commits.seen.is_multiple_of(self.park_every)
    }

    /// Passes answers back until the broker goes.
    async fn responses(
        &self,
        server: &mut OwnedReadHalf,
        client: &mut OwnedWriteHalf,
        asked: &Asked,
    ) -> io::Result<()> {
        loop {
            let mut frame = read_frame(server).await?;
            let correlation = frame.clone().get_i32();
            let (api, version) = asked.lock().unwrap().remove(&correlation).unwrap();
            match api {
                ApiKey::Metadata => frame = self.with_our_address(frame, version),
                ApiKey::FindCoordinator => frame = self.with_us_as_coordinator(frame, version),
                ApiKey::EndTxn => {
                    if let Some(parked) = &mut self.commits.lock().unwrap().parked {
                        parked.answered = true;
                    }
                }
                ApiKey::Produce => self.release().await?,
                _ => {}
            }
            self.thawed().await;
            write_frame(client, &frame).await?;
        }
    }

    async fn thawed(&self) {
        self.frozen.subscribe().wait_for(|frozen| !frozen).await.unwrap();
    }

    /// Lets the parked commit go, if its client is in its next transaction.
    async fn release(&self) -> io::Result<()> {
        let parked = {
            let mut commits = self.commits.lock().unwrap();
            commits.parked.take_if(|parked| parked.answered)
        };
        let Some(Parked { request, correlation, version, server, .. }) = parked else {
            return Ok(());
        };
        let (mut from_server, mut to_server) = server;
        write_frame(&mut to_server, &request).await?;
        let mut answer = loop {
            let answer = read_frame(&mut from_server).await?;
            if answer.clone().get_i32() == correlation {
                break answer;
            }
        };
        let header_version = ApiKey::EndTxn.response_header_version(version);
        ResponseHeader::decode(&mut answer, header_version).unwrap();
        let answer = EndTxnResponse::decode(&mut answer, version).unwrap();
        self.commits.lock().unwrap().released.push(answer.error_code);
        Ok(())
    }

    fn with_our_address(&self, mut frame: Bytes, version: i16) -> Bytes {
        let header_version = ApiKey::Metadata.response_header_version(version);
        let header = ResponseHeader::decode(&mut frame, header_version).unwrap();
        let mut metadata = MetadataResponse::decode(&mut frame, version).unwrap();
        for broker in &mut metadata.brokers {
            broker.host = StrBytes::from_string(self.address.ip().to_string());
            broker.port = i32::from(self.address.port());
        }
        encode(&header, header_version, |out| metadata.encode(out, version))
    }

    fn with_us_as_coordinator(&self, mut frame: Bytes, version: i16) -> Bytes {
        let header_version = ApiKey::FindCoordinator.response_header_version(version);
        let header = ResponseHeader::decode(&mut frame, header_version).unwrap();
        let mut found = FindCoordinatorResponse::decode(&mut frame, version).unwrap();
        let host = StrBytes::from_string(self.address.ip().to_string());
        let port = i32::from(self.address.port());
        // One where it was not found has no port.
        if found.port > 0 {
            (found.host, found.port) = (host.clone(), port);
        }
        for coordinator in found.coordinators.iter_mut().filter(|c| c.port > 0) {
            (coordinator.host, coordinator.port) = (host.clone(), port);
        }
        encode(&header, header_version, |out| found.encode(out, version))
    }
}

/// Generic over the codec's error, which is not ours to name.
fn encode<E: std::fmt::Debug>(
    header: &ResponseHeader,
    header_version: i16,
    body: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Bytes {
    let mut out = BytesMut::new();
    header.encode(&mut out, header_version).unwrap();
    body(&mut out).unwrap();
    out.freeze()
}

async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Bytes> {
    let length = from.read_i32().await?;
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    from.read_exact(&mut frame).await?;
    Ok(frame.into())
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    let mut out = Vec::with_capacity(frame.len() + 4);
    out.extend(i32::try_from(frame.len()).unwrap().to_be_bytes());
    out.extend(frame);
    to.write_all(&out).await
}
