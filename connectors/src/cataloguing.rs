//! Writes what the events say into the catalogue, whichever database keeps it.

use engine::{Connector, Trouble};
use processors::catalog::RecordFacts;
use std::sync::Arc;

/// The connector of `catalog`.
#[derive(Debug, Clone)]
pub struct Cataloguing {
    pub catalog: Arc<dyn ports::Catalog>,
}

impl Connector<RecordFacts> for Cataloguing {
    async fn perform(&self, effect: &RecordFacts) -> Result<(), Trouble> {
        self.catalog.record(&effect.facts).await
    }
}
