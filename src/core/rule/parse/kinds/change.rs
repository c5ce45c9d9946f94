//! `change`: which fields, and how far back.

use crate::core::rule::change::Change;

use super::super::defaults;
use super::super::fields::{Fields, Reading};

pub fn change(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Change> {
    fields.what = "a change";
    let values = fields.need("fields").and_then(|node| {
        let values = reading.text_fields(node);
        if values.as_ref().is_some_and(Vec::is_empty) {
            reading.report(&node.span, "expected at least one field");
        }
        values
    });
    let window = fields.take("window").map_or(Some(defaults::CHANGE_WINDOW), |node| reading.length(node));
    let missing_fires = fields
        .take("missing")
        .map_or(Some(false), |node| reading.choice(node, &[("ignore", false), ("fire", true)]));
    fields.finish(reading);
    Some(Change { fields: values?, window: window?, missing_fires: missing_fires? })
}
