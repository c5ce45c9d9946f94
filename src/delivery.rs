//! Delivery decides how effects are carried out: who is told, by which way, in which words, how often, and when not.
//!
//! It declares what it needs from the outside as traits ([`customers::Customers`], [`store::Store`],
//! [`outbox::Mailer`]); the edge implements them. Nothing here reads a clock: times come from effects or arguments.

pub mod customers;
pub mod dispatch;
pub mod guard;
pub mod notice;
pub mod outbox;
pub mod ownership;
pub mod proposal;
pub mod render;
#[cfg(test)]
pub mod samples;
pub mod store;
