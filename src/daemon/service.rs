//! The daemon as a service: signals, and what the service manager is told.

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("started")]);
}

/// Another daemon does the work. The service manager need not wait for us to do it.
pub fn standing_by(holder: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("standing by for {holder}"))]);
}

/// Feeds the watchdog. Only to be called while the worker's loop turns.
pub fn alive(status: &str) {
    tell(&[NotifyState::Watchdog, NotifyState::Status(status)]);
}

/// Told before a change of the rules that a signal asked for; [`ready`] ends it.
pub fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    let now = now.inspect_err(|error| tracing::debug!(%error, "there is no monotonic time")).ok();
    let state: Vec<NotifyState<'_>> = std::iter::once(NotifyState::Reloading).chain(now).collect();
    tell(&state);
}

/// Signals that ask for the rules to be read anew.
pub fn reload_signal() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
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
