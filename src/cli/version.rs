//! `forewarn version`: what this program is.

use std::io::Write;
use std::process::ExitCode;

use super::format::Format;
use crate::settings::build;

/// Print version, revision and compiler
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  forewarn version\n  forewarn version --format json")]
pub(super) struct Arguments {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let (version, revision, rustc) = (build::VERSION, build::REVISION, build::RUSTC);
    match arguments.format {
        Format::Text => writeln!(out, "forewarn {version} (revision {revision}, {rustc})")?,
        Format::Json => {
            let shown = serde_json::json!({ "version": version, "revision": revision, "rustc": rustc });
            writeln!(out, "{shown}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
