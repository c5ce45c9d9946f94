//! The simulated platform: customers with habits, partners with bad days, and a truth to be measured against.
//!
//! A world is a function of its [`Settings`]. It is written in the events' order of arrival, with the duplicates, the
//! disorder and the junk of a real stream, and it comes with the truth: which problems were planted, whom they touched,
//! who would complain and when, and what looks like trouble and is none.

pub mod accounts;
pub mod arrival;
pub mod complaints;
pub mod customers;
pub mod dice;
pub mod goods;
pub mod logins;
pub mod look_alikes;
pub mod market;
pub mod orders;
pub mod places;
pub mod plain;
pub mod plan;
pub mod record;
pub mod scene;
pub mod score;
pub mod stage;
pub mod trouble;
pub mod truth;
pub mod world;

use crate::core::time::{Span, Time};

/// What makes a world.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub seed: u64,
    pub start: Time,
    pub length: Span,
    pub accounts: u32,
    /// Nothing is planted but hiccups; everything that merely looks like trouble is still there.
    pub clean: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            start: Time::from_millis(1_791_129_600_000), // Monday 2026-10-05, midnight in Shanghai
            length: Span::from_mins(7 * 24 * 60),
            accounts: 30_000,
            clean: false,
        }
    }
}

impl Settings {
    pub fn end(&self) -> Time {
        self.start + self.length
    }

    /// The instant at this share of the world's length; negative shares lie before its start.
    pub fn moment(&self, share: f64) -> Time {
        self.start + Span::from_millis((self.length.as_millis() as f64 * share) as i64)
    }

    /// How long before a world's end nothing new begins, so that those whom it touches can still complain.
    pub fn aftermath(&self) -> Span {
        Span::from_mins(240).min(Span::from_millis(self.length.as_millis() / 8))
    }

    pub fn weeks(&self) -> f64 {
        self.length.as_millis() as f64 / (7.0 * 24.0 * 3_600_000.0)
    }
}
