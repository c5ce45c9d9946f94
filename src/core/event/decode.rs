//! A record's bytes into an [`Event`], or the reason why they are none.
//!
//! Most records take one pass that borrows from the record. Whatever surprises that pass (a number where a text is
//! usual, a broken record, a mapping in the configuration) is read again with care: value by value from its own text, so
//! that nothing passes through a float and the first thing that is wrong is named.

mod attributes;
mod careful;
mod draft;
mod quick;
mod reject;
mod slot;
mod value;

use super::faults::{FaultMemory, FaultTable, UnknownFaults};
use super::mapping::Mapping;
use super::{Event, EventType, TextField};
use crate::core::time::{Span, Time};
use attributes::Mode;
use draft::Draft;

pub use attributes::Attributes;
pub use reject::RejectReason;
pub use slot::Slot;
pub use value::TimeFormat;

/// Larger records are refused.
pub const MAX_BYTES: usize = 1 << 20;
/// Objects and arrays may be nested this deep, so that no record can exhaust the stack.
pub const MAX_DEPTH: usize = 32;
/// Longer identifiers are refused.
pub const MAX_ID_BYTES: usize = 256;
/// Longer texts are refused, except for user agents, which are cut: a customer may send any.
pub const MAX_TEXT_BYTES: usize = 1_024;

/// What the configuration says about events.
#[derive(Clone, Debug)]
pub struct EventSettings {
    /// The platform's own fields, in the order of their slots.
    pub extra: Vec<String>,
    pub mapping: Mapping,
    pub faults: FaultTable,
    /// An event whose time is further ahead of its record's is refused by the reader.
    pub max_ahead: Span,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            extra: Vec::new(),
            mapping: Mapping::default(),
            faults: FaultTable::default(),
            max_ahead: Span::from_mins(5),
        }
    }
}

/// Reads records. It never changes, so that all workers may share it; what reading learns is in the [`Scratch`].
#[derive(Debug)]
pub struct Decoder {
    settings: EventSettings,
}

/// What one worker keeps between records.
#[derive(Debug, Default)]
pub struct Scratch {
    faults: FaultMemory,
}

impl Scratch {
    /// How often failures came whose fault is unknown, since the last call.
    pub fn take_unknown_faults(&mut self) -> UnknownFaults {
        self.faults.take_unknown()
    }
}

impl Decoder {
    pub fn new(settings: EventSettings) -> Self {
        Self { settings }
    }

    /// Reads one record: an event as such, or one in a CloudEvents envelope.
    pub fn decode<'a>(&self, payload: &'a [u8], scratch: &'a mut Scratch) -> Result<Event<'a>, RejectReason> {
        self.decode_with(payload, Attributes::default(), scratch)
    }

    /// Reads one record with its headers, which say that it is a CloudEvent, or hold in binary mode what the envelope holds
    /// elsewhere.
    pub fn decode_with<'a>(
        &self,
        payload: &'a [u8],
        attributes: Attributes<'a>,
        scratch: &'a mut Scratch,
    ) -> Result<Event<'a>, RejectReason> {
        let json = text(payload)?;
        let mode = attributes.mode();
        if mode == Mode::Batch {
            return Err(RejectReason::Batch);
        }
        let mut event = blank();
        let is_plain = self.settings.mapping.is_empty();
        let mut draft = Draft::new(&mut event);
        if is_plain && quick::read(json, &self.settings.extra, &mut draft).is_ok() {
            match mode {
                // An envelope is never read in this pass.
                Mode::Structured => return Err(RejectReason::NoSpecVersion),
                Mode::Plain => attributes.fill(&self.settings.mapping, &mut draft),
                Mode::Batch => {}
            }
            draft.finish()?;
        } else {
            event = blank();
            self.read_with_care(json, attributes, &mut event)?;
        }
        let code = event.text(TextField::ErrorCode);
        event.fault = self.settings.faults.judge(event.event_type, code, &mut scratch.faults);
        Ok(event)
    }

    #[cold]
    fn read_with_care<'a>(
        &self,
        json: &'a str,
        attributes: Attributes<'a>,
        event: &mut Event<'a>,
    ) -> Result<(), RejectReason> {
        if depth(json) > MAX_DEPTH {
            return Err(RejectReason::TooDeep);
        }
        let mut draft = Draft::new(event);
        let is_envelope = careful::read(json, &self.settings, &mut draft)?;
        match (attributes.mode(), is_envelope) {
            (Mode::Structured, false) => return Err(RejectReason::NoSpecVersion),
            (Mode::Structured, true) | (Mode::Batch, _) => {}
            (Mode::Plain, _) => attributes.fill(&self.settings.mapping, &mut draft),
        }
        draft.finish()
    }
}

/// What a draft starts from; its type and time are replaced before anybody sees them.
fn blank<'a>() -> Event<'a> {
    Event::new(EventType::OrderCreated, Time::MIN)
}

/// The record as text of bounded size.
fn text(payload: &[u8]) -> Result<&str, RejectReason> {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    if payload.is_empty() {
        return Err(RejectReason::Empty);
    }
    if payload.len() > MAX_BYTES {
        return Err(RejectReason::TooLarge);
    }
    let payload = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
    std::str::from_utf8(payload).map_err(|_| RejectReason::NotUtf8)
}

/// How deep a record nests. Texts don't count; where it is no JSON, any answer will do.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
