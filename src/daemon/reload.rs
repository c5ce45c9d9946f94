//! Changes of the rules while the daemon runs: asked for by a signal, over HTTP, or by a change of the files. The files are
//! read and checked, the worker fills what must be filled, and only then do the new rules take over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::overview::Overview;
use super::service;
use super::takeover::Order;
use crate::core::rule::RuleSet;
use crate::edge::http::{ReloadRefused, ReloadRequest};
use crate::edge::kafka::Waker;

/// Files are looked at so often; a change that is still going on is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Files that are looked at; more are not, and only a signal or a request reloads them.
const MOST_FILES: usize = 20_000;

/// Reads and checks the rules; the errors as `check` shows them.
pub type LoadRules = Arc<dyn Fn() -> Result<Arc<RuleSet>, String> + Send + Sync>;

/// What is needed to change rules.
pub struct Reloads {
    pub load: LoadRules,
    /// The files whose change reloads them; [`None`]: none.
    pub watched: Option<PathBuf>,
    pub orders: mpsc::Sender<Order>,
    pub requests: mpsc::Receiver<ReloadRequest>,
    pub waker: Arc<Waker>,
    pub overview: Arc<Overview>,
}

impl Reloads {
    /// Never ends, unless signals can't be listened for.
    pub async fn keep_up(mut self) -> std::io::Result<()> {
        let mut hangup = service::reload_signal()?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut loaded = self.look().await;
        let mut seen = loaded;
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    loaded = self.look().await;
                    service::reloading();
                    self.reload("SIGHUP", None).await;
                    service::ready();
                }
                Some(request) = self.requests.recv() => {
                    loaded = self.look().await;
                    self.reload("a request", Some(request)).await;
                }
                _ = look.tick(), if self.watched.is_some() => {
                    let now = self.look().await;
                    // Twice the same: whoever writes them has finished.
                    if now != loaded && now == seen {
                        loaded = now;
                        self.reload("a change of the files", None).await;
                    }
                    seen = now;
                }
            }
        }
    }

    /// Loads the rules and orders the worker to take them. Whoever has asked is answered when they have taken over.
    async fn reload(&self, why: &'static str, request: Option<ReloadRequest>) {
        tracing::info!(why, "the rules are read anew");
        let load = Arc::clone(&self.load);
        let loaded = tokio::task::spawn_blocking(move || load()).await;
        let loaded = loaded.unwrap_or_else(|error| Err(format!("the rules could not be read: {error}")));
        let rules = match loaded {
            Ok(rules) => rules,
            Err(problem) => {
                tracing::error!("the rules stay as they are: {problem}");
                self.overview.note_reload(Err(&problem));
                answer(request, Err(ReloadRefused::Invalid(problem)));
                return;
            }
        };
        let (done, result) = oneshot::channel();
        let order = Order { rules: Arc::clone(&rules), done };
        if self.orders.send(order).await.is_err() {
            answer(request, Err(ReloadRefused::Failed("the daemon is stopping".to_owned())));
            return;
        }
        self.waker.wake();
        let overview = Arc::clone(&self.overview);
        // Filling may take long; another change of the files need not wait for it.
        tokio::spawn(async move {
            let result = result.await.unwrap_or_else(|_| Err("the daemon is stopping".to_owned()));
            match result {
                Ok(done) => {
                    overview.note_reload(Ok(&rules));
                    let (count, pause) = (rules.rules.len(), done.pause.as_secs_f64() * 1_000.0);
                    let filled = done.filled;
                    answer(
                        request,
                        Ok(format!(
                            "{count} rules are loaded, {filled} of them filled from history; reading stood still for {pause:.1} ms\n"
                        )),
                    );
                }
                Err(problem) => {
                    overview.note_reload(Err(&problem));
                    answer(request, Err(ReloadRefused::Failed(problem)));
                }
            }
        });
    }

    async fn look(&self) -> u64 {
        let Some(path) = self.watched.clone() else { return 0 };
        tokio::task::spawn_blocking(move || fingerprint(&path)).await.unwrap_or(0)
    }
}

fn answer(request: Option<ReloadRequest>, result: Result<String, ReloadRefused>) {
    if let Some(request) = request {
        // Whoever asked may have gone.
        let _gone = request.send(result);
    }
}

/// A number that changes when a file below a path does: its name, its size, when it was written.
fn fingerprint(path: &Path) -> u64 {
    let mut files = Vec::new();
    collect(path, &mut files);
    files.sort();
    rapidhash::v3::rapidhash_v3(files.join("\n").as_bytes())
}

fn collect(path: &Path, files: &mut Vec<String>) {
    if files.len() >= MOST_FILES {
        return;
    }
    let Ok(data) = std::fs::metadata(path) else { return };
    if !data.is_dir() {
        let written = data.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        files.push(format!("{}\0{}\0{written:?}", path.display(), data.len()));
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with('.') {
            collect(&entry.path(), files);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_added_or_taken_away_below_a_folder_changes_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let (rule, list) = (folder.path().join("a.yaml"), folder.path().join("lists/blocked.txt"));
        let mut seen = vec![fingerprint(folder.path())];
        let mut changed = |what: &str| {
            let now = fingerprint(folder.path());
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        std::fs::write(&rule, "name: a").unwrap();
        changed("a new file");
        std::fs::write(&rule, "name: bb").unwrap();
        changed("other text");
        std::fs::create_dir(folder.path().join("lists")).unwrap();
        std::fs::write(&list, "10.0.0.1").unwrap();
        changed("a list beside it");
        std::fs::remove_file(&rule).unwrap();
        changed("a file less");
        std::fs::write(folder.path().join(".swap"), "x").unwrap();
        assert_eq!(seen.last(), Some(&fingerprint(folder.path())), "what is hidden is no rule");
    }
}
