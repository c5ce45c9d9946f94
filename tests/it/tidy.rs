//! The rules of the house that no compiler knows: which way imports point, what the core must not name, and how
//! a file looks.

use crate::source::{Source, repository, sources};

/// What each part may name beside itself. The arrows point inward; a new one is a decision of its own.
const MAY_NAME: [(&str, &[&str]); 7] = [
    ("core", &[]),
    ("delivery", &["core"]),
    ("settings", &["core", "delivery"]),
    ("edge", &["core", "delivery", "settings"]),
    ("sim", &["core", "delivery"]),
    ("daemon", &["core", "delivery", "edge", "settings"]),
    ("cli", &["core", "daemon", "delivery", "edge", "settings", "sim"]),
];

/// The one neighbour that the others at the edge may ask: what time it is.
const ASKED_BY_ALL: [&str; 1] = ["clock"];

/// Inside the core, from the innermost part on: each may name those before it and those of its own line.
const CORE: [&[&str]; 7] = [
    &["by_shard", "tests", "time"],
    &["codec", "event", "stats"],
    &["calendar"],
    &["effect", "rule"],
    &["clock"],
    &["duplicates", "shard", "scope", "incident", "desk"],
    &["engine"],
];

/// What would let the core wait, look at the world, or fail for its reasons.
const OUTSIDE_OF_THE_CORE: [&str; 22] = [
    "async",
    "await",
    "axum",
    "println!",
    "eprintln!",
    "lettre",
    "rdkafka",
    "sqlx",
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::time",
    "SystemTime",
    "Instant",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "tokio",
    "tracing",
    "rand",
];

/// A longer file has become two houses: split it by what it decides. The tests at its end don't count.
const LONGEST_FILE: usize = 550;

/// End-to-end tests look again and again until something holds; the pause between two looks is in this one file.
const WHERE_TESTS_MAY_PAUSE: &str = "tests/e2e/harness/wait.rs";

fn assert_none(offenders: Vec<String>, what: &str) {
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}

fn ours() -> Vec<Source> {
    ["src", "tests", "benches"].iter().flat_map(|folder| sources(folder)).collect()
}

#[test]
fn imports_point_inward() {
    let mut offenders = Vec::new();
    for source in sources("src") {
        let from = source.module();
        // The root names its modules, and nothing is outside of `main`.
        let Some(part) = from.first().filter(|part| *part != "main") else { continue };
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| name == part) else {
            offenders.push(format!("{}: a new part of the house; say here what it may name", source.path));
            continue;
        };
        for named in source.named() {
            let Some(to) = named.segments.first() else { continue };
            let is_part = MAY_NAME.iter().any(|(name, _)| name == to);
            if is_part && to != part && !allowed.contains(&to.as_str()) {
                let path = named.segments.join("::");
                offenders.push(format!("{}:{}: {part} must not know {path}", source.path, named.line));
            }
        }
    }
    assert_none(offenders, "imports that point outward");
}

#[test]
fn neighbours_at_the_edge_do_not_know_each_other() {
    let mut offenders = Vec::new();
    for source in sources("src/edge") {
        let Some(own) = source.module().get(1).cloned() else { continue };
        for named in source.named() {
            let [edge, other, ..] = named.segments.as_slice() else { continue };
            if edge == "edge" && *other != own && !ASKED_BY_ALL.contains(&other.as_str()) {
                let place = format!("{}:{}", source.path, named.line);
                offenders.push(format!("{place}: edge::{own} must not know edge::{other}"));
            }
        }
    }
    assert_none(offenders, "neighbours that know each other");
}

#[test]
fn inside_the_core_imports_point_inward_too() {
    let rank = |module: &str| CORE.iter().position(|line| line.contains(&module));
    let mut offenders = Vec::new();
    for source in sources("src/core") {
        let Some(own) = source.module().get(1).cloned() else { continue };
        let Some(own_rank) = rank(&own) else {
            offenders.push(format!("{}: a new part of the core; say here where it stands", source.path));
            continue;
        };
        for named in source.named() {
            let [core, other, ..] = named.segments.as_slice() else { continue };
            if core == "core" && rank(other).is_some_and(|rank| rank > own_rank) {
                let place = format!("{}:{}", source.path, named.line);
                offenders.push(format!("{place}: core::{own} must not know core::{other}"));
            }
        }
    }
    assert_none(offenders, "imports inside the core that point outward");
}

#[test]
fn the_core_knows_nothing_of_the_world() {
    let mut offenders = Vec::new();
    for source in sources("src/core") {
        for word in OUTSIDE_OF_THE_CORE {
            // Tests may draw random cases.
            let before = source.tests_start();
            let places = source.places_of(word).into_iter().filter(|(at, _)| *at < before);
            offenders.extend(places.map(|(_, place)| format!("{place}: {word}")));
        }
    }
    assert_none(offenders, "words that have no place in the core");
}

#[test]
fn every_file_says_first_what_it_decides() {
    let offenders =
        ours().into_iter().filter(|source| !source.text.starts_with("//! ")).map(|source| source.path);
    assert_none(offenders.collect(), "files that don't open with `//! `");
}

#[test]
fn no_file_has_become_two_houses() {
    let offenders = ours()
        .into_iter()
        .map(|source| {
            let end = if source.is_test() { source.code.len() } else { source.tests_start() };
            (source.code[..end].matches('\n').count(), source.path)
        })
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path}: {lines} lines"));
    assert_none(offenders.collect(), &format!("files of more than {LONGEST_FILE} lines"));
}

#[test]
fn nothing_unfinished_is_left_in_the_text() {
    let words = ["TODO", "FIXME", "XXX", "HACK"];
    let mut offenders = Vec::new();
    for source in ours().iter().filter(|source| source.path != "tests/it/tidy.rs") {
        for (number, line) in source.text.lines().enumerate() {
            let found = words.iter().find(|word| line.contains(*word));
            offenders.extend(found.map(|word| format!("{}:{}: {word}", source.path, number + 1)));
        }
        let places = source.places_of("dbg!").into_iter().chain(source.places_of("todo!"));
        offenders.extend(places.map(|(_, place)| place));
    }
    assert_none(offenders, "unfinished places");
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let mut offenders = Vec::new();
    for source in ours() {
        for opening in ["#[allow(", "#![allow("] {
            offenders.extend(source.places_of(opening).into_iter().map(|(_, place)| place));
        }
    }
    assert_none(offenders, "`allow` where `expect` belongs");
}

#[test]
fn tests_neither_sleep_nor_are_left_out() {
    let mut offenders = Vec::new();
    for source in ours() {
        let start = source.tests_start();
        if source.path != WHERE_TESTS_MAY_PAUSE {
            let places = source.places_of("sleep").into_iter().filter(|(at, _)| *at >= start);
            offenders.extend(places.map(|(_, place)| format!("{place}: sleep")));
        }
        let ignored = source.places_of("#[ignore").into_iter();
        offenders.extend(ignored.map(|(_, place)| format!("{place}: ignored")));
    }
    assert_none(offenders, "tests that sleep or are left out");
}

#[test]
fn cases_that_are_drawn_are_drawn_from_a_fixed_seed() {
    let mut offenders = Vec::new();
    for source in ours() {
        for (opening, follows) in
            [("proptest! {", "#![proptest_config(seeded("), ("TestRunner::new(", "seeded(")]
        {
            let places = source.code.match_indices(opening);
            let drawn =
                places.filter(|(at, _)| !source.code[at + opening.len()..].trim_start().starts_with(follows));
            offenders.extend(drawn.map(|(at, _)| format!("{}:{}", source.path, source.line_of(at))));
        }
    }
    assert_none(offenders, "cases of no fixed seed (`core::tests::seeded`)");
}

#[test]
fn the_map_of_the_house_links_every_part() {
    let root = std::fs::read_to_string(repository().join("src/lib.rs")).unwrap();
    let parts = root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let offenders = parts.filter(|part| !root.contains(&format!("[`{part}`]"))).map(str::to_owned);
    assert_none(offenders.collect(), "modules that the docs of src/lib.rs don't link");
}

#[test]
fn the_container_is_built_from_all_that_the_program_is_built_from() {
    let let_in = std::fs::read_to_string(repository().join(".dockerignore")).unwrap();
    let needed =
        ["Cargo.toml", "Cargo.lock", "build.rs", "src", "migrations", "templates", "rules", "deploy"];
    let missing = needed.iter().filter(|name| !let_in.lines().any(|line| line == format!("!{name}")));
    assert_none(missing.map(|name| (*name).to_owned()).collect(), "parts that .dockerignore leaves out");
}
