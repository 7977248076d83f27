//! What is done in a process of its own.

use media::{Limits, MediaError};
use serde::{Serialize, de::DeserializeOwned};

/// A function over the files of one directory; its input and output travel as JSON.
pub trait Work: Serialize + DeserializeOwned + Send + 'static {
    /// Its name, for the helper and for the log.
    const NAME: &'static str;
    /// What it answers.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Loads what the fence would not let through, such as a shared library. No byte of footage
    /// may be read here.
    ///
    /// # Errors
    /// Whatever keeps the work from starting; never the footage's fault.
    fn prepare(&self) -> Result<(), MediaError> {
        Ok(())
    }

    /// Does the work.
    ///
    /// # Errors
    /// Those of [`media`].
    fn run(self, limits: &Limits) -> Result<Self::Output, MediaError>;
}
