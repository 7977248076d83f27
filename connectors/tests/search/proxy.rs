//! A proxy in front of OpenSearch that answers, hangs and cuts as a test wants it to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it goes through.
    None,
    /// Answered without being passed on.
    Answer(u16, &'static str),
    /// Never answered.
    Hang,
    /// The connection ends before anything is passed on.
    CutBefore,
    /// Half of the request is passed on, then both connections end.
    CutRequest,
    /// All of it is passed on and done, and half of the answer comes back.
    CutAnswer,
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    /// `host:port`
    upstream: String,
    /// Requests are hit whose path holds this.
    hits: &'static str,
    faults: Mutex<VecDeque<Fault>>,
    /// `Basic …`; other requests are answered with 401.
    password: Option<String>,
}

impl Proxy {
    /// The faults come one for each request whose path holds `hits`; afterwards all goes through.
    pub(crate) async fn start(upstream: &str, hits: &'static str, faults: &[Fault]) -> Self {
        Self::guarded(upstream, hits, faults, None).await
    }

    pub(crate) async fn guarded(
        upstream: &str,
        hits: &'static str,
        faults: &[Fault],
        password: Option<String>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            upstream: upstream.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            hits,
            faults: Mutex::new(faults.iter().cloned().collect()),
            password,
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (caller, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                // A cut is an error here, and no failure of the test.
                tokio::spawn(async move { shared.serve(caller).await.ok() });
            }
        });
        Self { url, shared, task }
    }

    /// Faults that have not come yet.
    pub(crate) fn left(&self) -> usize {
        self.shared.faults.lock().unwrap().len()
    }

    pub(crate) fn then(&self, fault: Fault) {
        self.shared.faults.lock().unwrap().push_back(fault);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// One request and its answer; every connection has one.
    async fn serve(&self, mut caller: TcpStream) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let body_at = loop {
            if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            if caller.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..body_at]).into_owned();
        let field = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(name))?;
            line.split_once(": ").map(|(_, value)| value.to_owned())
        };
        let length: usize = field("content-length:").map_or(0, |text| text.parse().unwrap());
        while bytes.len() < body_at + length {
            if caller.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        if self.password.is_some() && field("authorization:") != self.password {
            return answer(&mut caller, 401, "Unauthorized").await;
        }
        let is_hit = head.lines().next().is_some_and(|line| line.contains(self.hits));
        let fault = if is_hit { self.faults.lock().unwrap().pop_front() } else { None };
        let fault = fault.unwrap_or(Fault::None);
        match fault {
            Fault::Answer(status, body) => return answer(&mut caller, status, body).await,
            Fault::Hang => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                return Ok(());
            }
            Fault::CutBefore => return Ok(()),
            Fault::None | Fault::CutRequest | Fault::CutAnswer => {}
        }
        let mut server = TcpStream::connect(&self.upstream).await?;
        let line = head.lines().next().unwrap_or_default().len() + 2;
        server.write_all(&bytes[..line]).await?;
        server.write_all(b"Connection: close\r\n").await?;
        let rest = &bytes[line..];
        if fault == Fault::CutRequest {
            return server.write_all(&rest[..rest.len() - length / 2 - 1]).await;
        }
        server.write_all(rest).await?;
        let mut said = Vec::new();
        server.read_to_end(&mut said).await?;
        let end = if fault == Fault::CutAnswer { said.len() / 2 } else { said.len() };
        caller.write_all(&said[..end]).await
    }
}

async fn answer(caller: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    caller.write_all(head.as_bytes()).await?;
    caller.write_all(body.as_bytes()).await
}
