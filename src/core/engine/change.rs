//! What changes from one rule set to the next: which rules keep their state, which must be filled from history, and which
//! others must be run beside them because these hear their findings.

use std::collections::BTreeSet;

use crate::core::rule::{Rule, RuleSet, RuleState};
use crate::core::time::Span;

/// Where the state of a rule of the new set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rule is unchanged: its place in the old set.
    Kept(usize),
    /// It is new, has changed, or hears one that has.
    History,
    /// It is paused and has none.
    Nothing,
}

/// The change from one rule set to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// By the new rules.
    pub sources: Vec<Source>,
}

impl Change {
    /// `is_filled`: whether the state of an old rule, by its place, is what the rule would have had it always been there.
    pub fn between(old: &RuleSet, new: &RuleSet, is_filled: impl Fn(usize) -> bool) -> Self {
        let same = |rule: &Rule| {
            let place = old.rules.iter().position(|other| other.name == rule.name)?;
            let before = old.rules.get(place)?;
            // What others of the set read by now must have been kept.
            let kept = before.kept.or(rule.kept) == before.kept;
            (before.version == rule.version && kept && is_filled(place)).then_some(place)
        };
        let mut sources: Vec<Source> = new
            .rules
            .iter()
            .map(|rule| match same(rule) {
                _ if rule.state == RuleState::Paused => Source::Nothing,
                Some(place) => Source::Kept(place),
                None => Source::History,
            })
            .collect();
        // What hears a rule that has changed has heard other findings than it would have.
        loop {
            let changed: BTreeSet<&str> = named(new, &sources, Source::History).collect();
            let hears = |rule: &Rule| rule.detect.hears().any(|name| changed.contains(name));
            let affected: Vec<usize> = (0..)
                .zip(&new.rules)
                .zip(&sources)
                .filter(|((_, rule), source)| matches!(source, Source::Kept(_)) && hears(rule))
                .map(|((place, _), _)| place)
                .collect();
            if affected.is_empty() {
                return Self { sources };
            }
            for place in affected {
                if let Some(source) = sources.get_mut(place) {
                    *source = Source::History;
                }
            }
        }
    }

    /// Whether there is anything to fill.
    pub fn needs_history(&self) -> bool {
        self.sources.contains(&Source::History)
    }

    /// The names of the rules that are to be filled.
    pub fn to_fill<'a>(&self, new: &'a RuleSet) -> impl Iterator<Item = &'a str> {
        named(new, &self.sources, Source::History)
    }

    /// The rules to run over history: those that are to be filled, and those that they hear.
    pub fn to_run(&self, new: &RuleSet) -> RuleSet {
        let mut wanted: BTreeSet<&str> = self.to_fill(new).collect();
        let mut open: Vec<&str> = wanted.iter().copied().collect();
        while let Some(name) = open.pop() {
            let heard = new.find(name).into_iter().flat_map(|rule| rule.detect.hears());
            open.extend(heard.filter(|heard| wanted.insert(heard)));
        }
        let rules = new.rules.iter().filter(|rule| wanted.contains(rule.name.as_str()));
        // Not made by `new`: what rules of the whole set mean to each other must stay.
        RuleSet { rules: rules.cloned().collect() }
    }

    /// The history that is needed to fill all of them.
    pub fn history(&self, new: &RuleSet) -> Span {
        let spans = self.to_fill(new).filter_map(|name| Some(new.find(name)?.history(new)));
        spans.max().unwrap_or(Span::ZERO)
    }
}

fn named<'a>(rules: &'a RuleSet, sources: &[Source], wanted: Source) -> impl Iterator<Item = &'a str> {
    let of_source = rules.rules.iter().zip(sources.to_vec()).filter(move |(_, source)| *source == wanted);
    of_source.map(|(rule, _)| rule.name.as_str())
}
