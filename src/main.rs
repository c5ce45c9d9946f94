//! argv to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    forewarn::cli::run(forewarn::cli::parse())
}
