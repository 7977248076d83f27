//! What machines that watch are told of a process.

use api::{Answered, Health, Unready};
use engine::Metrics;
use std::{path::PathBuf, sync::Arc};

/// Looks at something whenever the figures are asked for.
pub type Look = Box<dyn Fn(&Metrics) + Send + Sync>;

/// The disk of `data`.
#[must_use]
pub fn disk_of(data: PathBuf) -> Look {
    Box::new(move |metrics| {
        if let Ok(disk) = rustix::fs::statvfs(&data) {
            let block = disk.f_frsize;
            metrics.set_disk("data", disk.f_bavail * block, disk.f_blocks * block);
        }
    })
}

/// The page of figures, each time with what the looks have found.
#[must_use]
pub fn page(metrics: &Metrics, looks: Vec<Look>) -> Arc<dyn Fn() -> String + Send + Sync> {
    let metrics = metrics.clone();
    Arc::new(move || {
        looks.iter().for_each(|look| look(&metrics));
        metrics.gather()
    })
}

/// Figures and readiness.
pub fn health(
    metrics: &Metrics,
    looks: Vec<Look>,
    readiness: Arc<dyn Fn() -> Vec<Unready> + Send + Sync>,
) -> Health {
    let counted = metrics.clone();
    Health {
        metrics: page(metrics, looks),
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
        let health = health(&metrics, vec![disk_of(place.path().to_owned())], Arc::new(Vec::new));
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
