//! Which rules ask where an event was, so that a location database is asked for their events and no others.

use super::condition::Condition;
use super::correlation::Correlation;
use super::metric::Sampled;
use super::new_term::Novelty;
use super::sequence::Sequence;
use super::{Detect, Rule};
use crate::core::event::{Field, TextField, TextSet, TypeSet};

const GEO: [TextField; 5] = [
    TextField::GeoCountry,
    TextField::GeoRegion,
    TextField::GeoCity,
    TextField::GeoAsn,
    TextField::GeoNetwork,
];

impl Rule {
    /// The types of events whose place the rule looks at; empty where it looks at none.
    pub fn located_types(&self) -> TypeSet {
        let by_kind = match &self.detect {
            Detect::Travel(_) => true,
            Detect::NewTerm(detect) => matches!(detect.of, Novelty::Place { .. }),
            Detect::Metric(detect) => {
                matches!(detect.of, Sampled::Field(Field::Text(field)) if GEO.contains(&field))
            }
            Detect::Sequence(Sequence { asked, .. }) | Detect::Correlation(Correlation { asked, .. }) => {
                asked.fields.iter().any(|field| matches!(field, Field::Text(field) if GEO.contains(field)))
            }
            _ => false,
        };
        let conditions = self.detect.conditions().into_iter();
        let mut conditions = conditions.chain([&self.filter]).chain(&self.incident.resolve_when);
        let in_symbols = GEO.iter().any(|field| self.symbols().contains(*field));
        if by_kind || in_symbols || conditions.any(Condition::asks_place) {
            self.types()
        } else {
            TypeSet::EMPTY
        }
    }
}

impl Detect {
    /// The conditions that it is written with.
    fn conditions(&self) -> Vec<&Condition> {
        match self {
            Self::Frequency(detect) => {
                [Some(&detect.count), detect.unless.as_ref()].into_iter().flatten().collect()
            }
            Self::Ratio(detect) => vec![&detect.of, &detect.among],
            Self::Deadline(detect) => vec![&detect.start, &detect.end],
            Self::Metric(detect) => {
                detect.pair().map(|pair| vec![&pair.start, &pair.end]).unwrap_or_default()
            }
            Self::Spike(detect) => vec![&detect.count],
            Self::Sequence(detect) => detect.asked.questions.iter().collect(),
            Self::Any
            | Self::Cardinality(_)
            | Self::Change(_)
            | Self::Correlation(_)
            | Self::NewTerm(_)
            | Self::Travel(_)
            | Self::Flatline(_)
            | Self::List(_)
            | Self::Reconcile(_) => Vec::new(),
        }
    }
}

impl Condition {
    fn asks_place(&self) -> bool {
        self.texts().iter().any(|field| GEO.contains(&field))
    }

    /// The text fields that it looks at.
    pub fn texts(&self) -> TextSet {
        match self {
            Self::Exists(Field::Text(field))
            | Self::TextIn { field, .. }
            | Self::Listed { field, .. }
            | Self::TextOrder { field, .. }
            | Self::StartsWith { field, .. }
            | Self::EndsWith { field, .. }
            | Self::Contains { field, .. }
            | Self::Cidr { field, .. } => TextSet::of(*field),
            Self::SameText { left, right, .. } => TextSet::of(*left).or(TextSet::of(*right)),
            Self::Not(inner) => inner.texts(),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().fold(TextSet::EMPTY, |fields, part| fields.or(part.texts()))
            }
            _ => TextSet::EMPTY,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::core::event::{Topic, TypeSet};
    use crate::core::rule::parse::{LoadOptions, load};

    fn located(rest: &str) -> TypeSet {
        let text = format!("name: x\ntopics: logins\n{rest}");
        load(&text, "x", &LoadOptions::default()).unwrap().remove(0).rule.located_types()
    }

    #[test]
    fn rules_that_name_a_place_in_any_way_need_to_know_it() {
        for rest in [
            "detect: { kind: travel }",
            "detect: { kind: new_term, place: geo }",
            "detect: { kind: new_term, fields: [geo.country] }",
            "detect: { kind: any }\nwhere: 'geo.city contains \"shan\"'",
            "detect: { kind: any }\nwhere: 'not exists(geo.asn)'",
            "detect: { kind: frequency, at_least: 3, window: 1h, count: 'exists(geo.country)' }",
            "detect: { kind: cardinality, field: geo.country, window: 1h, above: 3 }",
            "detect: { kind: frequency, at_least: 3, window: 1h }\ngroup_by: [geo.region]",
            "detect: { kind: sequence, within: 1h, steps: [{ name: a, when: 'exists(ip)' }, { name: b, when: 'geo.city != a.geo.city' }] }",
        ] {
            assert!(!located(rest).and(TypeSet::of_topic(Topic::Logins)).is_empty(), "{rest}");
        }
        for rest in ["detect: { kind: any }", "detect: { kind: change, fields: [ip] }"] {
            assert!(located(rest).is_empty(), "{rest}");
        }
    }
}
