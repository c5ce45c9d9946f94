//! The daemon as a service: signals, and what the service manager is told.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::control::Control;
use super::figures::Board;

const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Tells the service manager how we are. The watchdog is fed only while the worker's loop turns.
#[derive(Debug)]
pub struct Service {
    task: JoinHandle<()>,
}

impl Service {
    pub fn start(control: Arc<Control>, board: Arc<Board>) -> Self {
        let watchdog = sd_notify::watchdog_enabled();
        let every = watchdog.map_or(STATUS_EVERY, |limit| (limit / 3).min(STATUS_EVERY));
        let task = tokio::spawn(async move {
            let mut turns = control.turns();
            loop {
                tokio::time::sleep(every).await;
                let now = control.turns();
                if now == turns {
                    tell(&[NotifyState::Status("the worker does not turn")]);
                    continue;
                }
                turns = now;
                tell(&[NotifyState::Watchdog, NotifyState::Status(&board.read().status())]);
            }
        });
        Self { task }
    }

    pub fn ready(&mut self) {
        tell(&[NotifyState::Ready, NotifyState::Status("started")]);
    }

    pub fn stopping(&mut self) {
        self.task.abort();
        tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// The name of the first signal that asks us to stop.
pub async fn stop_signal() -> std::io::Result<&'static str> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

/// Whoever asks twice does not want to wait.
pub async fn exit_on_next_signal() {
    if stop_signal().await.is_ok() {
        std::process::exit(130);
    }
}
