//! The whole program against a real Kafka and a real SMTP server. `scripts/test` starts the broker and names it in
//! `FOREWARN_TEST_KAFKA`; without that the tests start it themselves through `scripts/kafka`, and fail where that fails.
//! The same holds for PostgreSQL, `FOREWARN_TEST_POSTGRES` and `scripts/postgres`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]
#![expect(clippy::print_stdout, reason = "what helps after a failure is printed")]

mod backlog; // a day that nobody has read
mod bad_input; // what can't be read
mod changelog; // another machine goes on
mod crash; // kill -9 while events flow
mod demo; // the demonstration
mod harness; // broker, mailbox, daemon and store as a test sees them
mod mail_outage; // a mail server that is out of order
mod operation; // metrics, health, refused configurations
mod pipeline; // events in, ticket and mail out
mod postgres; // the store on a server, shared by several daemons
mod reload; // rules that change meanwhile
mod shadow; // a rule in the shadow of production
mod stretch; // a stretch of Kafka replayed, against its file
mod world; // a simulated world against its replay

// The contract of stores, which the library's own tests run against SQLite. It names what it needs as the library does.
use forewarn::core;
#[path = "../../src/edge/store/contract.rs"]
mod contract;
#[path = "../../src/delivery/samples.rs"]
pub mod samples;

mod delivery {
    pub use forewarn::delivery::*;

    pub use crate::samples;
}
