//! How far back a rule's memory reaches: what it must have seen before it finds what it would have found had it always been
//! loaded.

use super::new_term::History;
use super::reconcile::REMEMBERED;
use super::scope::judge::EXPECTED_FOR;
use super::scope::steps::LONGEST_LOOKBACK;
use super::scope::{Expected, Flatline};
use super::{Detect, Rule, RuleSet};
use crate::core::time::Span;

impl Rule {
    /// The history that the rule itself needs, without that of rules whose findings it hears.
    ///
    /// Windows count twice: whether one was whole says the event before it.
    fn own_history(&self) -> Span {
        let of_kind = match &self.detect {
            Detect::Any | Detect::List(_) => Span::ZERO,
            Detect::Frequency(detect) => twice(detect.window),
            Detect::Cardinality(detect) => twice(detect.window),
            Detect::Metric(detect) => twice(detect.window),
            Detect::Ratio(detect) => twice(detect.window) + LONGEST_LOOKBACK,
            Detect::Spike(detect) => twice(detect.window + detect.reference),
            Detect::Change(detect) => detect.window,
            Detect::Deadline(detect) => twice(detect.within),
            Detect::Sequence(detect) => twice(detect.within),
            Detect::Correlation(detect) => twice(detect.window),
            Detect::Reconcile(detect) => detect.within + REMEMBERED,
            Detect::Travel(detect) => detect.forgotten_after(),
            Detect::Flatline(detect) => flatline(detect),
            Detect::NewTerm(detect) => {
                detect.window
                    + match detect.min_history {
                        History::Events(_) => Span::ZERO,
                        History::Since(span) => span,
                    }
            }
        };
        of_kind + self.lateness + self.grace + self.pending + self.keep_firing
    }

    /// How far back an event may lie that what is found still depends on.
    pub fn window(&self) -> Span {
        match &self.detect {
            Detect::Any | Detect::List(_) | Detect::Travel(_) => Span::ZERO,
            Detect::Frequency(detect) => detect.window,
            Detect::Cardinality(detect) => detect.window,
            Detect::Metric(detect) => detect.window,
            Detect::Ratio(detect) => detect.window,
            Detect::Spike(detect) => detect.window + detect.reference,
            Detect::Change(detect) => detect.window,
            Detect::Deadline(detect) => detect.within,
            Detect::Sequence(detect) => detect.within,
            Detect::Correlation(detect) => detect.window,
            Detect::Reconcile(detect) => detect.within,
            Detect::Flatline(detect) => detect.window,
            Detect::NewTerm(detect) => detect.window,
        }
    }

    /// The history that the rule needs, with that of the rules of its set that it hears.
    pub fn history(&self, rules: &RuleSet) -> Span {
        // No circle of rules is ever loaded, and no chain of them is longer than the set.
        self.history_within(rules, rules.rules.len())
    }

    fn history_within(&self, rules: &RuleSet, depth: usize) -> Span {
        let heard = self.detect.hears().filter_map(|name| rules.find(name));
        let deepest = match depth.checked_sub(1) {
            Some(depth) => heard.map(|rule| rule.history_within(rules, depth)).max(),
            None => None,
        };
        self.own_history() + deepest.unwrap_or(Span::ZERO)
    }
}

fn flatline(detect: &Flatline) -> Span {
    match detect.expect {
        Expected::Listed(_) => twice(detect.window),
        Expected::Seen | Expected::Catalog => {
            let windows = Span::from_millis(detect.window.as_millis().saturating_mul(20));
            twice(detect.window) + windows.max(EXPECTED_FOR)
        }
    }
}

fn twice(span: Span) -> Span {
    span + span
}
