//! Location files that change under way: read again in a thread of their own, so that nobody waits for it. Where a file vanishes
//! or holds junk, what was read before stays, which is counted and told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{GeoError, Locations};
use crate::settings::GeoSettings;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The locations that hold at present.
pub struct Watch {
    settings: GeoSettings,
    current: Mutex<Arc<Locations>>,
    /// How often others took their place.
    reloads: AtomicU64,
    failures: AtomicU64,
    problem: Mutex<Option<String>>,
    ended: AtomicBool,
}

/// How the files fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchFigures {
    pub reloads: u64,
    pub failures: u64,
    /// Why the newest files are not in use.
    pub problem: Option<String>,
}

type Stamp = Vec<Option<(u64, SystemTime)>>;

impl Watch {
    /// Reads the files for the first time.
    pub fn open(settings: GeoSettings) -> Result<Self, GeoError> {
        let current = Mutex::new(Arc::new(Locations::load(&settings)?));
        let (reloads, failures) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self {
            settings,
            current,
            reloads,
            failures,
            problem: Mutex::default(),
            ended: AtomicBool::new(false),
        })
    }

    pub fn current(&self) -> Arc<Locations> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Acquire)
    }

    pub fn figures(&self) -> WatchFigures {
        WatchFigures {
            reloads: self.reloads(),
            failures: self.failures.load(Ordering::Relaxed),
            problem: self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Looks at the files now and then, until [`Watch::end`].
    pub fn keep_up(self: &Arc<Self>) -> std::io::Result<()> {
        let watch = Arc::clone(self);
        let mut stamp = watch.stamp();
        let look = move || {
            while !watch.ended.load(Ordering::Relaxed) {
                std::thread::park_timeout(LOOK_EVERY);
                let now = watch.stamp();
                if now != stamp {
                    watch.reload();
                    stamp = now;
                }
            }
        };
        std::thread::Builder::new().name("locations".to_owned()).spawn(look).map(drop)
    }

    /// The thread that looks at the files ends with its next look.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Reads the files again. Others take the place of what is there only when all of them are sound.
    pub fn reload(&self) {
        let problem = match Locations::load(&self.settings) {
            Ok(locations) => {
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(locations);
                self.reloads.fetch_add(1, Ordering::Release);
                tracing::info!("the location files have changed and were read again");
                None
            }
            Err(error) => {
                let problem = told(&error);
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    problem,
                    "the location files have changed and cannot be used; the old ones stay"
                );
                Some(problem)
            }
        };
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn stamp(&self) -> Stamp {
        let GeoSettings { database, networks, cities } = &self.settings;
        let files = [Some(database), networks.as_ref(), cities.as_ref()].into_iter().flatten();
        files
            .map(|path| {
                let data = std::fs::metadata(path).ok()?;
                Some((data.len(), data.modified().ok()?))
            })
            .collect()
    }
}

fn told(error: &GeoError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
