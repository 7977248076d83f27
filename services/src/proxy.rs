//! A proxy in front of a service that speaks HTTP: it answers, hangs and cuts as a test wants it to.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
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

/// A fault that goes on: it hits some of the requests for as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weather {
    pub fault: Fault,
    /// Of a hundred requests so many are hit, in an even pattern.
    pub percent: usize,
}

/// Stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// `host:port`
    upstream: String,
    /// Requests are hit whose path holds this.
    hits: &'static str,
    faults: Mutex<VecDeque<Fault>>,
    weather: watch::Sender<Option<Weather>>,
    /// Requests that have come while there was weather, and those it has hit.
    met: AtomicUsize,
    hit: AtomicUsize,
    /// `Basic …`; other requests are answered with 401.
    password: Option<String>,
}

impl Proxy {
    /// The faults come one for each request whose path holds `hits`; afterwards all goes through.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(upstream: &str, hits: &'static str, faults: &[Fault]) -> io::Result<Self> {
        Self::guarded(upstream, hits, faults, None).await
    }

    /// The same, with a password.
    ///
    /// # Errors
    /// No port is free.
    pub async fn guarded(
        upstream: &str,
        hits: &'static str,
        faults: &[Fault],
        password: Option<String>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            upstream: upstream.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            hits,
            faults: Mutex::new(faults.iter().cloned().collect()),
            weather: watch::Sender::new(None),
            met: AtomicUsize::new(0),
            hit: AtomicUsize::new(0),
            password,
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let Ok((caller, _)) = listener.accept().await else { continue };
                let shared = Arc::clone(&serving);
                // A cut is an error here, and no failure of the test.
                tokio::spawn(async move { shared.serve(caller).await.ok() });
            }
        });
        Ok(Self { url, shared, task })
    }

    /// Faults that have not come yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.shared.faults().len()
    }

    pub fn then(&self, fault: Fault) {
        self.shared.faults().push_back(fault);
    }

    /// What happens from now on to requests for which no single fault is left. Requests that hang
    /// in the old weather are cut off.
    pub fn weather(&self, weather: Option<Weather>) {
        self.shared.weather.send_replace(weather);
    }

    /// Requests that bad weather has hit so far.
    #[must_use]
    pub fn hit(&self) -> usize {
        self.shared.hit.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the weather does to this request.
    fn struck(&self) -> Fault {
        let Some(Weather { fault, percent }) = self.weather.borrow().clone() else {
            return Fault::None;
        };
        let met = self.met.fetch_add(1, Ordering::Relaxed);
        // Hits are spread evenly: the n-th comes when n in a hundred have been met.
        if (met + 1) * percent / 100 == met * percent / 100 {
            return Fault::None;
        }
        self.hit.fetch_add(1, Ordering::Relaxed);
        fault
    }

    /// One request and its answer; every connection has one.
    async fn serve(&self, mut caller: TcpStream) -> io::Result<()> {
        let mut weather = self.weather.subscribe();
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
        let length: usize =
            field("content-length:").and_then(|text| text.parse().ok()).unwrap_or(0);
        while bytes.len() < body_at + length {
            if caller.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        if self.password.is_some() && field("authorization:") != self.password {
            return answer(&mut caller, 401, "Unauthorized").await;
        }
        let is_hit = head.lines().next().is_some_and(|line| line.contains(self.hits));
        let fault = if is_hit { self.faults().pop_front() } else { None };
        let fault = fault.unwrap_or_else(|| self.struck());
        match fault {
            Fault::Answer(status, body) => return answer(&mut caller, status, body).await,
            Fault::Hang => {
                // Until the caller has enough, or the weather changes.
                tokio::select! {
                    _ = caller.read_u8() => {}
                    _ = weather.changed() => {}
                }
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

async fn answer(caller: &mut TcpStream, status: u16, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    caller.write_all(head.as_bytes()).await?;
    caller.write_all(body.as_bytes()).await
}
