//! `forewarn schema`: what editors need to complete and check the files that people write.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use crate::core::rule::parse::schema;

/// Print the JSON Schema of a kind of file
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  forewarn schema rules > rules.schema.json")]
pub(super) struct Arguments {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Print the schema of rule files (draft 2020-12)
    #[command(after_help = "Examples:
  forewarn schema rules > rules/rules.schema.json

Editors with a YAML language server use it when the first line of a rule file names it:
  # yaml-language-server: $schema=rules.schema.json")]
    Rules,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let schema = match arguments.of {
        Of::Rules => schema::rules(),
    };
    writeln!(std::io::stdout().lock(), "{schema:#}")?;
    Ok(ExitCode::SUCCESS)
}
