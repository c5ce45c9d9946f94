//! What is told of changes of the rules.

use std::time::Duration;

use prometheus::{GaugeVec, IntCounter, IntGauge};

use super::families::{Maker, set_seconds};
use crate::core::time::Time;

#[derive(Debug)]
pub struct Reloads {
    successful: IntGauge,
    succeeded_at: IntGauge,
    failed: IntCounter,
    warming: IntGauge,
    pause: GaugeVec,
    longest_pause: GaugeVec,
}

impl Reloads {
    pub fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            successful: make.gauge(
                "forewarn_config_last_reload_successful",
                "Whether the last attempt to load the rules succeeded; if not, the ones before it go on.",
            )?,
            succeeded_at: make.gauge(
                "forewarn_config_last_reload_success_timestamp_seconds",
                "When the rules were last loaded with success.",
            )?,
            failed: make
                .counter("forewarn_reloads_failed_total", "Attempts to load the rules that failed.")?,
            warming: make.gauge(
                "forewarn_rules_warming",
                "Rules that are not heard yet because their history is read or begins too late.",
            )?,
            pause: make.seconds(
                "forewarn_reload_pause_seconds",
                "How long the last change of the rules stopped reading.",
            )?,
            longest_pause: make.seconds(
                "forewarn_reload_longest_pause_seconds",
                "How long a change of the rules has stopped reading at most.",
            )?,
        })
    }

    pub fn note(&self, succeeded: bool, now: Time) {
        self.successful.set(i64::from(succeeded));
        if succeeded {
            self.succeeded_at.set(now.as_millis().div_euclid(1_000));
        } else {
            self.failed.inc();
        }
    }

    pub fn set(&self, warming: usize, last: Option<Duration>, longest: Duration) {
        self.warming.set(warming as i64);
        set_seconds(&self.longest_pause, longest);
        if let Some(last) = last {
            set_seconds(&self.pause, last);
        }
    }
}
