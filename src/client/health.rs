//! `reelmill health`: whether a part can work, for those who look after containers.

use super::{Out, error::ClientError, http::Client};

/// Asks a mill, a processor, an API or a detector.
///
/// # Errors
/// Where it does not answer, or says what it lacks.
pub async fn health(client: &Client, out: Out<'_>) -> Result<(), ClientError> {
    client.send(client.get(&["readyz"])).await?;
    writeln!(out, "ready")?;
    Ok(())
}
