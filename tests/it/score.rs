//! A small world from `simulate` through `replay` to `score`: the shipped rules find what was planted, tell those who would
//! complain, and leave the look-alikes alone. `scripts/score` asks the same of worlds of full size.

use std::path::Path;
use std::process::Command;

use forewarn::sim::score::{Claim, Score, score, share};
use forewarn::sim::truth::Truth;

const SEED: &str = "7";

fn forewarn(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What the shipped rules make of a day of 6,000 customers.
fn played(folder: &Path, clean: bool) -> Score {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut simulate = vec![
        "simulate",
        "--seed",
        SEED,
        "--days",
        "1",
        "--accounts",
        "6000",
        "--out",
        folder.to_str().unwrap(),
    ];
    simulate.extend(clean.then_some("--clean"));
    forewarn(&simulate);
    let (events, customers) = (at("events.jsonl"), at("customers.jsonl"));
    let effects = forewarn(&[
        "replay",
        "--rules",
        "rules",
        "--input",
        &events,
        "--customers",
        &customers,
        "--format",
        "json",
    ]);
    let lines = effects.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let claims: Vec<Claim> =
        lines.filter_map(|line| Claim::of_line(&serde_json::from_slice(line).unwrap())).collect();
    let truth: Truth = serde_json::from_slice(&std::fs::read(at("truth.json")).unwrap()).unwrap();
    score(&truth, &claims)
}

#[test]
fn the_shipped_rules_find_what_was_planted_and_little_else() {
    let folder = tempfile::tempdir().unwrap();
    let (eventful, quiet) = (folder.path().join("eventful"), folder.path().join("quiet"));
    let (eventful, quiet) = std::thread::scope(|scope| {
        let eventful = scope.spawn(|| played(&eventful, false));
        let quiet = played(&quiet, true);
        (eventful.join().unwrap(), quiet)
    });
    let all = &eventful.all;
    println!("seed {SEED}: {all:?}, notices {}, true {}", eventful.notices, eventful.true_notices);
    assert!(all.planted >= 10, "a world with little in it");
    assert!(share(all.ticketed, all.planted) >= 0.9, "missed: {:?}", eventful.missed);
    assert!(share(all.told_before, all.complaints) >= 0.85, "untold: {:?}", eventful.untold);
    assert!(all.tickets_per_cause() <= 2.0, "{:#?}", eventful.kinds);
    assert!(share(eventful.true_notices, eventful.notices) >= 0.95, "{:#?}", eventful.false_notices);
    assert!(eventful.false_tickets.len() <= 1, "{:#?}", eventful.false_tickets);
    assert!(quiet.false_tickets.len() <= 1, "{:#?}", quiet.false_tickets);
}
