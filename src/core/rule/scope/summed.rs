//! Which kinds are summed over partitions beside `ratio` and `flatline`, what they keep of an event, and when what the
//! windows of a subject come to is a finding.
//!
//! Summed is what does not depend on the order of events (`frequency` without `unless` and `reset`, `metric` over fields,
//! `cardinality`, `spike`), over subjects that are few and busy. Everything else that spans partitions is re-keyed.

use rust_decimal::Decimal;

use super::Side;
use super::held::Frame;
use super::part::Keeps;
use super::steps::{Edge, Steps};
use crate::core::event::{Event, Field, Symbol, TextField};
use crate::core::rule::frequency::Frequency;
use crate::core::rule::limit::WholeLimit;
use crate::core::rule::metric::{Bound, LimitOf, MetricMeasure, Sampled, sample_of};
use crate::core::rule::samples::judge::Measure;
use crate::core::rule::samples::{Agg, Reading, Tally};
use crate::core::rule::spike::Direction;
use crate::core::rule::spike::SpikeMeasure;
use crate::core::rule::verdict::Evidence;
use crate::core::rule::{Audience, Detect, Rule};
use crate::core::time::Span;

/// Whether a rule that spans partitions is counted in each shard and judged by sums; otherwise its events are re-keyed.
///
/// The fields of the subject decide: all must be among those that have few values ([`TextField::is_few`]). A rule that
/// waits for a cause (`covered_by`) is re-keyed all the same, because it is its event that the cause is found by.
pub fn is_summed(rule: &Rule) -> bool {
    if matches!(rule.detect, Detect::Ratio(_) | Detect::Flatline(_)) {
        return true;
    }
    !rule.is_local()
        && rule.groups.iter().flatten().all(|field| field.is_few())
        && rule.incident.covered_by.is_empty()
        && Plan::of(rule).is_some()
}

/// What a rule counts.
#[derive(Debug)]
struct Plan {
    agg: Agg,
    keeps: Keeps,
    field: Option<Field>,
    window: Span,
    reference: Option<Span>,
}

impl Plan {
    fn of(rule: &Rule) -> Option<Self> {
        let plan = |agg: Agg, field, window| {
            Some(Self { agg, keeps: Keeps::of(agg)?, field, window, reference: None })
        };
        match &rule.detect {
            Detect::Frequency(detect)
                if detect.unless.is_some() || detect.reset || have_fields_apart(detect) =>
            {
                None
            }
            Detect::Frequency(detect) => match detect.distinct {
                Some(field) => plan(Agg::Distinct, Some(Field::Text(field)), detect.window),
                None => plan(Agg::Count, None, detect.window),
            },
            Detect::Cardinality(detect) => {
                plan(Agg::Distinct, Some(Field::Text(detect.field)), detect.window)
            }
            Detect::Metric(detect) => match detect.of {
                Sampled::Events => plan(detect.agg, None, detect.window),
                Sampled::Field(field) => plan(detect.agg, Some(field), detect.window),
                Sampled::Pair(_) => None,
            },
            Detect::Spike(detect) => {
                let reference = Some(detect.reference);
                Some(Self { reference, ..plan(detect.agg, detect.field, detect.window)? })
            }
            _ => None,
        }
    }
}

/// Whether the limits of a range depend on different fields.
fn have_fields_apart(detect: &Frequency) -> bool {
    let field = |limit: &Option<WholeLimit>| limit.as_ref().and_then(WholeLimit::field);
    let (least, most) = (field(&detect.at_least), field(&detect.at_most));
    least.is_some() && most.is_some() && least != most
}

/// What the shard's side does with an event.
#[derive(Debug)]
pub struct Sampling {
    pub keeps: Keeps,
    field: Option<Field>,
    symptoms: Symptoms,
}

/// Which events show the trouble, so that their accounts are those that met it.
#[derive(Debug)]
enum Symptoms {
    All,
    /// Those whose own value is beyond the limit.
    Beyond(Bound, LimitOf),
    None,
}

impl Sampling {
    pub fn new(rule: &Rule) -> Option<Self> {
        let Plan { agg, keeps, field, .. } = Plan::of(rule)?;
        Some(Self { keeps, field, symptoms: Symptoms::of(rule, agg) })
    }

    /// The value of an event as a sample; [`None`]: it is none.
    pub fn value(&self, event: &Event<'_>) -> Option<Decimal> {
        sample_of(self.field, event)
    }

    pub fn is_symptom(&self, event: &Event<'_>, value: Decimal) -> bool {
        match &self.symptoms {
            Symptoms::All => true,
            Symptoms::Beyond(bound, limit) => bound.holds(value, limit.at(limit.of(event))),
            Symptoms::None => false,
        }
    }
}

impl Symptoms {
    fn of(rule: &Rule, agg: Agg) -> Self {
        // Where the trouble is in the number of events, each has a part in it; but only those who are told need be known.
        let told = rule.notice.as_ref().is_some_and(|notice| notice.to == Audience::Affected);
        let each = if told { Self::All } else { Self::None };
        match &rule.detect {
            Detect::Frequency(_) => Self::All,
            Detect::Cardinality(detect) if detect.side == Side::Above => each,
            Detect::Metric(detect) => match (agg, detect.bound) {
                (Agg::Avg | Agg::Min | Agg::Max | Agg::Quantile(_), bound) => {
                    Self::Beyond(bound, LimitOf::new(&detect.limit))
                }
                (_, Bound::Above | Bound::AtLeast) => each,
                (_, Bound::Below | Bound::AtMost | Bound::Equal | Bound::NotEqual) => Self::None,
            },
            Detect::Spike(detect) if detect.direction != Direction::Down => each,
            _ => Self::None,
        }
    }
}

/// The owner's side: the windows of a rule, and when they are a finding.
#[derive(Debug)]
pub struct Summed {
    pub agg: Agg,
    pub frame: Frame,
    condition: Condition,
}

#[derive(Debug)]
enum Condition {
    Metric(Box<MetricMeasure>),
    Spike(Box<SpikeMeasure>),
    Frequency { at_least: Option<WholeLimit>, at_most: Option<WholeLimit> },
    Values { side: Side, limit: WholeLimit },
}

/// What the windows of a subject hold at one step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tallies {
    pub current: Tally,
    pub reference: Tally,
    /// The subject was there for all of the windows.
    pub whole: bool,
}

impl Summed {
    /// [`None`] for a rule of another kind.
    pub fn new(rule: &Rule) -> Option<Self> {
        let plan = Plan::of(rule)?;
        let frame = Frame::new(Steps::new(plan.window, Edge::Through), plan.reference, plan.keeps);
        let condition = match &rule.detect {
            Detect::Metric(detect) => Condition::Metric(Box::new(MetricMeasure::new(detect))),
            Detect::Spike(detect) => Condition::Spike(Box::new(SpikeMeasure::new(detect))),
            Detect::Frequency(detect) => {
                Condition::Frequency { at_least: detect.at_least.clone(), at_most: detect.at_most.clone() }
            }
            Detect::Cardinality(detect) => {
                Condition::Values { side: detect.side, limit: detect.limit.clone() }
            }
            _ => return None,
        };
        Some(Self { agg: plan.agg, frame, condition })
    }

    /// The field of the subject that its limit depends on.
    pub fn limit_field(&self) -> Option<TextField> {
        match &self.condition {
            Condition::Metric(measure) => measure.limit_field(),
            Condition::Spike(_) => None,
            Condition::Frequency { at_least, at_most } => {
                [at_least, at_most].into_iter().flatten().find_map(WholeLimit::field)
            }
            Condition::Values { limit, .. } => limit.field(),
        }
    }

    /// Whether it comes true because nothing more happens, so that what is merely late is waited for.
    pub fn awaits(&self) -> bool {
        match &self.condition {
            Condition::Metric(measure) => measure.asks_for_little(),
            Condition::Spike(measure) => measure.finds_falls(),
            Condition::Frequency { .. } => false,
            Condition::Values { side, .. } => *side == Side::Below,
        }
    }

    /// Judges the windows of a subject with this value.
    pub fn read(&self, tallies: &Tallies, limit_of: Symbol) -> Reading {
        let Tallies { current, reference, whole } = *tallies;
        let number = |tally: &Tally| tally.value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        match &self.condition {
            Condition::Metric(measure) => measure.judge(current, limit_of, || whole),
            Condition::Spike(measure) => measure.judge(current, reference, || whole),
            Condition::Frequency { at_least, at_most } => {
                let value = number(&current);
                let [least, most] = [at_least, at_most]
                    .map(|limit| limit.as_ref().map(|limit| u64::from(limit.at(limit_of))));
                let holds = value >= least.unwrap_or(1) && most.is_none_or(|most| value <= most);
                Reading { holds, evidence: evidence(&current, value, least.or(most).unwrap_or(1)) }
            }
            Condition::Values { side, limit } => {
                let (value, limit) = (number(&current), u64::from(limit.at(limit_of)));
                let holds = match side {
                    Side::Above => value > limit,
                    // What is silent altogether has nothing to count.
                    Side::Below => value < limit && current.samples > 0 && whole,
                };
                Reading { holds, evidence: evidence(&current, value, limit) }
            }
        }
    }

    /// Whether an end with this reading shows that all is well.
    pub fn shows_health(&self, reading: &Reading) -> bool {
        match &self.condition {
            // Where little was the trouble, only what has come since can end it.
            Condition::Metric(measure) => measure.recovers(reading, measure.asks_for_little()),
            Condition::Spike(_) | Condition::Frequency { .. } => false,
            Condition::Values { side, .. } => *side == Side::Below && reading.evidence.samples > 0,
        }
    }
}

fn evidence(tally: &Tally, value: u64, limit: u64) -> Evidence {
    Evidence {
        value: value as f64,
        limit: limit as f64,
        samples: tally.samples,
        approximate: tally.approximate,
    }
}
