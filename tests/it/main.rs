//! Everything that can be checked without a server: the rules of the house, the licences and the command line.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bad_rules; // rule files that are wrong in every way
mod cli; // stdout, stderr and exit codes of every verb
mod docs; // the examples of the documentation do what they say
mod events; // generated records are read or refused
mod inputs; // what replay reads, packed, in several files, or broken
mod language; // the examples of the rule language load
mod licences; // what the dependencies may be licensed under
mod memory; // what a subject costs in each kind and each shipped rule
mod proof; // what an author knows of a rule before it goes live
mod replay; // two rule sets over the same events, and why a ticket was opened or not
mod schema; // what editors check rule files by
mod score; // a small simulated world: what was planted is found, and little else
mod silences; // what people have asked not to hear of
mod source; // reading our own source: code without comments and strings, and the paths it names
mod tidy; // the rules about the code that no compiler knows
mod yaml; // YAML as an editor reads it
