//! When a window's counts mean trouble: the two tests that a rule over partitions can make.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::onset::Background;
use super::slices::{Health, Rest};
use super::summed::Summed;
use super::{Flatline, Ratio, Side};
use crate::core::effect::Subject;
use crate::core::event::{Symbol, TextField};
use crate::core::rule::limit::WholeLimit;
use crate::core::rule::verdict::Evidence;
use crate::core::rule::{Detect, Limit, Rule};
use crate::core::stats::bounds::CriticalCounts;

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub among: i64,
    pub of: i64,
}

impl Counts {
    /// What the wider one holds besides; never less than nothing (an account can be counted in both).
    fn without(self, other: Self) -> Self {
        Self { among: (self.among - other.among).max(0), of: (self.of - other.of).max(0) }
    }
}

/// The test of a rule.
#[derive(Debug)]
pub enum Test {
    Share(ShareTest),
    /// Fewer than so many.
    Silence(WholeLimit),
    /// What the windows come to, not how many of how many.
    Summed(Box<Summed>),
}

#[derive(Clone, Debug)]
pub struct ShareTest {
    side: Side,
    min_samples: i64,
    limits: Vec<ShareLimit>,
    /// The field that the limit depends on, its values, and which limit each has. The default is the first limit.
    by: Option<(TextField, Vec<(String, usize)>)>,
}

/// One distinct limit with its table.
#[derive(Clone, Debug)]
struct ShareLimit {
    limit: f64,
    written: Decimal,
    critical: CriticalCounts,
}

impl Test {
    /// [`None`] for a rule of another kind.
    pub fn new(rule: &Rule) -> Option<Self> {
        match &rule.detect {
            Detect::Ratio(ratio) => Some(Self::Share(ShareTest::new(ratio))),
            Detect::Flatline(Flatline { fewer_than, .. }) => Some(Self::Silence(fewer_than.clone())),
            _ => Summed::new(rule).map(Box::new).map(Self::Summed),
        }
    }

    pub fn summed(&self) -> Option<&Summed> {
        match self {
            Self::Summed(summed) => Some(summed),
            Self::Share(_) | Self::Silence(_) => None,
        }
    }

    /// Which of the limits a subject has: of a silence the number itself, of a share its place among them.
    pub fn limit_of(&self, group: &[TextField], subject: &Subject) -> usize {
        let value_of = |field: TextField| {
            let position = group.iter().position(|name| *name == field)?;
            subject.0.get(position).map(|(_, value)| value.as_str())
        };
        match self {
            Self::Share(ShareTest { by: Some((field, values)), .. }) => {
                let known =
                    value_of(*field).and_then(|value| values.iter().find(|(known, _)| known == value));
                known.map_or(0, |(_, limit)| *limit)
            }
            Self::Silence(fewer_than) => {
                let value = fewer_than.field().and_then(value_of).map_or(Symbol::MISSING, Symbol::of);
                fewer_than.at(value) as usize
            }
            Self::Share(_) | Self::Summed(_) => 0,
        }
    }

    /// Whether a window with these counts is a finding.
    pub fn fires(&self, limit: usize, counts: Counts) -> bool {
        match self {
            Self::Share(share) => share.fires(limit, counts),
            Self::Silence(_) => counts.among < limit as i64,
            Self::Summed(_) => false,
        }
    }

    /// Whether a window that is no finding is not health either: its share is beyond the limit, though that may be chance.
    pub fn lingers(&self, limit: usize, counts: Counts) -> bool {
        match self {
            Self::Share(share) => share.is_beyond(limit, counts),
            Self::Silence(_) | Self::Summed(_) => false,
        }
    }

    /// Whether a window that is no finding holds enough to call it health.
    pub fn shows_health(&self, limit: usize, counts: Counts) -> bool {
        match self {
            Self::Share(share) => counts.among >= share.min_samples,
            Self::Silence(_) => counts.among >= limit as i64,
            Self::Summed(_) => false,
        }
    }

    /// Whether nothing is said about a subject before it has been there for a whole window.
    pub fn needs_whole_window(&self) -> bool {
        match self {
            Self::Share(share) => share.side == Side::Below,
            Self::Silence(_) => true,
            // It knows by itself when its windows are whole.
            Self::Summed(_) => false,
        }
    }

    /// The health of what is in `wide` besides `narrow`, over the window and lately: since the trouble of `narrow` began,
    /// or in a window's last part.
    pub fn rest(
        &self,
        limit: usize,
        wide: Counts,
        narrow: Counts,
        since: impl FnOnce() -> (Counts, Counts),
    ) -> Rest {
        let rest = wide.without(narrow);
        let Self::Share(share) = self else {
            let silent = self.fires(limit, rest);
            let latest = || {
                let (wide, narrow) = since();
                self.fires(limit, wide.without(narrow))
            };
            let health = match silent {
                true => Health::Bad,
                false if latest() => Health::Unknown,
                false => Health::Good,
            };
            return Rest { health, beyond: silent, badness: -(rest.among as f64) };
        };
        let (beyond, badness) = (share.is_beyond(limit, rest), share.badness(rest));
        if rest.among < share.min_samples {
            return Rest { health: Health::Unknown, beyond: false, badness };
        }
        if beyond {
            return Rest { health: Health::Bad, beyond, badness };
        }
        let (wide, narrow) = since();
        let latest = wide.without(narrow);
        let health = if latest.among < (share.min_samples / 2).max(1) {
            Health::Unknown
        } else if share.is_beyond(limit, latest) {
            Health::Bad
        } else {
            Health::Good
        };
        Rest { health, beyond, badness }
    }

    pub fn evidence(&self, limit: usize, counts: Counts, approximate: bool) -> Evidence {
        let (value, limit) = match self {
            Self::Share(share) => {
                let limit = share.limits.get(limit).map_or(0.0, |limit| limit.limit);
                (counts.of as f64 / counts.among.max(1) as f64, limit)
            }
            Self::Silence(_) => (counts.among as f64, limit as f64),
            Self::Summed(_) => (0.0, 0.0),
        };
        Evidence { value, limit, samples: counts.among.max(0) as u64, approximate }
    }

    /// What trouble stands out against; [`None`] for silence.
    pub fn share_limit(&self, limit: usize) -> Option<Background> {
        let Self::Share(share) = self else { return None };
        let limit = share.limits.get(limit)?.limit;
        Some(Background { limit, side: share.side, min_samples: share.min_samples })
    }
}

impl ShareTest {
    fn new(ratio: &Ratio) -> Self {
        let mut test = Self {
            side: ratio.side,
            min_samples: i64::from(ratio.min_samples.max(1)),
            limits: Vec::new(),
            by: None,
        };
        match &ratio.limit {
            Limit::One(limit) => {
                test.table(*limit, ratio.confidence);
            }
            Limit::By { field, values, default } => {
                test.table(*default, ratio.confidence);
                let values = values.iter();
                let values =
                    values.map(|(value, limit)| (value.clone(), test.table(*limit, ratio.confidence)));
                let values = values.collect();
                test.by = Some((*field, values));
            }
        }
        test
    }

    /// The index of a limit, tabled once.
    fn table(&mut self, written: Decimal, confidence: Decimal) -> usize {
        if let Some(known) = self.limits.iter().position(|known| known.written == written) {
            return known;
        }
        let tabled = match self.side {
            Side::Above => written,
            Side::Below => Decimal::ONE - written,
        };
        let critical = CriticalCounts::above(tabled, confidence);
        self.limits.push(ShareLimit { limit: written.to_f64().unwrap_or_default(), written, critical });
        self.limits.len() - 1
    }

    /// How many of the counted are on the side of trouble.
    fn hits(&self, counts: Counts) -> (u64, u64) {
        let among = counts.among.max(0) as u64;
        let of = (counts.of.max(0) as u64).min(among);
        match self.side {
            Side::Above => (of, among),
            Side::Below => (among - of, among),
        }
    }

    fn fires(&self, limit: usize, counts: Counts) -> bool {
        let (hits, among) = self.hits(counts);
        let critical = self.limits.get(limit).map(|limit| &limit.critical);
        counts.among >= self.min_samples && critical.is_some_and(|critical| hits >= critical.required(among))
    }

    /// Whether the raw share is beyond the limit.
    fn is_beyond(&self, limit: usize, counts: Counts) -> bool {
        let (hits, among) = self.hits(counts);
        self.limits.get(limit).is_some_and(|limit| hits >= limit.critical.required_by_share(among))
    }

    fn badness(&self, counts: Counts) -> f64 {
        let (hits, among) = self.hits(counts);
        hits as f64 / among.max(1) as f64
    }
}
