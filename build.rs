//! Tells the program which revision it was built from and by which compiler.

#![expect(clippy::disallowed_methods, reason = "what a build script is told stands in the environment")]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FOREWARN_REVISION");
    let compiler = env::var("RUSTC").ok().and_then(|rustc| answer(&rustc, &["--version"]));
    println!("cargo::rustc-env=FOREWARN_RUSTC={}", compiler.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=FOREWARN_REVISION={}", revision());
}

/// The revision that a packager names, or the one of the clone that a release is built from. Other builds have none:
/// they would have to be repeated after every commit.
fn revision() -> String {
    if let Ok(revision) = env::var("FOREWARN_REVISION") {
        return revision;
    }
    if env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return "debug".to_owned();
    }
    if let Some(log) = answer("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    answer("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
}

/// The first line that a program prints.
fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
