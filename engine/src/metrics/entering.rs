//! How a metric comes by its name, and how the names are known.

use crate::Fatal;
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::Collector,
};
use std::{cell::RefCell, collections::BTreeSet};

/// Enters metrics into a registry, and keeps their names: there are no others.
pub(super) struct Entering {
    registry: Registry,
    names: RefCell<BTreeSet<String>>,
}

impl Entering {
    pub(super) fn into(registry: Registry) -> Self {
        Self { registry, names: RefCell::default() }
    }

    pub(super) fn names(self) -> BTreeSet<String> {
        self.names.into_inner()
    }

    pub(super) fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Fatal> {
        self.enter(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// One that counts more than whole numbers.
    pub(super) fn sum(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, Fatal> {
        self.enter(CounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Fatal> {
        self.enter(GaugeVec::new(Opts::new(name, help), labels))
    }

    /// A gauge of whole numbers.
    pub(super) fn level(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, Fatal> {
        self.enter(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, Fatal> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.enter(HistogramVec::new(opts, labels))
    }

    fn enter<C: Collector + Clone + 'static>(
        &self,
        collector: prometheus::Result<C>,
    ) -> Result<C, Fatal> {
        let collector = collector.map_err(untaken)?;
        self.take(collector.clone())?;
        Ok(collector)
    }

    /// Somebody else's metrics, under the names that they bring.
    pub(super) fn take(&self, collector: impl Collector + 'static) -> Result<(), Fatal> {
        let names = collector.desc().into_iter().map(|described| described.fq_name.clone());
        self.names.borrow_mut().extend(names);
        self.registry.register(Box::new(collector)).map_err(untaken)
    }
}

fn untaken(error: prometheus::Error) -> Fatal {
    Fatal(format!("metric cannot be registered: {error}"))
}
