//! A record as rules see it: decoded, and completed with what is known of its customer and of its place. The worker and the
//! thread that fills rules from history read alike, so that both find the same.

use std::sync::Arc;

use super::locating::Locating;
use crate::core::event::decode::{Attributes, Decoder, RejectReason, Scratch};
use crate::core::event::{Event, TextField};
use crate::core::time::{Span, Time};
use crate::delivery::customers::{Customers, Profile};

/// Makes events of records, one after the other.
pub struct EventReader {
    decoder: Arc<Decoder>,
    pub scratch: Scratch,
    customers: Arc<dyn Customers>,
    /// Of the customer of the event at hand.
    profile: Option<Arc<Profile>>,
    pub locating: Locating,
    max_ahead: Span,
}

impl EventReader {
    pub fn new(
        decoder: Arc<Decoder>,
        customers: Arc<dyn Customers>,
        locating: Locating,
        max_ahead: Span,
    ) -> Self {
        Self { decoder, scratch: Scratch::default(), customers, profile: None, locating, max_ahead }
    }

    /// Reads one record. `stored`: Kafka's time of it, if it has one; `names_customers`: some rule asks about customers.
    pub fn read<'a>(
        &'a mut self,
        payload: &'a [u8],
        attributes: Attributes<'a>,
        stored: Option<Time>,
        names_customers: bool,
    ) -> Result<Event<'a>, RejectReason> {
        let Self { decoder, scratch, customers, profile, locating, max_ahead } = self;
        let mut event = decoder.decode_with(payload, attributes, scratch)?;
        if stored.is_some_and(|stored| event.time > stored + *max_ahead) {
            return Err(RejectReason::TooFarAhead);
        }
        if names_customers {
            *profile = event.text(TextField::AccountId).and_then(|account| customers.profile(account));
            if let Some(profile) = profile {
                profile.describe(&mut event);
            }
        }
        locating.locate(&mut event);
        Ok(event)
    }
}
