//! The body of an upload as a stream that says honestly how it ended.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use ports::Trouble;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Why a body ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Empty,
    /// The client went away, or sent less than it declared.
    CutOff(String),
    /// Nothing came for this long.
    Silent(Duration),
    Stopping,
}

/// What is needed to read a body.
#[derive(Debug)]
pub(crate) struct Terms {
    /// `Content-Length`, where the client gave one.
    pub(crate) declared: Option<u64>,
    pub(crate) max_silence: Duration,
    pub(crate) stopping: CancellationToken,
}

/// A body of at least one byte.
pub(crate) struct Footage {
    /// Ends with an error unless the whole body came, so that a cut-off one is never stored.
    pub(crate) stream: BoxStream<'static, Result<Bytes, Trouble>>,
    /// Set when the stream ended with an error of the body's.
    pub(crate) fault: Arc<OnceLock<Fault>>,
}

/// Waits for the first bytes of a body.
pub(crate) async fn open(body: Body, terms: Terms) -> Result<Footage, Fault> {
    let mut reader = Reader { chunks: body.into_data_stream(), received: 0, terms };
    let first = reader.next().await?.ok_or(Fault::Empty)?;
    let fault = Arc::new(OnceLock::new());
    let seen = Arc::clone(&fault);
    let rest = stream::unfold(Some(reader), move |reader| {
        let seen = Arc::clone(&seen);
        async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(chunk) => chunk.map(|chunk| (Ok(chunk), Some(reader))),
                Err(fault) => {
                    let trouble = Trouble::poison("upload_cut_off", format!("{fault:?}"));
                    seen.get_or_init(|| fault);
                    Some((Err(trouble), None))
                }
            }
        }
    });
    Ok(Footage { stream: stream::once(async { Ok(first) }).chain(rest).boxed(), fault })
}

struct Reader {
    chunks: BodyDataStream,
    received: u64,
    terms: Terms,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let chunk = tokio::select! {
                () = self.terms.stopping.cancelled() => return Err(Fault::Stopping),
                chunk = timeout(self.terms.max_silence, self.chunks.next()) => {
                    chunk.map_err(|_| Fault::Silent(self.terms.max_silence))?
                }
            };
            match chunk {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    self.received += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => return Err(Fault::CutOff(error.to_string())),
                // A connection that is torn down can look like an end.
                None => match self.terms.declared {
                    Some(declared) if declared != self.received => {
                        let received = self.received;
                        return Err(Fault::CutOff(format!("{received} of {declared} bytes came")));
                    }
                    _ => return Ok(None),
                },
            }
        }
    }
}
