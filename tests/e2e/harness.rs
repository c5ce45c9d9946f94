//! What an end-to-end test works with: a broker, a mailbox, the daemon as a child process, and its database.

pub mod broker;
pub mod daemon;
pub mod events;
pub mod mailbox;
pub mod postgres;
pub mod settled;
pub mod store;
pub mod wait;
pub mod world;
