//! What `replay` reads: packed files, several files, and what it says of those that are broken.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{FAILED, GOOD_RULE, OK, Said, USAGE, forewarn, written};
use crate::replay::{failures, lines};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::stream::encode_all(text.as_bytes(), 1).unwrap()
}

/// Failures of `account` on one day at the given minutes of an hour.
fn day(day: u32, account: &str, minutes: &[u32]) -> String {
    failures(account, minutes)
        .replace("2026-10-01", &format!("2026-10-{day:02}"))
        .replace("\"id\":\"", &format!("\"id\":\"{day}-"))
}

fn replayed(rules: &str, inputs: &[&Path]) -> Said {
    let inputs: Vec<&str> = inputs.iter().map(|path| path.to_str().unwrap()).collect();
    let arguments =
        [&["replay", "--rules", rules, "--format", "json", "--input"], inputs.as_slice()].concat();
    forewarn(&arguments).ended(OK)
}

fn put(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_packed_file_is_replayed_as_what_it_holds_whatever_its_name() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let folder = tempfile::tempdir().unwrap();
    let events = day(1, "a1", &[0, 2, 4]) + &day(1, "a2", &[5, 7, 9]);
    let plain = replayed(&rules, &[&put(&folder, "plain", &events)]);
    assert_eq!(lines(&plain).len(), 5, "{}", plain.out);
    for packed in [gzip(&events), zstd(&events)] {
        assert_eq!(replayed(&rules, &[&put(&folder, "packed.jsonl", &packed)]).out, plain.out);
        let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(["replay", "--rules", &rules, "--format", "json", "--input", "-"])
            .write_stdin(packed)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), plain.out);
    }
}

#[test]
fn a_file_that_is_cut_short_fails_after_what_it_held() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let folder = tempfile::tempdir().unwrap();
    let events: String = (1..=28).map(|number| day(number, "a1", &[0, 2, 4])).collect();
    for (packed, archive) in [(gzip(&events), "gzip"), (zstd(&events), "zstd")] {
        let path = put(&folder, "cut", &packed[..packed.len() - 8]);
        let call = ["replay", "--rules", &rules, "--input", path.to_str().unwrap()];
        forewarn(&call).ended(FAILED).names(&[
            path.to_str().unwrap(),
            &format!("ends in the middle of a {archive} archive, after "),
            " lines (",
        ]);
    }
    let path = put(&folder, "other", b"BZh91AY&SY");
    let call = ["replay", "--rules", &rules, "--input", path.to_str().unwrap()];
    forewarn(&call)
        .ended(FAILED)
        .names(&[path.to_str().unwrap(), "it is a bzip2 archive; expected JSON lines"]);
}

#[test]
fn files_of_one_topic_that_follow_each_other_are_one_in_whatever_order_they_are_given() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let folder = tempfile::tempdir().unwrap();
    let days: Vec<String> = (1..=3).map(|number| day(number, "a1", &[0, 2, 4, 30])).collect();
    let whole = replayed(&rules, &[&put(&folder, "whole", days.concat())]);
    let paths: Vec<_> = (0..3).map(|place| put(&folder, &format!("day-{place}"), &days[place])).collect();
    let opened = lines(&whole).iter().filter(|line| line["effect"] == "ticket.opened").count();
    assert_eq!(opened, 3, "{}", whole.out);
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let inputs = order.map(|place| paths[place].as_path());
        assert_eq!(replayed(&rules, &inputs).out, whole.out, "{order:?}");
    }
}

#[test]
fn files_that_run_beside_each_other_are_merged_so_that_none_makes_the_other_late() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let folder = tempfile::tempdir().unwrap();
    // One account's failures lie in both files; the second file says nothing for hours on end.
    let dense: String = (0..12)
        .flat_map(|hour| [5, 45].map(|minute| (hour, minute)))
        .map(|(hour, minute)| {
            failures("a1", &[minute])
                .replace("T08:", &format!("T{hour:02}:"))
                .replace("a1-o", &format!("h{hour}-o"))
                .replace("\"id\":\"a1-", &format!("\"id\":\"{hour}-"))
        })
        .collect();
    let sparse = failures("a1", &[44, 46]) + &failures("a2", &[50, 52, 54]);
    let said = replayed(&rules, &[&put(&folder, "dense", &dense), &put(&folder, "sparse", &sparse)]);
    let lines = lines(&said);
    let opened: Vec<&Value> = lines.iter().filter(|line| line["effect"] == "ticket.opened").collect();
    let about = |line: &Value| (line["at"].clone(), line["subject"]["account_id"].clone());
    let expected =
        [(json!("2026-10-01T08:46:00Z"), json!("a1")), (json!("2026-10-01T08:54:00Z"), json!("a2"))];
    assert_eq!(opened.into_iter().map(about).collect::<Vec<_>>(), expected, "{}", said.out);
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!((&summary["events"], &summary["late"]), (&json!(29), &json!(0)));
}

#[test]
fn a_stretch_of_kafka_and_files_exclude_each_other_and_a_place_must_be_one() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let call = |more: &[&str]| forewarn(&[&["replay", "--rules", &rules], more].concat());
    call(&["--input", "-", "--topic", "orders"]).ended(USAGE);
    call(&["--input", "-", "--from", "earliest"]).ended(USAGE);
    call(&["--topic", "orders", "--from", "yesterday"]).ended(USAGE).names(&[
        "--from <PLACE>",
        "expected a time as 2026-10-01T08:00:00Z",
        "`earliest` or `latest`",
    ]);
}
