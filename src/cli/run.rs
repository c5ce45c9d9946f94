//! `forewarn run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use crate::daemon::{self, RunOptions, Setup};
use crate::delivery::outbox::WallClock;
use crate::edge::clock;
use crate::settings::{Settings, Sources};

/// Read events from Kafka, open tickets, tell customers
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewarn run -c forewarn.toml
  forewarn run -c forewarn.toml --until-end        read to the present ends of the topics, then stop

SIGHUP, a change of the rule files and POST /-/reload (with http.reload_token) read the rules anew; what is wrong with
them leaves the old ones as they are.

SIGTERM and SIGINT stop it with everything durable (within shutdown_timeout); a second signal ends it at once.")]
pub(super) struct Arguments {
    /// The configuration file; without it, the defaults and the environment
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop by itself, everything durable, at the offsets that are the ends now
    #[arg(long)]
    until_end: bool,
    /// Where retention has taken records that were to be read next, go on at the oldest that is left
    #[arg(long)]
    accept_gaps: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let options = RunOptions { until_end: arguments.until_end, accept_gaps: arguments.accept_gaps };
    serve(arguments.config.clone(), options, Arc::new(clock::now))
}

/// The daemon by this clock.
pub(super) fn serve(
    config: Option<PathBuf>,
    options: RunOptions,
    clock: Arc<dyn WallClock>,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&Sources { file: config, ..Sources::default() })?;
    let load = super::setup::load_options(&settings);
    let path = &settings.rules.path;
    if !path.exists() {
        bail!(
            "there is nothing at {} (rules.path); expected a rule file or a folder of them",
            path.display()
        );
    }
    let rules = super::setup::rule_set(path, &load)?;
    let path = path.clone();
    let load = Arc::new(move || super::setup::rule_set(&path, &load).map_err(|error| format!("{error:#}")));
    daemon::run(Setup { settings, rules, clock, load }, options)?;
    Ok(ExitCode::SUCCESS)
}
