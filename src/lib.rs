//! forewarn tells the customers of virtual-goods platforms about trouble before they complain.
//!
//! # The map of the house
//!
//! Imports point inward only: `cli → daemon → edge → delivery → core`. A test enforces it.
//!
//! - [`core`] decides: (state, event) → (state, effects). No IO, no wall clock, no threads, no async.
//! - [`settings`] turns what was written in the configuration into what is checked; every edge takes its part of it.

pub mod core;
pub mod settings;
