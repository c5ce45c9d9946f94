//! `cardinality`: of which field, how far back, and how many values are too many or too few.

use crate::core::rule::cardinality::{Cardinality, MOST_VALUES};
use crate::core::rule::limit::WholeLimit;
use crate::core::rule::scope::Side;

use super::super::fields::{Fields, Reading};
use super::super::yaml::{Node, Value};
use super::limits::whole_limit;

pub fn cardinality(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Cardinality> {
    fields.what = "a cardinality";
    let field = fields.need("field").and_then(|node| reading.text_field(node));
    let window = fields.need("window").and_then(|node| reading.length(node));
    let side = match (fields.take("above"), fields.take("below")) {
        (Some(node), None) => Some((Side::Above, whole_limit(node, 1..=MOST_VALUES - 1, reading))),
        (None, Some(node)) => Some((Side::Below, below(node, reading))),
        (None, None) => {
            fields.missing(&["above", "below"], reading);
            None
        }
        (Some(_), Some(_)) => {
            reading.report(&fields.key_span("below"), "a cardinality has either `above` or `below`");
            None
        }
    };
    fields.finish(reading);
    let (side, limit) = side?;
    Some(Cardinality { field: field?, window: window?, side, limit: limit? })
}

/// Fewer than one is silence, and a cardinality has nothing to say of that.
fn below(node: &Node, reading: &mut Reading<'_>) -> Option<WholeLimit> {
    if matches!(&node.value, Value::Scalar { text, .. } if text == "1") {
        let help = "a flatline finds that; here at least 2 are expected";
        reading.report_help(&node.span, "fewer than 1 is silence", help);
        return None;
    }
    whole_limit(node, 2..=MOST_VALUES, reading)
}
