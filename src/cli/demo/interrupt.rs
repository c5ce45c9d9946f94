//! How the audience ends the demonstration: Ctrl-C, a closed terminal, or the system's wish to stop.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts the signals that ask for an end.
#[derive(Debug)]
pub(super) struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// From now on the signals are counted and do nothing else.
    pub(super) fn listen() -> Result<Self> {
        let kind = |kind| signal(kind).context("cannot listen for Ctrl-C");
        let (mut interrupt, mut terminate, mut hang_up) =
            (kind(SignalKind::interrupt())?, kind(SignalKind::terminate())?, kind(SignalKind::hangup())?);
        let (count, counted) = watch::channel(0);
        tokio::spawn(async move {
            while !count.is_closed() {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(counted))
    }

    /// Waits for the signal with this number.
    pub(super) async fn at_least(&self, number: u32) {
        if self.0.clone().wait_for(|count| *count >= number).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
