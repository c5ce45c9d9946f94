//! Behaviour of shards and owner together: what is found, when, and about whom.

mod calendars;
mod catalog;
mod checkpoint;
mod customers;
mod flatline;
mod model;
mod properties;
mod ratio;
mod slices;
mod summed;
mod support;
