//! From produce to the ticket's row: a steady stream in which every so many events complete what a rule waits for, and
//! a reader of its own that looks for the rows. Both write wall-clock microseconds of the same machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rdkafka::producer::Producer;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};

use crate::Topics;
use crate::generator::{firing, harmless};
use crate::topics::{producer, send};

/// Accounts of the harmless events; those that fire come after them, each used once.
const ACCOUNTS: u32 = 1_000_000;
/// One account begins to fire every so many events: at 10,000 events a second 25 tickets a second.
const FIRES_EVERY: u64 = 400;
/// Between the events of one firing account, so that none overtakes another.
const GAP_EVENTS: u64 = 2_000;
/// Events that are due are handed over in ticks of this length.
const TICK: Duration = Duration::from_millis(1);
const LOOK_EVERY: Duration = Duration::from_micros(500);

fn micros() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}

/// Nothing fires in the first `warm` seconds: a broker that has just started is slow, and is not what is measured.
pub fn pace(topics: &Topics, per_second: u32, warm: u32, seconds: u32, notes: &Path) -> Result<()> {
    // What producers wait by default since Kafka 4.0. With less, the broker is measured: a request for each event.
    let producer = producer(topics, "5")?;
    let (orders, logins) = (topics.orders(), topics.logins());
    let mut notes =
        BufWriter::new(File::create(notes).with_context(|| format!("create {}", notes.display()))?);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut line = Vec::new();
    // The number of the event at which the next step of a firing account is due.
    let mut steps: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    let started = Instant::now();
    let (first_to_fire, per_second) = (u64::from(per_second) * u64::from(warm), u64::from(per_second));
    for number in 0..first_to_fire + per_second * u64::from(seconds) {
        let due = Duration::from_nanos(number * 1_000_000_000 / per_second);
        // A loop that turns while it waits would take from the broker what it needs.
        while let Some(wait) = due.checked_sub(started.elapsed()).filter(|wait| !wait.is_zero()) {
            producer.poll(Duration::ZERO);
            std::thread::sleep(wait.max(TICK));
        }
        if number >= first_to_fire && number % FIRES_EVERY == 0 {
            steps.insert(number, (ACCOUNTS + u32::try_from(number / FIRES_EVERY)?, 0));
        }
        let now = micros()?;
        let (account, is_login) = match steps.remove(&number) {
            Some((account, step)) => {
                let travels = account % 2 == 0;
                firing(&mut line, account, step, travels, now / 1_000, number);
                let last = if travels { 1 } else { 2 };
                if step < last {
                    let mut next = number + GAP_EVENTS + 1;
                    while steps.contains_key(&next) {
                        next += 1;
                    }
                    steps.insert(next, (account, step + 1));
                } else {
                    writeln!(notes, "a{account:08} {now}")?;
                }
                (account, travels)
            }
            None => harmless(&mut line, &mut random, ACCOUNTS, now / 1_000, number),
        };
        let topic = if is_login { &logins } else { &orders };
        send(&producer, topic, topics.partition(account), account, &line, now / 1_000)?;
    }
    producer.flush(Duration::from_secs(30))?;
    notes.flush()?;
    Ok(())
}

pub fn watch(database: &Path, notes: &Path, idle_seconds: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = runtime.block_on(rows(database, Duration::from_secs(idle_seconds)))?;
    let mut delays = Vec::new();
    let mut missing = 0;
    for line in BufReader::new(File::open(notes)?).lines() {
        let line = line?;
        let (account, handed_over) = line.split_once(' ').context("a note is `account microseconds`")?;
        match seen.get(account) {
            Some(at) => delays.push(at - handed_over.parse::<i64>()?),
            None => missing += 1,
        }
    }
    delays.sort_unstable();
    let Some(last) = delays.len().checked_sub(1) else { bail!("no ticket was seen ({missing} expected)") };
    let quantile = |share: f64| delays[(last as f64 * share).round() as usize] as f64 / 1_000.0;
    println!(
        "tickets={} missing={missing} p50_ms={:.1} p90_ms={:.1} p99_ms={:.1} max_ms={:.1}",
        delays.len(),
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0)
    );
    Ok(())
}

/// The account of every new ticket, with the moment at which its row was first seen.
async fn rows(database: &Path, idle: Duration) -> Result<BTreeMap<String, i64>> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let mut seen = BTreeMap::new();
    let mut newest = 0_i64;
    let mut last = Instant::now();
    // Before the first row the daemon may still be starting.
    while seen.is_empty() || last.elapsed() < idle {
        let rows = sqlx::query(
            "SELECT tickets.rowid, subject FROM tickets JOIN incidents USING (id)
                                WHERE tickets.rowid > ? ORDER BY tickets.rowid",
        )
        .bind(newest)
        .fetch_all(&mut connection)
        .await?;
        let now = micros()?;
        for row in rows {
            newest = row.try_get(0)?;
            let subject: String = row.try_get(1)?;
            let subject: serde_json::Value = serde_json::from_str(&subject)?;
            // Pairs of field and value; both rules are about an account.
            if let Some(account) = subject[0][1].as_str() {
                seen.entry(account.to_owned()).or_insert(now);
            }
            last = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(seen)
}
