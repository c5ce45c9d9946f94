//! Whose fault an error code is: the configuration's table, then the shipped one; the first match wins.
//!
//! Codes are matched without regard to ASCII case; `*` stands for any text, `?` for one character.

use std::collections::BTreeMap;

use compact_str::CompactString;
use hashbrown::HashMap;

use super::{EventType, Fault, Symbol};

/// Codes whose fault is remembered; the ones above are matched against the table each time they come.
const REMEMBERED_CODES: usize = 4_096;
/// Unknown codes that are counted one by one; the ones above are counted together.
const COUNTED_UNKNOWN_CODES: usize = 100;
/// Longer codes are cut before they are counted, since they are no codes.
const COUNTED_CODE_LENGTH: usize = 64;

/// What is common among platforms. A supplier's or the platform's own trouble often says `TIMEOUT` or `INSUFFICIENT`
/// too, so they come before the words of channels and customers; but an acquirer's `ACQ_SYSTEM_ERROR` is the channel's.
const SHIPPED: [(&str, Fault); 45] = [
    ("*SUPPLIER*", Fault::Supplier),
    ("*VENDOR*", Fault::Supplier),
    ("*STOCK*", Fault::Supplier),
    ("*INVENTORY*", Fault::Supplier),
    ("*SOLD_OUT*", Fault::Supplier),
    ("*OPERATOR_*", Fault::Supplier),
    ("*INTERNAL*", Fault::Platform),
    ("*PLATFORM*", Fault::Platform),
    ("ACQ_SYSTEM*", Fault::Channel),
    ("ACQ.SYSTEM*", Fault::Channel),
    ("*SYSTEM*", Fault::Platform),
    ("*SERVER_ERROR*", Fault::Platform),
    ("*DATABASE*", Fault::Platform),
    ("DB_*", Fault::Platform),
    ("*CHANNEL*", Fault::Channel),
    ("*GATEWAY*", Fault::Channel),
    ("*ACQUIRER*", Fault::Channel),
    ("ACQ_*", Fault::Channel),
    ("*UPSTREAM*", Fault::Channel),
    ("*BANK_UNAVAILABLE*", Fault::Channel),
    ("*TIMEOUT*", Fault::Channel),
    ("*TIMED_OUT*", Fault::Channel),
    ("*PASSWORD*", Fault::Customer),
    ("*PASSWD*", Fault::Customer),
    ("*WRONG_*", Fault::Customer),
    ("*BALANCE*", Fault::Customer),
    ("*INSUFFICIENT*", Fault::Customer),
    ("*LIMIT_EXCEEDED*", Fault::Customer),
    ("*CVV*", Fault::Customer),
    ("*CVC*", Fault::Customer),
    ("*OTP*", Fault::Customer),
    ("*CAPTCHA*", Fault::Customer),
    ("*CUSTOMER*", Fault::Customer),
    ("*USER_CANCEL*", Fault::Customer),
    ("*CANCELLED_BY_USER*", Fault::Customer),
    ("*CARD_EXPIRED*", Fault::Customer),
    ("*EXPIRED_CARD*", Fault::Customer),
    ("*INVALID_ACCOUNT*", Fault::Customer),
    ("*INVALID_CARD*", Fault::Customer),
    ("*INVALID_CREDENTIALS*", Fault::Customer),
    ("*INVALID_PHONE*", Fault::Customer),
    ("*INVALID_CODE*", Fault::Customer),
    ("*ALREADY_REDEEMED*", Fault::Customer),
    ("*ALREADY_USED*", Fault::Customer),
    ("*ACCOUNT_LOCKED*", Fault::Customer),
];

/// Patterns of error codes in the order in which they are tried.
#[derive(Clone, Debug)]
pub struct FaultTable {
    entries: Vec<(Box<str>, Fault)>,
}

impl Default for FaultTable {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl FaultTable {
    /// The given patterns, before the shipped ones.
    pub fn new(first: Vec<(String, Fault)>) -> Self {
        let first = first.into_iter().map(|(pattern, fault)| (pattern.into_boxed_str(), fault));
        let shipped = SHIPPED.iter().map(|(pattern, fault)| (Box::from(*pattern), *fault));
        Self { entries: first.chain(shipped).collect() }
    }

    /// The fault of a code; [`Fault::Unknown`] where no pattern fits.
    pub fn fault(&self, code: &str) -> Fault {
        let fits = |(pattern, _): &&(Box<str>, Fault)| matches(pattern.as_bytes(), code.as_bytes());
        self.entries.iter().find(fits).map_or(Fault::Unknown, |(_, fault)| *fault)
    }

    /// The fault of an event of a type with or without a code, with what earlier events have taught.
    pub(super) fn judge(&self, event_type: EventType, code: Option<&str>, memory: &mut FaultMemory) -> Fault {
        if !event_type.is_failure() {
            return Fault::None;
        }
        let Some(code) = code else {
            memory.without_code += 1;
            return Fault::Unknown;
        };
        let symbol = Symbol::of(code);
        let fault = match memory.known.get(&symbol) {
            Some(fault) => *fault,
            None => {
                let fault = self.fault(code);
                if memory.known.len() < REMEMBERED_CODES {
                    memory.known.insert(symbol, fault);
                }
                fault
            }
        };
        if fault == Fault::Unknown {
            memory.count_unknown(code);
        }
        fault
    }
}

/// Whether a pattern covers the whole of a text. Backtracks to the latest `*` only, so that no pattern is slow.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(from) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(b'?') => {
                at += 1;
                from += character_length(*byte);
            }
            Some(expected) if expected.eq_ignore_ascii_case(byte) => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((back_at, back_from)) = star else { return false };
                star = Some((back_at, back_from + 1));
                at = back_at + 1;
                from = back_from + 1;
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

const fn character_length(first: u8) -> usize {
    match first {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    }
}

/// What one worker has learnt about codes: their faults, and how often unknown ones came.
#[derive(Debug, Default)]
pub struct FaultMemory {
    // Looked up per failure; its order never matters.
    known: HashMap<Symbol, Fault>,
    unknown: BTreeMap<CompactString, u64>,
    other: u64,
    without_code: u64,
}

/// How often failures came whose fault is unknown, since the last time somebody asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownFaults {
    pub by_code: BTreeMap<CompactString, u64>,
    /// Those of codes above the number that is counted one by one.
    pub other_codes: u64,
    pub without_code: u64,
}

impl FaultMemory {
    fn count_unknown(&mut self, code: &str) {
        let end = (0..=COUNTED_CODE_LENGTH.min(code.len())).rev().find(|end| code.is_char_boundary(*end));
        let code = end.and_then(|end| code.get(..end)).unwrap_or_default();
        if let Some(count) = self.unknown.get_mut(code) {
            *count += 1;
        } else if self.unknown.len() < COUNTED_UNKNOWN_CODES {
            self.unknown.insert(CompactString::from(code), 1);
        } else {
            self.other += 1;
        }
    }

    /// Takes the counts; the codes that were counted keep their places so that the bound holds over time.
    pub fn take_unknown(&mut self) -> UnknownFaults {
        let by_code = self
            .unknown
            .iter_mut()
            .filter(|(_, count)| **count > 0)
            .map(|(code, count)| (code.clone(), std::mem::take(count)))
            .collect();
        UnknownFaults {
            by_code,
            other_codes: std::mem::take(&mut self.other),
            without_code: std::mem::take(&mut self.without_code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_covers_the_whole_code_without_regard_to_case() {
        for (pattern, code, expected) in [
            ("WRONG_*", "WRONG_PASSWORD", true),
            ("WRONG_*", "wrong_password", true),
            ("WRONG_*", "E_WRONG_PASSWORD", false),
            ("*TIMEOUT", "E_TIMEOUT", true),
            ("*TIMEOUT", "TIMEOUT_2", false),
            ("5??", "504", true),
            ("5??", "5042", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("余额?足", "余额不足", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), code.as_bytes()), expected, "{pattern} on {code}");
        }
    }

    #[test]
    fn the_configured_patterns_come_before_the_shipped_ones() {
        let table = FaultTable::new(vec![("E_TIMEOUT".to_owned(), Fault::Supplier)]);
        assert_eq!(table.fault("E_TIMEOUT"), Fault::Supplier);
        assert_eq!(table.fault("GATEWAY_TIMEOUT"), Fault::Channel);
    }

    #[test]
    fn the_shipped_table_knows_the_usual_codes() {
        let table = FaultTable::default();
        for (code, fault) in [
            ("WRONG_PASSWORD", Fault::Customer),
            ("INSUFFICIENT_BALANCE", Fault::Customer),
            ("INSUFFICIENT_STOCK", Fault::Supplier),
            ("SUPPLIER_TIMEOUT", Fault::Supplier),
            ("CHANNEL_TIMEOUT", Fault::Channel),
            ("E_TIMEOUT", Fault::Channel),
            ("SYSTEM_ERROR", Fault::Platform),
            ("ACQ_SYSTEM_ERROR", Fault::Channel),
            ("ACQ.SYSTEM_ERROR", Fault::Channel),
            ("E1234", Fault::Unknown),
        ] {
            assert_eq!(table.fault(code), fault, "{code}");
        }
    }

    #[test]
    fn only_failures_have_a_fault_and_those_without_a_code_an_unknown_one() {
        let (table, mut memory) = (FaultTable::default(), FaultMemory::default());
        for (event_type, code, fault) in [
            (EventType::OrderDelivered, Some("E_TIMEOUT"), Fault::None),
            (EventType::OrderRefunded, None, Fault::None),
            (EventType::OrderFailed, Some("E_TIMEOUT"), Fault::Channel),
            (EventType::OrderFailed, None, Fault::Unknown),
            (EventType::LoginFailed, Some("nobody knows"), Fault::Unknown),
        ] {
            assert_eq!(table.judge(event_type, code, &mut memory), fault, "{event_type} {code:?}");
        }
        let unknown = memory.take_unknown();
        assert_eq!(unknown.without_code, 1);
        assert_eq!(unknown.by_code.get("nobody knows"), Some(&1));
        assert_eq!(memory.take_unknown(), UnknownFaults::default());
    }

    #[test]
    fn unknown_codes_above_the_bound_are_counted_together() {
        let (table, mut memory) = (FaultTable::default(), FaultMemory::default());
        for number in 0..COUNTED_UNKNOWN_CODES + 20 {
            table.judge(EventType::OrderFailed, Some(&format!("X{number}")), &mut memory);
        }
        let unknown = memory.take_unknown();
        assert_eq!((unknown.by_code.len(), unknown.other_codes), (COUNTED_UNKNOWN_CODES, 20));
    }
}
