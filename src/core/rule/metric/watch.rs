//! `metric` at work: which events are samples, and what begins and ends.

use rust_decimal::Decimal;

use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Facts, Field, Symbol, TextSet};
use crate::core::rule::samples::SampleWatch;
use crate::core::rule::samples::judge::{Change, Measure};
use crate::core::rule::samples::series::{OPEN, Sample};
use crate::core::rule::table::Watch;
use crate::core::rule::verdict::{Judged, Moment};
use crate::core::time::{Span, Time};

use super::measure::{MetricMeasure, sample_of};
use super::pairs::{Pairs, Step};
use super::{Metric, Sampled};

const SUBJECT: u8 = b's';
const BEGUN: u8 = b'b';
const END: u8 = b'e';

/// The state of a metric rule in one shard.
#[derive(Debug)]
pub struct MetricWatch {
    settings: Metric,
    field: Option<Field>,
    samples: SampleWatch<MetricMeasure>,
    pairs: Pairs,
}

impl MetricWatch {
    pub fn new(settings: Metric, grace: Span, lateness: Span) -> Self {
        let field = match settings.of {
            Sampled::Field(field) => Some(field),
            Sampled::Events | Sampled::Pair(_) => None,
        };
        Self {
            samples: SampleWatch::new(MetricMeasure::new(&settings), grace),
            pairs: Pairs::new(settings.window, lateness),
            settings,
            field,
        }
    }

    /// See [`SampleWatch::keeping`].
    #[must_use]
    pub fn keeping(mut self, kept: TextSet) -> Self {
        self.samples = self.samples.keeping(kept);
        self
    }

    fn observe_pair(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        let Some(pair) = self.settings.pair() else { return };
        let key = event.symbol(pair.key);
        if key == Symbol::MISSING {
            return;
        }
        let starts = starts && subject != Symbol::MISSING && !moment.late && pair.start.holds(event);
        if pair.end.holds(event) {
            let step = self.pairs.end(key, event.time, moment.settled);
            self.apply(subject, step, event, moment, out);
        }
        if starts {
            let step = self.pairs.start(key, subject, event.time);
            self.apply(subject, step, event, moment, out);
        }
    }

    fn apply(
        &mut self,
        subject: Symbol,
        step: Step,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        match step {
            Step::New { start, end } => {
                self.samples.take(subject, length(start, end), event, moment, out);
            }
            Step::Earlier { old: (old, old_end), start, end } => {
                let old = Sample { time: old, value: length(old, old_end) };
                let new = Sample { time: start, value: length(start, end) };
                self.samples.amend(subject, start, moment, out, None, |measure, watched| {
                    watched.series.move_back(measure.shape(), old, new);
                });
            }
            Step::Ends { subject, start, old, end } => {
                let (old, new) = (length(start, old), length(start, end));
                let change = Change { time: start, old: Some(old), new };
                self.samples.amend(subject, end, moment, out, Some(change), |measure, watched| {
                    watched.series.replace(measure.shape(), start, old, new);
                });
            }
            Step::Nothing => {}
        }
    }
}

/// How long something took, in milliseconds.
fn length(start: Time, end: Time) -> Decimal {
    if end == Time::MAX { OPEN } else { Decimal::from(end.since(start).as_millis()) }
}

impl Watch for MetricWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        if self.settings.pair().is_some() {
            self.observe_pair(subject, starts, event, moment, out);
            return;
        }
        if !starts || moment.late {
            return;
        }
        if let Some(value) = sample_of(self.field, event) {
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
        self.pairs.sweep(moment.settled);
    }

    fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.samples.facts(subject)
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.samples.drain_changes(SUBJECT, &mut *sink);
        self.pairs.drain_changes((BEGUN, END), sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&SUBJECT, key)) => self.samples.restore(key, value),
            Some((&BEGUN, key)) => self.pairs.restore_begun(key, value),
            Some((&END, key)) => self.pairs.restore_end(key, value),
            _ => Err(CorruptState),
        }
    }

    fn subjects(&self) -> usize {
        self.samples.subjects()
    }

    fn bytes(&self) -> usize {
        self.samples.bytes() + self.pairs.bytes()
    }

    fn given_up(&self) -> u64 {
        self.samples.given_up() + self.pairs.given_up()
    }
}
