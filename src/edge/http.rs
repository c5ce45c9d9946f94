//! What the daemon shows over HTTP: metrics, health, readiness, status. Nothing here changes anything, except that who has
//! the token may have the rules read anew.

mod health;
mod listener;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use listener::Bounded;

pub use health::{Condition, Health};
pub use status::{
    CheckpointStatus, ErrorStatus, GeoStatus, LagStatus, MemberStatus, OutboxStatus, ReloadStatus,
    RuleStatus, ShardStatus, Status, WarmingStatus,
};

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} (http.listen); expected an address of this machine with a free port, or \"off\""
)]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// What is shown, made anew for each request.
pub struct Pages {
    pub health: Arc<Health>,
    /// The text for Prometheus, or why there is none.
    pub metrics: Box<dyn Fn() -> Result<String, String> + Send + Sync>,
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    pub reload: Reload,
}

/// Who may have the rules read anew, and whom to ask for it.
pub struct Reload {
    /// [`None`]: nobody.
    pub token: Option<SecretString>,
    pub requests: mpsc::Sender<ReloadRequest>,
}

/// Is answered when the rules have taken over.
pub type ReloadRequest = oneshot::Sender<Result<String, ReloadRefused>>;

/// Why the rules stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadRefused {
    /// Something is wrong with the files.
    Invalid(String),
    Failed(String),
}

/// Takes the address, so that a mistake is told before anything starts.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, source })
}

/// Answers until the shutdown.
pub async fn serve(listener: TcpListener, pages: Pages, shutdown: CancellationToken) -> std::io::Result<()> {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "metrics, health and status are shown");
    }
    axum::serve(Bounded::new(listener), router(pages))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/healthz", get(healthy))
        .route("/-/ready", get(ready))
        .route("/readyz", get(ready))
        .route("/-/status", get(status_page))
        .route("/-/reload", post(reload).get(reload_by_get))
        .fallback(unknown)
        .with_state(Arc::new(pages))
}

type Shown = State<Arc<Pages>>;

/// The text format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

fn page(code: StatusCode, kind: &'static str, body: String) -> Response {
    (code, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

async fn index() -> Response {
    let body = "forewarn\n\n/metrics    for Prometheus\n/-/healthy  the reading loop turns\n\
                /-/ready    partitions assigned, database writable, rules loaded\n/-/status   as `forewarn status` shows it\n\
                /-/reload   POST with the token: read the rules anew\n";
    page(StatusCode::OK, TEXT, body.to_owned())
}

async fn reload_by_get() -> Response {
    let body = "rules are reloaded by POST, as with curl -X POST -H 'Authorization: Bearer TOKEN'\n";
    page(StatusCode::METHOD_NOT_ALLOWED, TEXT, body.to_owned())
}

async fn reload(State(pages): Shown, headers: HeaderMap) -> Response {
    let Some(token) = &pages.reload.token else {
        let body = "reloading over HTTP is off; http.reload_token_file in the configuration switches it on\n";
        return page(StatusCode::FORBIDDEN, TEXT, body.to_owned());
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|given| given.strip_prefix("Bearer ")).unwrap_or_default();
    if !is_same(given.trim().as_bytes(), token.expose_secret().as_bytes()) {
        let body = "expected the header `Authorization: Bearer TOKEN` with the token of http.reload_token\n";
        return page(StatusCode::UNAUTHORIZED, TEXT, body.to_owned());
    }
    let (answer, answered) = oneshot::channel();
    let busy = "so many reloads wait already; try again later\n";
    if pages.reload.requests.try_send(answer).is_err() {
        return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, busy.to_owned());
    }
    match answered.await {
        Ok(Ok(done)) => page(StatusCode::OK, TEXT, done),
        Ok(Err(ReloadRefused::Invalid(why))) => {
            page(StatusCode::UNPROCESSABLE_ENTITY, TEXT, format!("the rules stay as they are\n{why}\n"))
        }
        Ok(Err(ReloadRefused::Failed(why))) => {
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("the rules stay as they are: {why}\n"))
        }
        Err(_) => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the daemon is stopping\n".to_owned()),
    }
}

/// Takes as long whatever differs, so that nobody finds a token out letter by letter.
fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    let differs = given.len() ^ wanted.len();
    let bytes = wanted.iter().enumerate().map(|(at, byte)| byte ^ given.get(at).copied().unwrap_or(0));
    bytes.fold(differs, |sum, byte| sum | usize::from(byte)) == 0
}

async fn unknown() -> Response {
    page(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned())
}

async fn metrics(State(pages): Shown) -> Response {
    match (pages.metrics)() {
        Ok(text) => page(StatusCode::OK, PROMETHEUS, text),
        Err(problem) => {
            tracing::error!(%problem, "the metrics cannot be shown");
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the metrics cannot be shown\n".to_owned())
        }
    }
}

async fn healthy(State(pages): Shown) -> Response {
    if pages.health.is_alive() {
        page(StatusCode::OK, TEXT, "healthy\n".to_owned())
    } else {
        page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the reading loop does not turn\n".to_owned())
    }
}

async fn ready(State(pages): Shown) -> Response {
    let is_ready = pages.health.is_ready();
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": is_ready, "missing": pages.health.missing() });
    page(code, JSON, format!("{body}\n"))
}

async fn status_page(State(pages): Shown) -> Response {
    match serde_json::to_string(&(pages.status)()) {
        Ok(body) => page(StatusCode::OK, JSON, body + "\n"),
        Err(problem) => {
            tracing::error!(%problem, "the status cannot be shown");
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the status cannot be shown\n".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
