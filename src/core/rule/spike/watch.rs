//! `spike` at work: which events are compared.

use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Facts, Symbol, TextSet};
use crate::core::rule::metric::sample_of;
use crate::core::rule::samples::SampleWatch;
use crate::core::rule::table::Watch;
use crate::core::rule::verdict::{Judged, Moment};
use crate::core::time::{Span, Time};

use super::Spike;
use super::measure::SpikeMeasure;

const SUBJECT: u8 = b's';

/// The state of a spike rule in one shard.
#[derive(Debug)]
pub struct SpikeWatch {
    settings: Spike,
    samples: SampleWatch<SpikeMeasure>,
}

impl SpikeWatch {
    pub fn new(settings: Spike, grace: Span, _lateness: Span) -> Self {
        Self { samples: SampleWatch::new(SpikeMeasure::new(&settings), grace), settings }
    }

    /// See [`SampleWatch::keeping`].
    #[must_use]
    pub fn keeping(mut self, kept: TextSet) -> Self {
        self.samples = self.samples.keeping(kept);
        self
    }
}

impl Watch for SpikeWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        if !starts || moment.late || !self.settings.count.holds(event) {
            return;
        }
        if let Some(value) = sample_of(self.settings.field, event) {
            self.samples.take(subject, value, event, moment, out);
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.samples.next_due()
    }

    fn advance(&mut self, moment: Moment, out: &mut Vec<Judged>) {
        self.samples.advance(moment, out);
    }

    fn sweep(&mut self, moment: Moment) {
        self.samples.sweep(moment);
    }

    fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.samples.facts(subject)
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.samples.drain_changes(SUBJECT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&SUBJECT, key)) => self.samples.restore(key, value),
            _ => Err(CorruptState),
        }
    }

    fn subjects(&self) -> usize {
        self.samples.subjects()
    }

    fn bytes(&self) -> usize {
        self.samples.bytes()
    }

    fn given_up(&self) -> u64 {
        self.samples.given_up()
    }
}
