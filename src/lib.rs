//! forewarn tells the customers of virtual-goods platforms about trouble before they complain.
//!
//! # The map of the house
//!
//! Imports point inward only: `cli → daemon → edge → delivery → core`. A test enforces it.
//!
//! - [`core`] decides: (state, event) → (state, effects). No IO, no wall clock, no threads, no async.
//! - [`delivery`] decides how effects are carried out and declares what it needs for that; the edges implement it.
//! - [`edge`] is where the house meets its neighbours, one module per neighbour.
//! - [`daemon`] builds everything in order, runs the worker's loop, drains and stops.
//! - [`settings`] turns the written configuration into the checked one.
//! - [`sim`] is a simulated platform with planted problems, to measure and to show the product with.
//! - [`cli`] is the command line, one file per verb.

pub mod cli;
pub mod core;
pub mod daemon;
pub mod delivery;
pub mod edge;
pub mod settings;
pub mod sim;
