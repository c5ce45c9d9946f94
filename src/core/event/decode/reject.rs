//! Why a record is not an event.

use thiserror::Error;

use super::{MAX_BYTES, MAX_DEPTH, MAX_ID_BYTES, MAX_TEXT_BYTES};

/// The reason why a record was refused: its label in metrics, its sentence in the dead-letter topic. Neither holds
/// anything of the record itself, since that may be personal.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RejectReason {
    #[error("the record has no value")]
    Empty,
    #[error("the record is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the record nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the record is not UTF-8")]
    NotUtf8,
    #[error("the record, or a text in it, holds a NUL byte")]
    Nul,
    #[error("the record is not one whole JSON value")]
    NotJson,
    #[error("the record is JSON, but not an object")]
    NotAnObject,
    #[error("the record's headers say that it is a CloudEvent, and it has no `specversion`")]
    NoSpecVersion,
    #[error("the CloudEvent's `specversion` is not 1.0")]
    OtherSpecVersion,
    #[error("the CloudEvent's data is in `data_base64`; expected JSON in `data`")]
    DataBase64,
    #[error("the record is a batch of CloudEvents; expected one in each record")]
    Batch,
    #[error("the event has no `id`")]
    MissingId,
    #[error("the event has no `type`")]
    MissingType,
    #[error("the event's `type` is none of the known ones")]
    UnknownType,
    #[error("the event has no `time`")]
    MissingTime,
    #[error("the event's `time` is neither RFC 3339 nor seconds or milliseconds since 1970")]
    BadTime,
    #[error("the event's `time` lies before the year 2000 or after 2099")]
    AbsurdTime,
    #[error("the event's `time` is too far ahead of the record's own")]
    TooFarAhead,
    #[error("the event has no `account_id`")]
    MissingAccount,
    #[error("the event's `{0}` has a value of the wrong type or form")]
    WrongType(&'static str),
    #[error(
        "the event's `{0}` is longer than {MAX_ID_BYTES} (identifiers) or {MAX_TEXT_BYTES} (other texts) bytes"
    )]
    TooLong(&'static str),
}

impl RejectReason {
    /// One of each label, so that every counter exists from the start.
    pub const ALL: [Self; 21] = [
        Self::Empty,
        Self::TooLarge,
        Self::TooDeep,
        Self::NotUtf8,
        Self::Nul,
        Self::NotJson,
        Self::NotAnObject,
        Self::NoSpecVersion,
        Self::OtherSpecVersion,
        Self::DataBase64,
        Self::Batch,
        Self::MissingId,
        Self::MissingType,
        Self::UnknownType,
        Self::MissingTime,
        Self::BadTime,
        Self::AbsurdTime,
        Self::TooFarAhead,
        Self::MissingAccount,
        Self::WrongType("id"),
        Self::TooLong("id"),
    ];

    /// The label in metrics, in the summary of a replay and in a dead letter's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::NotUtf8 => "not_utf8",
            Self::Nul => "nul",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::NoSpecVersion => "no_specversion",
            Self::OtherSpecVersion => "other_specversion",
            Self::DataBase64 => "data_base64",
            Self::Batch => "batch",
            Self::MissingId => "missing_id",
            Self::MissingType => "missing_type",
            Self::UnknownType => "unknown_type",
            Self::MissingTime => "missing_time",
            Self::BadTime => "bad_time",
            Self::AbsurdTime => "absurd_time",
            Self::TooFarAhead => "too_far_ahead",
            Self::MissingAccount => "missing_account",
            Self::WrongType(_) => "wrong_type",
            Self::TooLong(_) => "too_long",
        }
    }
}
