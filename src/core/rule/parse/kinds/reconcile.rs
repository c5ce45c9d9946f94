//! `reconcile`: which check, and how far apart what does not match may lie.

use crate::core::rule::reconcile::{Check, Reconcile};

use super::super::defaults;
use super::super::fields::{Fields, Reading};

pub fn reconcile(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Reconcile> {
    fields.what = "a reconcile";
    let checks = Check::ALL.map(|check| (check.as_str(), check));
    let check = fields.need("check").and_then(|node| reading.choice(node, &checks));
    let within = fields.take("within").map(|node| reading.length(node));
    fields.finish(reading);
    let check = check?;
    let within = within.unwrap_or_else(|| Some(defaults::reconciled_within(check)))?;
    Some(Reconcile { check, within })
}
