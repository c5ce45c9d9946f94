//! Makes families of metrics and registers them.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    Result,
};

pub(super) struct Maker<'r> {
    registry: &'r Registry,
}

impl<'r> Maker<'r> {
    pub(super) const fn new(registry: &'r Registry) -> Self {
        Self { registry }
    }

    fn register<C: Collector + Clone + 'static>(&self, family: C) -> Result<C> {
        self.registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(IntCounter::with_opts(Opts::new(name, help))?)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::with_opts(Opts::new(name, help))?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge of seconds that has no series until it is set, since zero would be a claim.
    pub(super) fn seconds(&self, name: &str, help: &str) -> Result<GaugeVec> {
        self.register(GaugeVec::new(Opts::new(name, help), &[])?)
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options)?)
    }
}

pub(super) fn set_seconds(gauge: &GaugeVec, value: Duration) {
    gauge.with_label_values::<&str>(&[]).set(value.as_secs_f64());
}
