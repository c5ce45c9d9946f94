//! What others ask the judge about subjects: who they are, when their trouble began, how healthy the rest is.

use super::{Outcome, ScopeJudge};
use crate::core::effect::Subject;
use crate::core::event::Symbol;
use crate::core::rule::scope::aggregate::Aggregate;
use crate::core::rule::scope::catalog::Shelf;
use crate::core::rule::scope::onset::{Background, onset};
use crate::core::rule::scope::slices::{Rest, View};
use crate::core::time::Time;

impl ScopeJudge {
    /// The moment after which the trouble of a subject, found at `since`, is estimated to have begun; not later than
    /// `since`.
    pub fn started_at(&self, subject: Symbol, since: Time) -> Option<Time> {
        let aggregate = self.subjects.get(&subject)?;
        let step = self.steps.passed(since);
        Some(match self.test.share_limit(aggregate.limit) {
            Some(background) => self.steps.before(self.onset(aggregate, step, background)),
            // All that a window counts has a part in what it comes to.
            None if self.test.summed().is_some() => self.steps.time(step - self.steps.window()),
            None => {
                let last = aggregate.seen().rev().find(|seen| seen.step <= step);
                self.steps.time(last.map_or(step - self.steps.window(), |seen| seen.step))
            }
        })
    }

    fn onset(&self, aggregate: &Aggregate, step: i64, background: Background) -> i64 {
        onset(aggregate.seen(), step, self.steps, background)
    }

    /// The last step that was judged.
    #[cfg(test)]
    pub fn last_judged(&self) -> Time {
        self.judged.map_or(Time::MIN, |judged| self.steps.time(judged))
    }

    /// The fields of a subject with their values; [`None`] if it is not known (any more).
    pub fn subject_fields(&self, subject: Symbol) -> Option<&Subject> {
        self.subjects.get(&subject).map(|aggregate| &aggregate.fields)
    }

    /// The index of a subject's slice among the rule's groups.
    pub fn group_of(&self, subject: Symbol) -> Option<usize> {
        self.subjects.get(&subject).map(|aggregate| usize::from(aggregate.group))
    }

    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// Values of subjects beyond the bound, which are not judged.
    pub fn beyond_bound(&self) -> u64 {
        self.beyond_bound
    }

    /// Bytes of memory held, tables included.
    pub fn bytes(&self) -> usize {
        let aggregates: usize = self.subjects.values().map(|aggregate| aggregate.bytes()).sum();
        let shelves: usize = self.shelves.values().map(Shelf::bytes).sum();
        aggregates + shelves + self.subjects.allocation_size() + self.outcomes.len() * size_of::<Outcome>()
    }
}

impl View for ScopeJudge {
    fn wider(&self, subject: Symbol) -> &[Symbol] {
        self.subjects.get(&subject).map_or(&[], |aggregate| &aggregate.wider)
    }

    fn group(&self, subject: Symbol) -> u8 {
        self.subjects.get(&subject).map_or(0, |aggregate| aggregate.group)
    }

    fn lingers(&self, subject: Symbol, step: i64) -> bool {
        let aggregate = self.subjects.get(&subject);
        aggregate.is_some_and(|aggregate| self.test.lingers(aggregate.limit, aggregate.counts(step)))
    }

    fn rest(&self, wide: Symbol, narrow: Symbol, step: i64) -> Rest {
        let (Some(wide), Some(narrow)) = (self.subjects.get(&wide), self.subjects.get(&narrow)) else {
            return Rest::UNKNOWN;
        };
        let since = || {
            let from = match self.test.share_limit(narrow.limit) {
                Some(background) => self.onset(narrow, step, background),
                None => step - self.spans.patience + 1,
            };
            (wide.seen_between(from, step), narrow.seen_between(from, step))
        };
        self.test.rest(wide.limit, wide.counts(step), narrow.counts(step), since)
    }
}
