//! Who owns the shards, and what whoever owned them before can still do.

use std::time::Duration;

use super::plan;
use crate::core::effect::Stage;
use crate::delivery::ownership::{ANYBODY, Ownership, Taken};
use crate::delivery::samples::{at, notice, opened};
use crate::delivery::store::{Addressee, Attempt, HandOver, Outgoing, Store, StoreError};

const HOUR: Duration = Duration::from_secs(3_600);
/// Over at once.
const NOTHING: Duration = Duration::ZERO;

/// The messages to customers among those that are due.
async fn claim(store: &impl Store, seconds: i64) -> Vec<Outgoing> {
    let mut claimed = super::claim(store, seconds).await;
    claimed.retain(|outgoing| matches!(outgoing.to, Addressee::Account { .. }));
    claimed
}

async fn take(store: &impl Store, shards: &[u32], lease: Duration) -> Ownership {
    match store.take_over(shards, "here", lease, None).await.expect("asked") {
        Taken::Mine(ownership) => ownership,
        Taken::Held(holder) => panic!("held by {}", holder.name),
    }
}

fn epochs(ownership: &Ownership) -> Vec<(u32, i64, Option<i64>)> {
    ownership.shards.iter().map(|taken| (taken.shard, taken.epoch, taken.before)).collect()
}

fn is_taken_over(result: Result<impl std::fmt::Debug, StoreError>, expected: &[u32]) {
    match result {
        Err(StoreError::TakenOver(shards)) => assert_eq!(shards, expected),
        other => panic!("{other:?}"),
    }
}

pub async fn a_new_owner_shuts_the_one_before_out(store: impl Store) {
    let first = take(&store, &[0, 1, 2], NOTHING).await;
    assert_eq!(epochs(&first), [(0, 1, None), (1, 1, None), (2, 1, None)]);
    assert_eq!(store.apply(&first, &plan([opened(1)])).await.expect("written").repeated, 0);
    let second = take(&store, &[1, 2], NOTHING).await;
    assert_eq!(epochs(&second), [(1, 2, Some(1)), (2, 2, Some(1))]);
    is_taken_over(store.apply(&first, &plan([opened(2)])).await, &[1, 2]);
    is_taken_over(store.keep(&first, HOUR).await, &[1, 2]);
    assert_eq!(store.apply(&second, &plan([opened(1)])).await.expect("asked").written, 0);
    assert_eq!(
        store.figures().await.expect("read").open_incidents,
        1,
        "the one shut out has written nothing"
    );
    // The other way round, the epochs go on rising.
    let third = take(&store, &[0, 1, 2], NOTHING).await;
    assert_eq!(epochs(&third), [(0, 3, Some(1)), (1, 3, Some(2)), (2, 3, Some(2))]);
    is_taken_over(store.apply(&second, &[]).await, &[1, 2]);
    is_taken_over(store.apply(&first, &[]).await, &[0, 1, 2]);
    store.apply(&third, &plan([opened(3)])).await.expect("written");
    store.apply(&ANYBODY, &[]).await.expect("nobody has a rival");
}

pub async fn who_has_lost_its_shards_loses_its_claims(store: impl Store) {
    let first = take(&store, &[0, 1], NOTHING).await;
    let account = |number: u32| format!("a{number}");
    let told: Vec<_> = (1..=3).map(|number| notice(1, &account(number), Stage::Opened, 1)).collect();
    store.apply(&first, &plan([opened(1)].into_iter().chain(told))).await.expect("written");
    let claimed = claim(&store, 2).await;
    assert_eq!(claimed.len(), 3);
    for outgoing in &claimed[..2] {
        let handed = store.hand_over(outgoing.id, outgoing.attempt, at(2)).await.expect("asked");
        assert_eq!(handed, HandOver::Go);
    }
    let sent = Attempt::Sent { at: at(2), reply: String::new() };
    assert!(store.complete(claimed[0].id, claimed[0].attempt, sent.clone()).await.expect("asked"));

    // Of two shards one is left: the run may still be at it.
    take(&store, &[0], NOTHING).await;
    assert!(claim(&store, 3).await.is_empty());
    take(&store, &[0, 1], NOTHING).await;
    let again = claim(&store, 3).await;
    let ids: Vec<_> = again.iter().map(|outgoing| (outgoing.id, outgoing.attempt)).collect();
    assert_eq!(ids, [(claimed[2].id, 2)], "what had been handed over may have arrived");
    assert_eq!(store.figures().await.expect("read").unknown, 1);
    // The one before wakes up.
    let stop = store.hand_over(claimed[2].id, claimed[2].attempt, at(4)).await.expect("asked");
    assert_eq!(stop, HandOver::Stop);
    assert!(!store.complete(claimed[1].id, claimed[1].attempt, sent).await.expect("asked"));
}

/// `server`: other daemons can be alive.
pub async fn nobody_takes_over_from_who_is_well(store: impl Store, server: bool) {
    let first = take(&store, &[0, 1], HOUR).await;
    if !server {
        take(&store, &[1], HOUR).await;
        return;
    }
    let Taken::Held(holder) = store.take_over(&[1, 2], "there", HOUR, None).await.expect("asked") else {
        panic!("taken from one that is well");
    };
    assert_eq!(holder.name, "here");
    let other = store.take_over(&[1, 2], "there", HOUR, Some(first.run + 1)).await.expect("asked");
    assert!(matches!(other, Taken::Held(_)), "another run than that has them");
    assert!(holder.left > HOUR / 2 && holder.left <= HOUR, "{:?}", holder.left);
    store.apply(&first, &[]).await.expect("nothing has changed");
    // Shards of nobody else's can be taken at any time.
    take(&store, &[2], HOUR).await;
    store.let_go(&first).await.expect("let go");
    take(&store, &[0, 1], HOUR).await;
    is_taken_over(store.apply(&first, &[]).await, &[0, 1]);
    // Who knows that they are over need not wait.
    let last = store.take_over(&[0, 1], "here", HOUR, Some(first.run + 3)).await.expect("asked");
    assert!(matches!(last, Taken::Held(_)));
    let shards: Vec<u32> = vec![2];
    let of_two = store.take_over(&shards, "here", HOUR, Some(first.run + 1)).await.expect("asked");
    assert!(matches!(of_two, Taken::Mine(_)));
    // Who gives a sign of life when it is too late does not become an owner again.
    is_taken_over(store.keep(&first, HOUR).await, &[0, 1]);
}
