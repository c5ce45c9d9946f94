//! Generated records, broken in every way that a platform might think of: each is read or refused, none makes the reader
//! fall over, and what is read is whole. `scripts/fuzz-events` runs a million of them.

use std::collections::BTreeMap;

use forewarn::core::event::decode::{Decoder, EventSettings, MAX_ID_BYTES, MAX_TEXT_BYTES, Scratch};
use forewarn::core::event::mapping::{FieldMapping, Mapping};
use forewarn::core::event::{EventType, TextField};
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What a test run takes; `FOREWARN_FUZZ_INPUTS` asks for another number, `FOREWARN_FUZZ_SEED` for other inputs.
const INPUTS: u64 = 20_000;

#[expect(clippy::disallowed_methods, reason = "how many inputs is the caller's choice")]
fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

#[test]
fn generated_records_are_read_or_refused() {
    let (inputs, seed) = (asked("FOREWARN_FUZZ_INPUTS", INPUTS), asked("FOREWARN_FUZZ_SEED", 1));
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let decoders = [Decoder::new(plain()), Decoder::new(mapped())];
    let mut scratch = Scratch::default();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for number in 0..inputs {
        let record = record(&mut dice, number);
        for decoder in &decoders {
            let outcome = match decoder.decode(&record, &mut scratch) {
                Ok(event) => {
                    is_whole(&event, &record);
                    "read"
                }
                Err(reason) => reason.as_str(),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    println!("{inputs} records, seed {seed}, read as they are and through a mapping: {outcomes:#?}");
    for outcome in
        ["read", "not_json", "not_utf8", "nul", "too_deep", "wrong_type", "too_long", "absurd_time"]
    {
        assert!(outcomes.contains_key(outcome), "no record came to {outcome}: the generator is too tame");
    }
}

fn plain() -> EventSettings {
    EventSettings { extra: vec!["coupon".to_owned()], ..EventSettings::default() }
}

fn mapped() -> EventSettings {
    let at = |pointer: &str| FieldMapping { pointers: vec![pointer.to_owned()], ..FieldMapping::default() };
    let fields = [("region", at("/geo/region")), ("device_id", at("/data/0/device")), ("kind", at("/kind"))];
    let fields = fields.map(|(field, mapping)| (field.to_owned(), mapping));
    EventSettings { mapping: Mapping::new(fields, &[]).unwrap(), ..EventSettings::default() }
}

/// What every event promises to the rest of the house.
fn is_whole(event: &forewarn::core::event::Event<'_>, record: &[u8]) {
    let shown = || String::from_utf8_lossy(&record[..record.len().min(2_000)]).into_owned();
    assert!(
        event.text(TextField::Id).is_some_and(|id| (1..=MAX_ID_BYTES).contains(&id.len())),
        "{}",
        shown()
    );
    for field in TextField::ALL {
        if let Some(text) = event.text(field) {
            assert!(
                (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.contains('\0'),
                "{field}: {}",
                shown()
            );
        }
    }
    let year_2000_to_2099 = 946_684_800_000..4_102_444_800_000;
    assert!(year_2000_to_2099.contains(&event.time.as_millis()), "{}", shown());
    if let Some(place) = event.place {
        assert!(place.latitude.abs() <= 90.0 && place.longitude.abs() <= 180.0, "{}", shown());
    }
    // Whatever was taken for an event is JSON for everybody else too.
    let json = record.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(record);
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(json);
    assert!(read.is_ok(), "{:?}: {}", read.err(), shown());
}

/// An event with all its fields, some of them odd; then, more often than not, damaged.
fn record(dice: &mut ChaCha8Rng, number: u64) -> Vec<u8> {
    match number {
        1 => return vec![b' '; 10 << 20],
        2 => return "[".repeat(10 << 20).into_bytes(),
        3 => return format!("{{\"id\":\"{}\"}}", "x".repeat(10 << 20)).into_bytes(),
        4 => return format!("{{\"x\":{}1{}}}", "{\"x\":".repeat(60_000), "}".repeat(60_000)).into_bytes(),
        5 => return format!("{{\"amount\":1{}}}", "0".repeat(500_000)).into_bytes(),
        _ => {}
    }
    let mut json = event(dice).into_bytes();
    for _ in 0..dice.random_range(0..3) {
        damage(dice, &mut json);
    }
    json
}

fn event(dice: &mut ChaCha8Rng) -> String {
    let space = if dice.random_bool(0.1) { "\n  " } else { "" };
    let mut members = Vec::new();
    for key in [
        "id",
        "type",
        "time",
        "account_id",
        "order_id",
        "kind",
        "product",
        "channel",
        "region",
        "amount",
        "quantity",
        "currency",
        "expires_at",
        "error_code",
        "ip",
        "device_id",
        "user_agent",
        "geo",
        "coupon",
        "unheard_of",
        "data",
        "specversion",
    ] {
        let is_needed = matches!(key, "id" | "type" | "time" | "account_id");
        if dice.random_bool(if is_needed { 0.99 } else { 0.5 })
            && (key != "specversion" || dice.random_bool(0.1))
        {
            members.push(format!("{space}\"{key}\":{space}{}", value(dice, key)));
        }
    }
    if dice.random_bool(0.2) {
        let (one, other) = (dice.random_range(0..members.len()), dice.random_range(0..members.len()));
        members.swap(one, other);
    }
    format!("{{{}{space}}}", members.join(","))
}

fn value(dice: &mut ChaCha8Rng, key: &str) -> String {
    if dice.random_bool(0.03) {
        return odd(dice, 0);
    }
    let number: u32 = dice.random();
    match key {
        "type" => format!("\"{}\"", EventType::ALL.choose(dice).unwrap()),
        "time" | "expires_at" => match number % 6 {
            0 => format!("\"2026-10-01T08:12:30.{:03}+08:00\"", number % 1_000),
            1 => (1_790_842_350_u64 + u64::from(number % 1_000)).to_string(),
            2 => (1_790_842_350_000_u64 + u64::from(number % 1_000)).to_string(),
            3 => format!("\"{}\"", 1_790_842_350),
            _ => format!("\"2026-{:02}-{:02}T08:12:{:02}Z\"", number % 12 + 1, number % 28 + 1, number % 60),
        },
        "amount" | "quantity" => match number % 4 {
            0 => number.to_string(),
            1 => format!("\"{}.{:02}\"", number % 1_000, number % 100),
            2 => format!("{}.{:09}", number % 1_000, number),
            _ => format!("{}e{}", number % 100, number % 5),
        },
        "geo" => format!(
            "{{\"country\":\"CN\",\"region\":\"r{}\",\"latitude\":{},\"longitude\":\"{}\",\"accuracy_km\":{},\"asn\":{number}}}",
            number % 9,
            f64::from(number % 180) - 90.0,
            f64::from(number % 360) - 180.0,
            number % 50
        ),
        "unheard_of" => odd(dice, 0),
        "data" => format!("[{{\"device\":\"d{number}\"}},{}]", odd(dice, 1)),
        "specversion" => "\"1.0\"".to_owned(),
        _ => text(dice),
    }
}

fn text(dice: &mut ChaCha8Rng) -> String {
    let number: u32 = dice.random();
    match number % 24 {
        0 => "\"\"".to_owned(),
        1 => "null".to_owned(),
        2 => number.to_string(),
        3 => format!("-{number}.50"),
        4 => format!("\"\\u4e2d\\n\\\"{number}\\\"\""),
        5 => "\"\\u0000\"".to_owned(),
        6 => "\"\\ud83d\\ude00\"".to_owned(),
        7 => "\"\\ud800\"".to_owned(),
        8 => format!("\"{}\"", "长".repeat(number as usize % 400)),
        9 => format!("\"{}\"", "y".repeat(number as usize % 3_000)),
        _ => format!("\"v{}\"", number % 1_000),
    }
}

/// JSON that nobody expects in this place.
fn odd(dice: &mut ChaCha8Rng, depth: usize) -> String {
    const SCALARS: [&str; 16] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1e999",
        "-1e-999",
        "0.1",
        "1E+2",
        "\"\"",
        "\"text\"",
        "\"1970-01-01T00:00:00Z\"",
        "\"2100-01-01T00:00:00Z\"",
        "123456789012345678901234567890",
        "\"9999-99-99T99:99:99Z\"",
        "1790842350.25",
    ];
    match dice.random_range(0..10) {
        0 if depth < 4 => format!("[{},{}]", odd(dice, depth + 1), odd(dice, depth + 1)),
        1 if depth < 4 => format!("{{\"a\":{},\"id\":{}}}", odd(dice, depth + 1), odd(dice, depth + 1)),
        2 => {
            let levels = dice.random_range(1..80);
            format!("{}{}", "[".repeat(levels), "]".repeat(levels))
        }
        3 => "[]".to_owned(),
        4 => "{ }".to_owned(),
        _ => (*SCALARS.choose(dice).unwrap()).to_owned(),
    }
}

fn damage(dice: &mut ChaCha8Rng, json: &mut Vec<u8>) {
    let at = dice.random_range(0..=json.len());
    match dice.random_range(0..12) {
        0 => json.truncate(at),
        1 => json.insert(at, 0),
        2 => json.insert(at, dice.random_range(0x80..=0xFF)),
        3 => json.insert(at, dice.random()),
        4 => json.insert(at, *br#"{}[]":,\/0-."#.choose(dice).unwrap()),
        5 if at < json.len() => {
            json.remove(at);
        }
        6 if at < json.len() => json[at] ^= 1 << dice.random_range(0..8),
        7 => {
            json.splice(0..0, *b"\xEF\xBB\xBF");
        }
        8 => json.extend_from_slice(b" \r\n\t"),
        9 => {
            let end = dice.random_range(at..=json.len());
            let part = json[at..end].to_vec();
            json.splice(at..at, part);
        }
        10 => {
            let end = dice.random_range(at..=json.len());
            json.drain(at..end);
        }
        _ => {}
    }
}
