//! What machines that watch are told of a process.

use api::{Answered, Health, Unready};
use engine::Metrics;
use std::{path::PathBuf, sync::Arc};

/// Figures and readiness. `data`, where the process has such a directory, is the place whose disk is
/// measured whenever the figures are asked for.
pub fn health(
    metrics: &Metrics,
    data: Option<PathBuf>,
    readiness: Arc<dyn Fn() -> Vec<Unready> + Send + Sync>,
) -> Health {
    let (told, counted) = (metrics.clone(), metrics.clone());
    Health {
        metrics: Arc::new(move || {
            if let Some(disk) = data.as_ref().and_then(|data| rustix::fs::statvfs(data).ok()) {
                let block = disk.f_frsize;
                told.set_disk("data", disk.f_bavail * block, disk.f_blocks * block);
            }
            told.gather()
        }),
        readiness,
        answered: Arc::new(move |Answered { method, route, status, took }: &Answered<'_>| {
            counted.count_request(method, route, *status, *took);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_page_tells_of_the_disk_and_of_requests() {
        let metrics = Metrics::new().unwrap();
        let place = tempfile::tempdir().unwrap();
        let health = health(&metrics, Some(place.path().to_owned()), Arc::new(Vec::new));
        let request =
            Answered { method: "GET", route: "/", status: 404, took: Duration::from_millis(3) };
        (health.answered)(&request);
        let page = (health.metrics)();
        let figure = |name: &str| {
            let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.rsplit(' ').next().and_then(|figure| figure.parse::<f64>().ok()).unwrap_or(0.0)
        };
        let free = figure("reelmill_filesystem_free_bytes{place=\"data\"}");
        let size = figure("reelmill_filesystem_size_bytes{place=\"data\"}");
        assert!(free > 0.0 && size >= free, "{page}");
        let request = "reelmill_http_requests_total{method=\"GET\",route=\"/\",status=\"404\"}";
        assert_eq!(figure(request), 1.0);
    }
}
