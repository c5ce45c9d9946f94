//! The command line: one file per verb. Data goes to stdout, logs and progress to stderr.
//!
//! Exit codes: 0 ok, 1 failed, 2 usage, 3 lint.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tells the customers of virtual-goods platforms about trouble before they complain.
#[derive(Debug, Parser)]
#[command(name = "forewarn", version, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {}

/// Runs the verb that was asked for.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.verb {}
}

/// Parses the arguments; a usage error ends the process with code 2, `--help` with 0.
pub fn parse() -> Arguments {
    Arguments::parse()
}
