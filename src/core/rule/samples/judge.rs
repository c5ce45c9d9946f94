//! How the condition of one subject is judged when an event comes and when time passes: what is found, what proves untrue,
//! and when it has ended.

use rust_decimal::Decimal;

use crate::core::event::{Event, Symbol};
use crate::core::rule::verdict::{Evidence, Moment, Verdict};
use crate::core::time::{Span, Time};

use super::series::Shape;
use super::walk::{Go, Point, Walk};
use super::watched::Watched;

/// A sample that came, or got another value.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub time: Time,
    pub old: Option<Decimal>,
    pub new: Decimal,
}

/// A condition over the samples of a subject.
pub trait Measure: Send + std::fmt::Debug {
    fn shape(&self) -> &Shape;

    /// After which spans a sample leaves one of the windows, in order; the last is how long it concerns the rule at all.
    fn leaves(&self) -> &[Span];

    /// Whether the condition can become true because a sample leaves.
    fn turns(&self) -> bool;

    /// Whether it can change by the mere passing of time. Between two moments at which anything comes or goes it does so
    /// once at most.
    fn drifts(&self) -> bool;

    /// Whether the change of a sample can make a condition that is not true turn true sooner, without another event, than at
    /// `until`, as it would have without the change.
    fn hastens(&self, _watched: &Watched, _change: &Change, _until: Time) -> bool {
        true
    }

    /// Up to when the condition surely does not become true without an event, if nothing leaves its windows after `from`.
    fn surely_quiet_until(&mut self, _watched: &mut Watched, _from: Time) -> Option<Time> {
        None
    }

    /// Whether an end that was reached like this shows that all is well.
    fn recovers(&self, reading: &Reading, by_event: bool) -> bool;

    /// What the subject's limit depends on.
    fn limit_of(&self, event: &Event<'_>) -> Symbol;

    /// Whether the condition is true at a moment.
    fn read(&mut self, watched: &mut Watched, time: Time) -> Reading;
}

/// What a condition came to at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    pub holds: bool,
    pub evidence: Evidence,
}

#[derive(Debug)]
pub struct Judge<M> {
    pub measure: M,
    walk: Walk,
    found: Vec<(Time, Evidence)>,
}

impl<M: Measure> Judge<M> {
    pub fn new(measure: M) -> Self {
        Self { measure, walk: Walk::default(), found: Vec::new() }
    }

    /// Whether a subject must be looked at when something leaves or grows though it is not known to be in trouble.
    pub fn is_restless(&self) -> bool {
        self.measure.turns() || self.measure.drifts()
    }

    /// Judges what an event at `time` concerns. `counts`: it is a sample of its own.
    pub fn arrived(
        &mut self,
        watched: &mut Watched,
        time: Time,
        counts: bool,
        moment: Moment,
        mut say: impl FnMut(Verdict),
    ) {
        let last = watched.last_found();
        if counts && watched.is_firing() && time > last && time == watched.series.newest() {
            // A stretch may have ended before this event without any moment for saying so.
            let before = time - Span::from_millis(1);
            self.end(watched, (last, before), before, &mut say);
        }
        let folded = watched.series.folded();
        let after = (time - Span::from_millis(1)).max(moment.settled - Span::from_millis(1));
        self.rejudge(watched, after.max(folded), counts.then_some(time), &mut say);
        if counts && time <= folded && time == watched.series.newest() {
            // Nothing but buckets is left; the present is judged all the same.
            self.judge_present(watched, time, &mut say);
        }
        self.settle(watched, time, moment.settled, &mut say);
    }

    /// Judges what left or grew up to `until`.
    pub fn passed(&mut self, watched: &mut Watched, until: Time, mut say: impl FnMut(Verdict)) {
        let before = watched.swept;
        watched.swept = before.max(until);
        if self.is_restless() {
            let Self { measure, walk, found } = self;
            found.clear();
            walk.visit(measure, watched, (before, watched.swept), |point, reading| {
                if reading.holds && !point.is_event {
                    found.push((point.time, reading.evidence));
                }
                Go::On
            });
            for (since, evidence) in found.drain(..) {
                watched.note_found(since);
                say(Verdict::Found { since, evidence });
            }
        }
        if watched.is_firing() {
            // What lies before was judged already.
            let last = watched.last_found().max(before);
            let quiet_until = watched.swept.max(watched.series.newest());
            self.end(watched, (last, quiet_until), watched.swept, &mut say);
        }
    }

    /// The moment to look at the subject again without an event.
    pub fn next_quiet(&mut self, watched: &mut Watched) -> Time {
        if !self.is_restless() {
            if !watched.is_firing() {
                return Time::MAX;
            }
            // Before that it was found true at events only.
            watched.swept = watched.swept.max(watched.last_found());
        }
        let from = watched.swept;
        self.walk.next_quiet(&mut self.measure, watched, from)
    }

    fn judge_present(&mut self, watched: &mut Watched, time: Time, say: &mut impl FnMut(Verdict)) {
        let reading = self.measure.read(watched, time);
        if reading.holds {
            watched.note_found(time);
            say(Verdict::Found { since: time, evidence: reading.evidence });
        }
    }

    /// Compares what is true after a moment with what was found true there.
    fn rejudge(
        &mut self,
        watched: &mut Watched,
        after: Time,
        here: Option<Time>,
        say: &mut impl FnMut(Verdict),
    ) {
        let Self { measure, walk, found } = self;
        found.clear();
        let restless = measure.turns() || measure.drifts();
        let quiet_until = if restless { watched.swept } else { Time::MIN };
        walk.visit(measure, watched, (after, quiet_until), |point, reading| {
            if reading.holds {
                found.push((point.time, reading.evidence));
            }
            Go::On
        });
        let old: Vec<Time> = watched
            .said
            .iter()
            .flat_map(|said| said.found.iter().copied().filter(|time| *time > after))
            .collect();
        for (since, evidence) in found.iter().copied() {
            if old.binary_search(&since).is_err() || here == Some(since) {
                watched.note_found(since);
                say(Verdict::Found { since, evidence });
            }
        }
        for since in old {
            if found.binary_search_by_key(&since, |(time, _)| *time).is_err() {
                if let Some(said) = &mut watched.said {
                    said.found.retain(|time| *time != since);
                }
                say(Verdict::Withdrawn { since });
            }
        }
    }

    /// Whether what was found has ended by now.
    fn settle(&mut self, watched: &mut Watched, here: Time, settled: Time, say: &mut impl FnMut(Verdict)) {
        let Some(said) = watched.said.as_ref().filter(|said| said.firing) else { return };
        let (last, over) = (watched.last_found(), said.over);
        if last > Time::MIN && (last >= settled || last >= over.0) {
            self.end(watched, (last, watched.swept.max(watched.series.newest())), watched.swept, say);
            return;
        }
        // Of this stretch nothing stands.
        let (at, healthy) = if over.0 >= settled { over } else { (here, false) };
        watched.stop(at, healthy);
        say(Verdict::Cleared { at, healthy });
    }

    /// Says that a stretch is over if there is a moment after its last finding at which the condition is false: an event
    /// shows that at once, what merely left or grew does so up to `judged`.
    fn end(
        &mut self,
        watched: &mut Watched,
        span: (Time, Time),
        judged: Time,
        say: &mut impl FnMut(Verdict),
    ) {
        let mut ended = None;
        self.walk.visit(&mut self.measure, watched, span, |point, reading| {
            if reading.holds {
                return Go::On;
            }
            ended = Some((point, reading));
            Go::Stop
        });
        if let Some((Point { time, is_event }, reading)) = ended
            && (is_event || time <= judged)
        {
            let healthy = self.measure.recovers(&reading, is_event);
            watched.stop(time, healthy);
            say(Verdict::Cleared { at: time, healthy });
        }
    }
}
