//! Where events were: the location files in the service of the rules that ask for it. Newer files take over between two turns of
//! the loop, so that a turn has one edition.

use std::sync::Arc;

use anyhow::Context as _;

use crate::core::event::{Event, TypeSet};
use crate::core::rule::RuleSet;
use crate::edge::geo::watch::Watch;
use crate::edge::geo::{Locations, Locator};
use crate::settings::GeoSettings;

/// Fills events of the types that some rule asks the place of.
#[derive(Default)]
pub struct Locating {
    watch: Option<Arc<Watch>>,
    locator: Option<Locator>,
    types: TypeSet,
    /// Which of the watch's editions the locator has.
    reloads: u64,
}

impl Locating {
    /// Without files, and where no rule asks, nothing is looked up.
    pub fn new(watch: Option<Arc<Watch>>, rules: &RuleSet) -> Self {
        let mut locating = Self { watch, ..Self::default() };
        locating.serve(rules);
        locating
    }

    /// Serves these rules from now on.
    pub fn serve(&mut self, rules: &RuleSet) {
        self.types = rules.located_types();
        self.reloads = self.watch.as_ref().map_or(0, |watch| watch.reloads());
        self.locator = self.located();
    }

    fn located(&self) -> Option<Locator> {
        let watch = self.watch.as_ref().filter(|_| !self.types.is_empty())?;
        Some(Locator::new(watch.current(), self.types))
    }

    pub fn locate<'a>(&'a self, event: &mut Event<'a>) {
        if let Some(locator) = &self.locator {
            locator.locate(event);
        }
    }

    /// Goes over to newer files, if there are any.
    pub fn refresh(&mut self) {
        let Some(watch) = &self.watch else { return };
        let reloads = watch.reloads();
        if reloads != self.reloads {
            self.reloads = reloads;
            self.locator = self.located();
        }
    }
}

/// The files of the configuration, which are looked after from now on.
pub fn watch(settings: Option<&GeoSettings>) -> anyhow::Result<Option<Arc<Watch>>> {
    let Some(settings) = settings else { return Ok(None) };
    let watch = Arc::new(Watch::open(settings.clone()).context("the location files cannot be used")?);
    watch.keep_up().context("cannot start a thread")?;
    Ok(Some(watch))
}

/// The files as they are now, for events of the past; [`None`] where nothing asks for them.
pub fn locator(settings: Option<&GeoSettings>, types: TypeSet) -> anyhow::Result<Option<Locator>> {
    let Some(settings) = settings.filter(|_| !types.is_empty()) else { return Ok(None) };
    let locations = Locations::load(settings).context("the location files cannot be used")?;
    Ok(Some(Locator::new(Arc::new(locations), types)))
}
