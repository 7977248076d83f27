//! What a person who looks for a fault asks of the index. Nothing is made or changed.

use super::{OpenSearch, OpenSearchConfig, layout::LAYOUT};
use ports::Trouble;
use serde_json::Value;

/// An index as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The index behind the alias; its layout is ours.
    pub index: Option<String>,
    /// Whether the template is there, and ours.
    pub has_template: bool,
    /// Whether nothing may be written.
    pub is_blocked: bool,
    /// `green`, `yellow` or `red`.
    pub health: String,
}

impl OpenSearch {
    /// Looks at server, alias, layout and template.
    ///
    /// # Errors
    /// As [`OpenSearch::open`], but for what it would make or change.
    pub async fn look(config: &OpenSearchConfig) -> Result<Looked, Trouble> {
        let layout = Self::client(config)?.layout;
        layout.check_server().await?;
        let index = layout.current().await?;
        let mut is_blocked = false;
        if let Some(index) = &index {
            layout.check_layout(index).await?;
            let settings = layout.client.get(&format!("/{index}/_settings")).await;
            let settings = settings.map_err(|problem| layout.blame(&problem))?;
            let blocks = settings.get(index).and_then(|i| i.pointer("/settings/index/blocks"));
            let blocks = blocks.and_then(Value::as_object).into_iter().flatten();
            is_blocked = blocks.into_iter().any(|(_, on)| *on == "true" || *on == true);
        }
        let path = format!("/_index_template/{}-v{LAYOUT}", layout.alias);
        let has_template = match layout.client.get(&path).await {
            Ok(found) => {
                let made = found.pointer("/index_templates/0/index_template/_meta/layout");
                made.and_then(Value::as_u64) == Some(LAYOUT)
            }
            Err(problem) if problem.status() == Some(404) => false,
            Err(problem) => return Err(layout.blame(&problem)),
        };
        let health = layout.client.get("/_cluster/health").await;
        let health = health.map_err(|problem| layout.blame(&problem))?;
        let health = health.get("status").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        Ok(Looked { index, has_template, is_blocked, health })
    }
}
