//! The calendars that a rule names. They stand in the configuration, and what they say is a part of what the rule means.

use std::sync::Arc;

use super::super::condition::nearest;
use super::fields::Reading;
use super::yaml::Node;
use crate::core::calendar::Calendar;

/// The most calendars of one rule.
const MOST: usize = 16;

impl Reading<'_> {
    pub fn calendar(&mut self, node: &Node) -> Option<Arc<Calendar>> {
        let name = self.name(node, "the name of a calendar")?;
        if let Some(calendar) = self.calendars.get(&name) {
            self.files.push((format!("calendar {name}"), calendar.identity()));
            return Some(Arc::clone(calendar));
        }
        let known: Vec<&str> = self.calendars.keys().map(String::as_str).collect();
        let help = match nearest(&name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => {
                format!(
                    "calendars stand in the configuration, under [calendars.{name}]; name its file with -c"
                )
            }
            None => format!("calendars of the configuration: {}", known.join(", ")),
        };
        self.report_help(&node.span, format!("there is no calendar `{name}`"), help);
        None
    }

    /// A list of calendars, or one without the brackets.
    pub fn calendars(&mut self, node: &Node) -> Option<Vec<Arc<Calendar>>> {
        let items = self.items(node);
        if items.is_empty() || items.len() > MOST {
            self.report(&node.span, format!("expected 1 to {MOST} calendars"));
            return None;
        }
        let found: Vec<_> = items.iter().map(|item| self.calendar(item)).collect();
        found.into_iter().collect()
    }
}
