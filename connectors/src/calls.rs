//! What is asked of a service, counted when it is answered.

use engine::{Metrics, Reply, Service, Trouble};
use std::time::Instant;

/// The words of services that a quota or a rate is used up.
const THROTTLED: [&str; 4] = ["detector_full", "detector_busy", "store_busy", "index_busy"];

/// Counts requests to one service, where somebody wants to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Option<(Metrics, Service)>);

impl Calls {
    pub(crate) fn to(service: Service, metrics: &Metrics) -> Self {
        Self(Some((metrics.clone(), service)))
    }

    pub(crate) async fn count<T>(
        &self,
        operation: &'static str,
        asked: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        // What nobody waits for any longer did not answer.
        let mut call = Call { of: self, operation, since: Instant::now(), reply: Reply::Transient };
        let answer = asked.await;
        call.reply = answer.as_ref().err().map_or(Reply::Ok, reply);
        answer
    }
}

/// Counted when it ends, however it ends.
struct Call<'a> {
    of: &'a Calls,
    operation: &'static str,
    since: Instant,
    reply: Reply,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some((metrics, service)) = &self.of.0 {
            metrics.count_answer(*service, self.operation, self.reply, self.since.elapsed());
        }
    }
}

fn reply(trouble: &Trouble) -> Reply {
    match trouble {
        Trouble::Refused(_) => Reply::Refused,
        Trouble::Transient { reason, .. } if THROTTLED.contains(reason) => Reply::Throttled,
        Trouble::Transient { .. } => Reply::Transient,
        Trouble::Fatal(_) => Reply::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn every_answer_is_counted_by_whose_fault_it_is() {
        let metrics = Metrics::new().unwrap();
        let calls = Calls::to(Service::Detector, &metrics);
        let answers = [
            (Ok(()), "ok"),
            (Err(Trouble::poison("missing_object", "gone")), "refused"),
            (Err(Trouble::away("detector_full", "20 jobs are open")), "throttled"),
            (Err(Trouble::away("detector_unreachable", "refused")), "transient"),
            (Err(Trouble::fatal("wrong keys")), "fatal"),
        ];
        for (answer, outcome) in answers {
            assert_eq!(calls.count("start", async { answer.clone() }).await, answer);
            let line = format!(
                "reelmill_requests_total{{operation=\"start\",outcome=\"{outcome}\",service=\"detector\"}} 1"
            );
            assert!(metrics.gather().contains(&line), "{line} is not in\n{}", metrics.gather());
        }
        let hanging = calls.count("hang", std::future::pending::<Result<(), Trouble>>());
        assert!(tokio::time::timeout(Duration::from_millis(1), hanging).await.is_err());
        let line =
            r#"reelmill_requests_total{operation="hang",outcome="transient",service="detector"} 1"#;
        assert!(metrics.gather().contains(line), "{}", metrics.gather());
        Calls::default().count("start", async { Ok(()) }).await.unwrap();
    }
}
