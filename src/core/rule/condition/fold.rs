//! Joins conditions with `and`, `or` and `not`, merging what can be asked at once.

use super::Condition;
use crate::core::event::{Fault, Symbol, TextField, TypeSet};

const ALL_FAULTS: u8 = (1 << Fault::ALL.len()) - 1;

pub fn types(set: TypeSet, negated: bool) -> Condition {
    let set = if negated { set.not() } else { set };
    if set.is_empty() {
        Condition::Never
    } else if set == TypeSet::ALL {
        Condition::Always
    } else {
        Condition::TypeIn(set)
    }
}

pub fn faults(bits: u8, negated: bool) -> Condition {
    match if negated { !bits & ALL_FAULTS } else { bits & ALL_FAULTS } {
        0 => Condition::Never,
        ALL_FAULTS => Condition::Always,
        bits => Condition::FaultIn(bits),
    }
}

pub fn not(inner: Condition) -> Condition {
    match inner {
        Condition::Always => Condition::Never,
        Condition::Never => Condition::Always,
        Condition::TypeIn(set) => types(set, true),
        Condition::FaultIn(bits) => faults(bits, true),
        Condition::Not(inner) => *inner,
        other => Condition::Not(Box::new(other)),
    }
}

/// Joins with `and`; a rule's own filter and its detector's condition are joined in the same way.
pub fn all(parts: Vec<Condition>) -> Condition {
    let (mut set, mut bits) = (TypeSet::ALL, ALL_FAULTS);
    let mut rest = Vec::new();
    for part in flattened(parts, |part| match part {
        Condition::All(inner) => Ok(inner.into_vec()),
        other => Err(other),
    }) {
        match part {
            Condition::Always => {}
            Condition::Never => return Condition::Never,
            Condition::TypeIn(other) => set = set.and(other),
            Condition::FaultIn(other) => bits &= other,
            other if rest.contains(&other) => {}
            other => rest.push(other),
        }
    }
    joined_parts(
        [types(set, false), faults(bits, false)],
        rest,
        Condition::Never,
        Condition::Always,
        Condition::All,
    )
}

/// Joins with `or`.
pub fn any(parts: Vec<Condition>) -> Condition {
    let (mut set, mut bits) = (TypeSet::EMPTY, 0);
    let mut rest: Vec<Condition> = Vec::new();
    for part in flattened(parts, |part| match part {
        Condition::Any(inner) => Ok(inner.into_vec()),
        other => Err(other),
    }) {
        match part {
            Condition::Never => {}
            Condition::Always => return Condition::Always,
            Condition::TypeIn(other) => set = set.or(other),
            Condition::FaultIn(other) => bits |= other,
            Condition::TextIn { field, symbols, negated: false } => merge_texts(&mut rest, field, &symbols),
            other if rest.contains(&other) => {}
            other => rest.push(other),
        }
    }
    joined_parts(
        [types(set, false), faults(bits, false)],
        rest,
        Condition::Always,
        Condition::Never,
        Condition::Any,
    )
}

/// `channel == "a" or channel == "b"` is `channel in ["a", "b"]`.
fn merge_texts(rest: &mut Vec<Condition>, field: TextField, more: &[Symbol]) {
    let same = rest.iter_mut().find_map(|part| match part {
        Condition::TextIn { field: known, symbols, negated: false } if *known == field => Some(symbols),
        _ => None,
    });
    match same {
        Some(symbols) => {
            let mut merged = [&**symbols, more].concat();
            merged.sort_unstable();
            merged.dedup();
            *symbols = merged.into();
        }
        None => rest.push(Condition::TextIn { field, symbols: more.into(), negated: false }),
    }
}

fn flattened(
    parts: Vec<Condition>,
    open: impl Fn(Condition) -> Result<Vec<Condition>, Condition>,
) -> Vec<Condition> {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match open(part) {
            Ok(inner) => flat.extend(inner),
            Err(part) => flat.push(part),
        }
    }
    flat
}

/// Puts the sets first, since they are the cheapest to ask; `decides` settles the whole, `neutral` says nothing.
fn joined_parts(
    sets: [Condition; 2],
    rest: Vec<Condition>,
    decides: Condition,
    neutral: Condition,
    make: impl FnOnce(Box<[Condition]>) -> Condition,
) -> Condition {
    let mut parts: Vec<Condition> = Vec::with_capacity(rest.len() + 2);
    for set in sets {
        if set == decides {
            return decides;
        }
        if set != neutral {
            parts.push(set);
        }
    }
    parts.extend(rest);
    match (parts.len(), parts.pop()) {
        (_, None) => neutral,
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            make(parts.into())
        }
    }
}
