//! What a record's headers say of the event in it: CloudEvents' binary mode, and which mode it is.

use std::borrow::Cow;

use super::draft::Draft;
use super::value::{self, TimeFormat};
use super::{RejectReason, Slot};
use crate::core::event::TextField;
use crate::core::event::mapping::Mapping;

/// The values of the headers that a CloudEvent has in Kafka. They come from outside: they may be anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    pub id: Option<&'a [u8]>,
    pub event_type: Option<&'a [u8]>,
    pub time: Option<&'a [u8]>,
    pub source: Option<&'a [u8]>,
    pub spec_version: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
}

/// How a record holds its event, by its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The record is the event, in binary mode too; or an envelope that no header tells of.
    Plain,
    /// The record is an envelope.
    Structured,
    /// The record is a list of envelopes, which Kafka's binding does not know.
    Batch,
}

/// The one version that there is.
pub(super) const SPEC_VERSION: &str = "1.0";

impl<'a> Attributes<'a> {
    /// The names of the headers, in the order of [`Attributes::of`].
    pub const HEADERS: [&'static str; 6] =
        ["ce_id", "ce_type", "ce_time", "ce_source", "ce_specversion", "content-type"];

    pub const fn of(
        [id, event_type, time, source, spec_version, content_type]: [Option<&'a [u8]>; 6],
    ) -> Self {
        Self { id, event_type, time, source, spec_version, content_type }
    }

    pub(super) fn mode(&self) -> Mode {
        let Some(content_type) = self.content_type else { return Mode::Plain };
        let begins = |with: &[u8]| {
            let begin = content_type.trim_ascii_start().get(..with.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with))
        };
        if begins(b"application/cloudevents-batch") {
            Mode::Batch
        } else if begins(b"application/cloudevents") {
            Mode::Structured
        } else {
            Mode::Plain
        }
    }

    /// The attributes of binary mode; they win over the record's own fields. The type may be the platform's word for it.
    pub(super) fn fill(self, mapping: &Mapping, draft: &mut Draft<'_, 'a>) {
        if let Some(version) = self.spec_version
            && version != SPEC_VERSION.as_bytes()
        {
            draft.refuse(RejectReason::OtherSpecVersion);
        }
        if let Some(id) = text(self.id, draft) {
            draft.set_text(Slot::Text(TextField::Id), Cow::Borrowed(id));
        }
        if let Some(event_type) = text(self.event_type, draft) {
            let ours = mapping.type_named(event_type).map(|ours| Cow::Owned(ours.to_owned()));
            draft.set_text(Slot::Type, ours.unwrap_or(Cow::Borrowed(event_type)));
        }
        if let Some(time) = text(self.time, draft) {
            draft.set_time(value::time_text(time, TimeFormat::Any));
        }
        if let Some(source) = text(self.source, draft) {
            draft.set_source(source);
        }
    }
}

/// A header's value as text, if there is one.
fn text<'a>(value: Option<&'a [u8]>, draft: &mut Draft<'_, 'a>) -> Option<&'a str> {
    match std::str::from_utf8(value?) {
        Ok(text) if text.contains('\0') => draft.refuse(RejectReason::Nul),
        Ok(text) => return Some(text),
        Err(_) => draft.refuse(RejectReason::NotUtf8),
    }
    None
}
