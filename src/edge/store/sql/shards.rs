//! Who owns which shard: taken over with a new epoch, kept alive, let go, and checked by every batch of effects.

use std::time::Duration;

use crate::delivery::ownership::{Holder, Ownership, Taken, TakenShard};
use crate::edge::store::sql::{Connection, Result, Row, values};

/// What the table says of one shard.
struct Entry {
    shard: i64,
    epoch: i64,
    run: i64,
    holder: String,
    alive_until: i64,
}

/// The milliseconds that a lease ends after now, by the clock of the database.
async fn end_of(connection: &mut dyn Connection, lease: Duration) -> Result<(i64, i64)> {
    let statement = connection.clock_statement();
    let now: i64 = connection.fetch_one(statement, &[]).await?.get("now")?;
    Ok((now, now.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))))
}

async fn entries(connection: &mut dyn Connection) -> Result<Vec<Entry>> {
    let rows = connection
        .fetch("SELECT shard, epoch, run, holder, alive_until FROM shards ORDER BY shard", &[])
        .await?;
    let entry = |row: &Row| {
        Ok(Entry {
            shard: row.get("shard")?,
            epoch: row.get("epoch")?,
            run: row.get("run")?,
            holder: row.get("holder")?,
            alive_until: row.get("alive_until")?,
        })
    };
    rows.iter().map(entry).collect()
}

/// Gives the shards to a new run, unless another one that may be alive has any of them. `alone`: no other can be.
pub async fn take_over(
    connection: &mut dyn Connection,
    shards: &[u32],
    holder: &str,
    lease: Duration,
    ended: Option<i64>,
    alone: bool,
) -> Result<Taken> {
    let (now, alive_until) = end_of(connection, lease).await?;
    let entries = entries(connection).await?;
    let asked = |entry: &&Entry| shards.iter().any(|shard| i64::from(*shard) == entry.shard);
    let is_alive = |entry: &&Entry| entry.alive_until > now && ended != Some(entry.run) && !alone;
    let alive = entries.iter().filter(asked).filter(is_alive);
    if let Some(other) = alive.max_by_key(|entry| entry.alive_until) {
        let left = u64::try_from(other.alive_until - now).unwrap_or(0);
        return Ok(Taken::Held(Holder { name: other.holder.clone(), left: Duration::from_millis(left) }));
    }
    // Higher than that of any shard, so that it also tells this run from every other.
    let epoch = entries.iter().map(|entry| entry.epoch).max().unwrap_or(0) + 1;
    let mut taken = Vec::with_capacity(shards.len());
    for shard in shards {
        connection
            .execute(
                "INSERT INTO shards (shard, epoch, run, holder, alive_until) VALUES ($1, $2, $2, $3, $4)
                 ON CONFLICT (shard) DO UPDATE SET epoch = $2, run = $2, holder = $3, alive_until = $4",
                values![*shard, epoch, holder, alive_until],
            )
            .await?;
        let before = entries.iter().find(|entry| entry.shard == i64::from(*shard));
        taken.push(TakenShard { shard: *shard, epoch, before: before.map(|entry| entry.epoch) });
    }
    Ok(Taken::Mine(Ownership { run: epoch, shards: taken }))
}

/// Says that the run is alive, unless it has lost any of its shards: then returns these.
pub async fn keep(
    connection: &mut dyn Connection,
    ownership: &Ownership,
    lease: Duration,
) -> Result<Vec<u32>> {
    let lost = lost(connection, ownership).await?;
    if lost.is_empty() {
        let (_, alive_until) = end_of(connection, lease).await?;
        connection
            .execute("UPDATE shards SET alive_until = $2 WHERE run = $1", values![ownership.run, alive_until])
            .await?;
    }
    Ok(lost)
}

/// Lets others take over at once.
pub async fn let_go(connection: &mut dyn Connection, run: i64) -> Result<()> {
    connection.execute("UPDATE shards SET alive_until = 0 WHERE run = $1", values![run]).await?;
    Ok(())
}

/// The shards that another run has taken.
pub async fn lost(connection: &mut dyn Connection, ownership: &Ownership) -> Result<Vec<u32>> {
    if ownership.shards.is_empty() {
        return Ok(Vec::new());
    }
    let rows =
        connection.fetch("SELECT shard, epoch FROM shards WHERE run = $1", values![ownership.run]).await?;
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        held.push((row.get::<i64>("shard")?, row.get::<i64>("epoch")?));
    }
    let lost = ownership.shards.iter().filter(|taken| !held.contains(&(i64::from(taken.shard), taken.epoch)));
    Ok(lost.map(|taken| taken.shard).collect())
}
