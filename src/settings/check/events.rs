//! `[events]` and `[faults]`: the platform's own names, and whose fault an error code is.

use super::super::error::unknown;
use super::super::raw::{RawEvents, RawFaults, RawMapping, RawTimeFormat};
use super::Check;
use crate::core::event::decode::{EventSettings, Slot, TimeFormat};
use crate::core::event::faults::FaultTable;
use crate::core::event::mapping::{FieldMapping, Mapping};
use crate::core::event::{Fault, TextField};
use crate::core::time::Span;

/// Names of the language that rules are written in.
const RESERVED: [&str; 12] =
    ["fault", "geo", "data", "specversion", "and", "or", "not", "in", "file", "true", "false", "customer"];

impl Check<'_> {
    pub(super) fn events(&mut self, raw: &RawEvents, faults: &RawFaults) -> Option<EventSettings> {
        let extra = &raw.extra.0;
        if extra.len() > TextField::EXTRA.len() {
            self.wrong(
                "events.extra",
                format!("declares {} fields; expected at most {}", extra.len(), TextField::EXTRA.len()),
            );
        }
        for (number, name) in extra.iter().enumerate() {
            let is_word = !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !name.starts_with(|first: char| first.is_ascii_digit());
            let is_ours = Slot::of_name(name, &[]).is_some() || RESERVED.contains(&name.as_str());
            if !is_word {
                self.wrong(
                    "events.extra",
                    format!("{name:?} is no name of a field; expected letters, digits, underscores"),
                );
            } else if is_ours {
                self.wrong("events.extra", format!("{name:?} is a field of every event already"));
            } else if extra.iter().take(number).any(|earlier| earlier == name) {
                self.wrong("events.extra", format!("{name:?} is declared twice"));
            }
        }
        let max_ahead = raw.max_ahead.0;
        if max_ahead == Span::ZERO {
            self.wrong("events.max_ahead", "is zero; expected how far clocks may differ, such as \"5m\"");
        }
        let before = self.problems.len();
        let mut fields = Vec::new();
        for (name, mapping) in &raw.mapping {
            let key = format!("events.mapping.{name}");
            if Slot::of_name(name, extra).is_none() {
                let mut known: Vec<&str> = extra.iter().map(String::as_str).collect();
                known.extend(Slot::names().map(|name| -> &str { name }));
                self.wrong(&key, unknown("field", name, &known));
                continue;
            }
            let field = (name.clone(), field_mapping(mapping));
            // One by one, so that each error names its key.
            if let Err(error) = Mapping::new([field.clone()], extra) {
                self.wrong(&key, error.to_string());
            }
            fields.push(field);
        }
        if self.problems.len() > before {
            return None;
        }
        let mapping = Mapping::new(fields, extra).ok()?;
        Some(EventSettings { extra: extra.clone(), mapping, faults: fault_table(faults), max_ahead })
    }
}

fn fault_table(raw: &RawFaults) -> FaultTable {
    let lists = [
        (&raw.customer, Fault::Customer),
        (&raw.channel, Fault::Channel),
        (&raw.supplier, Fault::Supplier),
        (&raw.platform, Fault::Platform),
        (&raw.none, Fault::None),
        (&raw.unknown, Fault::Unknown),
    ];
    FaultTable::new(
        lists
            .into_iter()
            .flat_map(|(list, fault)| list.0.iter().map(move |glob| (glob.clone(), fault)))
            .collect(),
    )
}

fn field_mapping(raw: &RawMapping) -> FieldMapping {
    FieldMapping {
        pointers: raw.pointer.0.clone(),
        values: raw.values.clone(),
        default: raw.default.clone(),
        time_format: match raw.format {
            None | Some(RawTimeFormat::Any | RawTimeFormat::Rfc3339) => TimeFormat::Any,
            Some(RawTimeFormat::EpochS) => TimeFormat::Seconds,
            Some(RawTimeFormat::EpochMs) => TimeFormat::Milliseconds,
            Some(RawTimeFormat::EpochUs) => TimeFormat::Microseconds,
            Some(RawTimeFormat::EpochNs) => TimeFormat::Nanoseconds,
        },
    }
}
