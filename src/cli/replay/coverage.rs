//! Of the customers who complained, how many had been told before, and how long before.

use std::collections::BTreeMap;
use std::fmt;

use compact_str::CompactString;
use serde_json::{Value, json};

use crate::core::effect::Stage;
use crate::core::engine::Observed;
use crate::core::event::{Event, EventType, TextField};
use crate::core::time::{Span, Time};
use crate::delivery::notice::{Decision, Notice};
use crate::delivery::store::Planned;

/// A complaint belongs to what its account was told within this time before or after it.
const BELONGS_WITHIN: Span = Span::from_mins(7 * 24 * 60);

/// Collects who was told and who complained.
#[derive(Debug, Default)]
pub struct Coverage {
    told: BTreeMap<CompactString, Vec<(Time, Option<CompactString>)>>,
    complaints: Vec<(Time, CompactString, Option<CompactString>)>,
}

/// The counts of the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CoverageFigures {
    pub complaints: u64,
    pub told_before: u64,
    pub told_late: u64,
    pub never_told: u64,
    pub lead_median_s: Option<f64>,
}

impl Coverage {
    /// Takes note of a complaint; other events do not matter.
    pub fn event(&mut self, event: &Event<'_>, observed: Observed) {
        if event.event_type == EventType::ComplaintFiled && observed != Observed::Duplicate {
            self.complaint(event);
        }
    }

    /// Takes note of a message about trouble.
    pub fn planned(&mut self, planned: &Planned) {
        if let Some(notice) = told(planned) {
            self.told(planned.effect.at, notice);
        }
    }

    fn complaint(&mut self, event: &Event<'_>) {
        let text = |field| event.text(field).map(CompactString::from);
        if let Some(account) = text(TextField::AccountId) {
            self.complaints.push((event.time, account, text(TextField::OrderId)));
        }
    }

    fn told(&mut self, at: Time, notice: &Notice) {
        let order = notice.facts.text(TextField::OrderId).map(CompactString::from);
        self.told.entry(notice.account_id.clone()).or_default().push((at, order));
    }

    pub fn counts(&self) -> CoverageFigures {
        let mut figures = CoverageFigures::default();
        let mut leads = Vec::new();
        for (time, account, order) in &self.complaints {
            figures.complaints += 1;
            let told = self.told.get(account).map_or(&[][..], Vec::as_slice);
            let near = || told.iter().filter(|(at, _)| belongs(*time, *at));
            // A message about the very order counts before one about another trouble of the same account.
            let same = near().filter(|(_, of)| of.is_some() && of == order).map(|(at, _)| *at).min();
            match same.or_else(|| near().map(|(at, _)| *at).min()) {
                Some(at) if at <= *time => {
                    figures.told_before += 1;
                    leads.push(time.since(at).as_secs_f64());
                }
                Some(_) => figures.told_late += 1,
                None => figures.never_told += 1,
            }
        }
        leads.sort_by(f64::total_cmp);
        figures.lead_median_s = median(&leads);
        figures
    }

    pub fn figures(&self) -> Value {
        self.counts().as_json()
    }
}

impl CoverageFigures {
    pub fn as_json(&self) -> Value {
        let Self { complaints, told_before, told_late, never_told, lead_median_s } = self;
        json!({
            "complaints": complaints, "told_before": told_before, "told_late": told_late,
            "never_told": never_told, "lead_median_s": lead_median_s,
        })
    }
}

/// Whether a complaint may be about what was told at a time.
pub(super) fn belongs(complaint: Time, told: Time) -> bool {
    complaint.since(told).as_millis().abs() <= BELONGS_WITHIN.as_millis()
}

pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(*upper);
    }
    let lower = sorted.get(middle.checked_sub(1)?)?;
    Some(f64::midpoint(*lower, *upper))
}

/// Whether a decision is a message about trouble, the kind that counts as having told somebody.
pub(super) fn told(planned: &Planned) -> Option<&Notice> {
    match &planned.decision {
        Some(Decision::Send { notice, .. }) if notice.stage == Stage::Opened => Some(notice),
        _ => None,
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.counts();
        if figures.complaints == 0 {
            return Ok(());
        }
        let share = 100.0 * figures.told_before as f64 / figures.complaints as f64;
        write!(
            f,
            "{} complaints: {} ({share:.1} %) told before, {} told late, {} never told",
            figures.complaints, figures.told_before, figures.told_late, figures.never_told
        )?;
        match figures.lead_median_s {
            Some(lead) => writeln!(f, "; median lead {lead:.0} s"),
            None => writeln!(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }
}
