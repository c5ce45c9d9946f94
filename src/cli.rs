//! The command line: one file per verb. Data goes to stdout, logs and progress to stderr.
//!
//! Exit codes: 0 ok, 1 failed, 2 usage, 3 lint.

mod check;
mod config;
mod demo;
mod format;
mod replay;
mod run;
mod schema;
mod score;
mod selection;
mod setup;
mod shadow;
mod simulate;
mod status;
mod test;
mod ticket;
mod timeline;
mod version;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tells the customers of virtual-goods platforms about trouble before they complain.
#[derive(Debug, Parser)]
#[command(name = "forewarn", version, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::CheckArguments),
    Config(config::Arguments),
    Demo(demo::Arguments),
    #[command(hide = true)]
    DemoBroker(demo::BrokerArguments),
    #[command(hide = true)]
    DemoDaemon(demo::DaemonArguments),
    Replay(replay::ReplayArguments),
    Run(run::Arguments),
    Schema(schema::Arguments),
    #[command(hide = true)]
    Score(score::Arguments),
    Shadow(shadow::Arguments),
    Simulate(simulate::Arguments),
    Status(status::Arguments),
    Test(test::TestArguments),
    Ticket(ticket::Arguments),
    Version(version::Arguments),
}

/// Runs the verb that was asked for. A verb returns its exit code, or an error that is told here and ends with 1.
pub fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.verb {
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Config(arguments) => config::run(&arguments),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::DemoBroker(arguments) => demo::run_broker(&arguments),
        Verb::DemoDaemon(arguments) => demo::run_daemon(&arguments),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Score(arguments) => score::run(&arguments),
        Verb::Shadow(arguments) => shadow::run(&arguments),
        Verb::Simulate(arguments) => simulate::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Ticket(arguments) => ticket::run(&arguments),
        Verb::Version(arguments) => version::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            // Whoever reads has seen enough.
            return ExitCode::SUCCESS;
        }
        // Where stderr is gone, there is nobody left to tell.
        let _told = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Parses the arguments; a usage error ends the process with code 2, `--help` with 0.
pub fn parse() -> Arguments {
    Arguments::parse()
}
