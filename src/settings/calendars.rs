//! Calendars as the configuration writes them, by the names under which rules know them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::raw::RawCalendar;
use crate::core::calendar::{Calendars, Written};

/// Checks all calendars; what is wrong goes to `wrong` with its key.
pub(super) fn check(
    raw: &BTreeMap<String, RawCalendar>,
    time_zone: &str,
    mut wrong: impl FnMut(&str, String),
) -> Calendars {
    let mut calendars = Calendars::new();
    for (name, raw) in raw {
        let key = format!("calendars.{name}");
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(plain) {
            wrong(&key, "is no name that a rule can write; expected letters, digits, `-` and `_`".to_owned());
            continue;
        }
        match written(raw).check(time_zone) {
            Ok(calendar) => {
                calendars.insert(name.clone(), Arc::new(calendar));
            }
            Err(problems) => {
                for problem in problems {
                    let point = if problem.field.is_empty() { "" } else { "." };
                    wrong(&format!("{key}{point}{}", problem.field), problem.what);
                }
            }
        }
    }
    calendars
}

fn written(raw: &RawCalendar) -> Written {
    let RawCalendar { time_zone, hours, holidays, workdays, spans } = raw.clone();
    Written {
        time_zone,
        hours: hours.into_iter().map(|(days, hours)| (days, hours.0)).collect(),
        holidays: holidays.0,
        workdays: workdays.0,
        spans: spans.0,
    }
}
