//! Which slice of a rule is the ticket. A pure decision per judging step: from what was chosen before and what fires now.
//!
//! The plain form: a narrower slice is the ticket while its siblings are healthy, else the wider one is, and the others
//! join it. Exactly, with P wider than C (C has all fields of P and more) and *rest* what P holds without C:
//!
//! - **P and C fire, and nothing is open**: C is the one if it is the only one of its slice that fires within P and the
//!   rest is healthy; of several such (of different slices) the one whose rest is healthiest, and again within it. Else P.
//! - **C fires and nothing wider does**: C is the one once the rest of everything wider is healthy. While a rest is not
//!   known to be (too few samples, or it looks bad but does not fire) C waits, since the wider one may follow in a few
//!   steps; after a fifth of a window of waiting C is the one nevertheless.
//! - **healthy** is a rest with `min_samples` in the window, within the limit, and within the limit *since C's trouble
//!   began* as well: when a whole channel fails, the window's average is still good while its last minute is not. For
//!   silence: a rest that is not silent in the window, nor in its last fifth.
//! - **An open one stays** while it fires. It also stays, silently, while only slices fire that it explains (wider,
//!   narrower, or overlapping within the same wider one), but no longer than a window after it last fired itself.
//!   It stays, silently too, while its raw share is beyond the limit though that is no longer shown (or the samples are too
//!   few to be asked): what is not shown to be ill is not yet well, and a share that hovers about what is shown would
//!   otherwise open and close all day.
//! - **A wider one takes over** from an open narrower one when it fires and a sibling fires as well or the rest is
//!   beyond the limit. The narrower one joins it. A wider one never gives way to a narrower one.
//!
//! A rule with a single group is the case in which nothing is wider than anything.

use crate::core::event::Symbol;

/// What the decision asks about subjects at one step.
pub trait View {
    /// The subjects that are wider than this one, narrowest first.
    fn wider(&self, subject: Symbol) -> &[Symbol];
    /// The index of the subject's slice.
    fn group(&self, subject: Symbol) -> u8;
    /// Whether a subject that fired and does not fire now is not within its limit either.
    fn lingers(&self, subject: Symbol, step: i64) -> bool;
    /// What is known of the health of `wide` without `narrow`.
    fn rest(&self, wide: Symbol, narrow: Symbol, step: i64) -> Rest;
}

/// The health of what a wider subject holds besides a narrower one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rest {
    pub health: Health,
    /// The window holds enough and is beyond the limit, whatever may be said of its last part.
    pub beyond: bool,
    /// How bad it is, to compare rests with each other.
    pub badness: f64,
}

impl Rest {
    pub const UNKNOWN: Self = Self { health: Health::Unknown, beyond: false, badness: 0.0 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Good,
    Bad,
    Unknown,
}

/// A subject that has been chosen and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub subject: Symbol,
    /// The last step at which it fired itself.
    pub fired: i64,
}

/// What one step hands on to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub chosen: Vec<Chosen>,
    /// Subjects that fire but wait for a wider one, with the step since which they do.
    pub waiting: Vec<(Symbol, i64)>,
}

impl State {
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty() && self.waiting.is_empty()
    }

    pub fn has(&self, subject: Symbol) -> bool {
        self.chosen.iter().any(|chosen| chosen.subject == subject)
    }
}

/// What a step decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub state: State,
    /// Subjects that were chosen before and are chosen no more because their trouble is over.
    pub ended: Vec<Symbol>,
    /// Narrower subjects and the wider ones that took over from them.
    pub joined: Vec<(Symbol, Symbol)>,
}

/// The spans of the decision, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// An open one explains others for so long after it last fired.
    pub window: i64,
    /// A narrower one waits so long for a wider one.
    pub patience: i64,
}

/// Decides a step. `firing` is sorted.
pub fn select(before: &State, step: i64, firing: &[Symbol], spans: Spans, view: &impl View) -> Selection {
    let mut decision = Decision { step, firing, spans, view, done: Selection::default() };
    decision.done.state.chosen.clone_from(&before.chosen);
    for chosen in &mut decision.done.state.chosen {
        if firing.binary_search(&chosen.subject).is_ok() {
            chosen.fired = step;
        }
    }
    while decision.take_over() {}
    let candidates = decision.end_what_is_over();
    decision.choose(candidates, before);
    decision.done.state.chosen.sort_unstable_by_key(|chosen| chosen.subject);
    decision.done
}

struct Decision<'a, V> {
    step: i64,
    firing: &'a [Symbol],
    spans: Spans,
    view: &'a V,
    done: Selection,
}

impl<V: View> Decision<'_, V> {
    fn fires(&self, subject: Symbol) -> bool {
        self.firing.binary_search(&subject).is_ok()
    }

    fn is_wider(&self, wide: Symbol, narrow: Symbol) -> bool {
        self.view.wider(narrow).contains(&wide)
    }

    /// Whether trouble in one can be the trouble of the other: one holds the other, or they overlap in a wider one.
    fn related(&self, one: Symbol, other: Symbol) -> bool {
        self.is_wider(one, other) || self.is_wider(other, one) || {
            let elsewhere = self.view.wider(other);
            self.view.group(one) != self.view.group(other)
                && self.view.wider(one).iter().any(|wide| elsewhere.contains(wide))
        }
    }

    /// Lets one wider subject take over from the open ones in it; false when none has to.
    fn take_over(&mut self) -> bool {
        let taker = self.done.state.chosen.iter().find_map(|chosen| {
            let wider = self.view.wider(chosen.subject).iter().copied();
            wider.filter(|wide| self.fires(*wide)).find(|wide| {
                self.step - chosen.fired > self.spans.window
                    || self.siblings(*wide, chosen.subject).next().is_some()
                    || self.view.rest(*wide, chosen.subject, self.step).beyond
            })
        });
        let Some(taker) = taker else { return false };
        let (joining, mut staying): (Vec<_>, Vec<_>) = std::mem::take(&mut self.done.state.chosen)
            .into_iter()
            .partition(|chosen| self.is_wider(taker, chosen.subject));
        self.done.joined.extend(joining.iter().map(|chosen| (chosen.subject, taker)));
        // What had joined a taker that is now taken over itself goes on to the last one.
        for (_, into) in &mut self.done.joined {
            if joining.iter().any(|chosen| chosen.subject == *into) {
                *into = taker;
            }
        }
        if !staying.iter().any(|chosen| chosen.subject == taker) {
            staying.push(Chosen { subject: taker, fired: self.step });
        }
        self.done.state.chosen = staying;
        true
    }

    /// The others of a narrow subject's slice that fire within a wider one.
    fn siblings(&self, wide: Symbol, narrow: Symbol) -> impl Iterator<Item = Symbol> {
        let group = self.view.group(narrow);
        self.firing.iter().copied().filter(move |other| {
            *other != narrow && self.view.group(*other) == group && self.is_wider(wide, *other)
        })
    }

    /// Ends what neither fires nor explains what does. Returns what fires and is explained by nothing open.
    fn end_what_is_over(&mut self) -> Vec<Symbol> {
        let mut held = Vec::new();
        let mut candidates = Vec::new();
        for subject in self.firing.iter().copied().filter(|subject| !self.done.state.has(*subject)) {
            let explains = |chosen: &&Chosen| {
                self.step - chosen.fired <= self.spans.window && self.related(chosen.subject, subject)
            };
            match self.done.state.chosen.iter().find(explains) {
                Some(chosen) => held.push(chosen.subject),
                None => candidates.push(subject),
            }
        }
        let step = self.step;
        let (staying, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.done.state.chosen).into_iter().partition(|chosen| {
                let explains = held.contains(&chosen.subject);
                chosen.fired == step || explains || self.view.lingers(chosen.subject, step)
            });
        self.done.state.chosen = staying;
        self.done.ended = ended.into_iter().map(|chosen| chosen.subject).collect();
        candidates
    }

    fn choose(&mut self, mut candidates: Vec<Symbol>, before: &State) {
        let badness = |subject: &Symbol| {
            let rests =
                self.view.wider(*subject).iter().map(|wide| self.view.rest(*wide, *subject, self.step));
            rests.map(|rest| rest.badness).fold(0.0, f64::max)
        };
        if candidates.len() > 1 {
            candidates.sort_by(|one, other| {
                let widths = self.view.wider(*one).len().cmp(&self.view.wider(*other).len());
                widths.then(badness(one).total_cmp(&badness(other))).then(one.cmp(other))
            });
        }
        for subject in candidates {
            let explained = self.done.state.chosen.iter().any(|chosen| self.related(chosen.subject, subject));
            let under_another = self.view.wider(subject).iter().any(|wide| self.fires(*wide));
            if explained || under_another {
                continue;
            }
            let since = before.waiting.iter().find(|(waiting, _)| *waiting == subject);
            let since = since.map_or(self.step, |(_, since)| *since);
            let clear = self
                .view
                .wider(subject)
                .iter()
                .all(|wide| self.view.rest(*wide, subject, self.step).health == Health::Good);
            if clear || self.step - since >= self.spans.patience {
                let subject = self.narrowest(subject);
                self.done.state.chosen.push(Chosen { subject, fired: self.step });
            } else {
                self.done.state.waiting.push((subject, since));
            }
        }
        self.done.state.waiting.sort_unstable();
    }

    /// The narrowest subject within a firing one that explains its trouble.
    fn narrowest(&self, mut wide: Symbol) -> Symbol {
        loop {
            let within = self.firing.iter().copied().filter(|narrow| self.directly_within(wide, *narrow));
            let explaining = within.filter(|narrow| self.siblings(wide, *narrow).next().is_none());
            let best = explaining
                .map(|narrow| (narrow, self.view.rest(wide, narrow, self.step)))
                .filter(|(_, rest)| rest.health == Health::Good)
                .min_by(|(one, rest), (other, other_rest)| {
                    rest.badness.total_cmp(&other_rest.badness).then(one.cmp(other))
                });
            match best {
                Some((narrow, _)) => wide = narrow,
                None => return wide,
            }
        }
    }

    /// Whether the one is within the other with no third firing one between them.
    fn directly_within(&self, wide: Symbol, narrow: Symbol) -> bool {
        self.is_wider(wide, narrow)
            && !self
                .view
                .wider(narrow)
                .iter()
                .any(|between| self.fires(*between) && self.is_wider(wide, *between))
    }
}
