//! Too many different values: a count of distinct values, told in the words of its own limit.

use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Facts, Symbol};
use crate::core::rule::condition::Condition;
use crate::core::rule::frequency::{Frequency, FrequencyWatch};
use crate::core::rule::table::Watch;
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

use super::Cardinality;

/// The state of a rule with `above` in one shard.
#[derive(Debug)]
pub struct AboveWatch(FrequencyWatch);

impl AboveWatch {
    pub fn new(settings: &Cardinality, grace: Span, lateness: Span) -> Self {
        let counted = Frequency {
            count: Condition::Always,
            at_least: Some(settings.limit.plus_one()),
            at_most: None,
            window: settings.window,
            distinct: Some(settings.field),
            unless: None,
            reset: false,
        };
        Self(FrequencyWatch::new(counted, grace, lateness))
    }
}

impl Watch for AboveWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        let before = out.len();
        self.0.observe(subject, starts, event, moment, out);
        for judged in out.iter_mut().skip(before) {
            if let Verdict::Found { evidence, .. } = &mut judged.verdict {
                // More than N is at least one more than that.
                evidence.limit -= 1.0;
            }
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.0.next_due()
    }

    fn advance(&mut self, moment: Moment, out: &mut Vec<Judged>) {
        self.0.advance(moment, out);
    }

    fn sweep(&mut self, moment: Moment) {
        self.0.sweep(moment);
    }

    fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.0.facts(subject)
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.0.drain_changes(sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        self.0.restore(key, value)
    }

    fn subjects(&self) -> usize {
        self.0.subjects()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn given_up(&self) -> u64 {
        self.0.given_up()
    }
}
