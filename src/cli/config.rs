//! `forewarn config`: the configuration's full example, and what holds after all layers.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::settings::{self, Layers, ShowOrigin, Sources};

/// Print an example of the configuration, or the one that holds
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  forewarn config example > forewarn.toml\n  forewarn config show -c forewarn.toml --origin"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print every section and key with its default and what it means
    #[command(after_help = "Examples:\n  forewarn config example > forewarn.toml")]
    Example,
    /// Print what holds after file and environment; secrets read ***
    #[command(
        after_help = "Examples:\n  forewarn config show -c forewarn.toml\n  FOREWARN__SMTP__PORT=2525 forewarn config show -c forewarn.toml --origin"
    )]
    Show {
        /// The configuration file; without it, the defaults and the environment
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Say behind each value where it comes from
        #[arg(long)]
        origin: bool,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match &arguments.verb {
        Verb::Example => out.write_all(settings::EXAMPLE.as_bytes())?,
        Verb::Show { config, origin } => {
            let layers = Layers::read(&Sources { file: config.clone(), ..Sources::default() })?;
            let origin = if *origin { ShowOrigin::Yes } else { ShowOrigin::No };
            out.write_all(layers.show(origin).as_bytes())?;
            // What is wrong with it belongs on stderr, below what it is.
            layers.check()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
