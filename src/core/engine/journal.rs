//! What is asked of all incidents of an engine, of accounts and of what spans partitions: a journal, and silence.

use std::sync::Arc;

use super::Engine;
use crate::core::incident::journal::Note;
use crate::core::rule::silence::Silences;

impl Engine {
    /// What people have asked not to hear of; from here on.
    pub fn silence(&mut self, silences: &Arc<Silences>) {
        for state in self.shards.values_mut() {
            state.incidents.silence(silences);
        }
        self.scope.incidents.silence(silences);
        self.scope.rekeyed.incidents.silence(silences);
    }

    /// Findings since the start that a silence covered.
    pub fn silenced(&self) -> u64 {
        let of_shards: u64 = self.shards.values().map(|state| state.incidents.silenced).sum();
        of_shards + self.scope.incidents.silenced + self.scope.rekeyed.incidents.silenced
    }

    /// From here on it is written down what becomes of each finding, for whoever asks why.
    pub fn keep_journal(&mut self) {
        for state in self.shards.values_mut() {
            state.incidents.keep_journal();
        }
        self.scope.incidents.keep_journal();
        self.scope.rekeyed.incidents.keep_journal();
    }

    /// What was written down since the last call.
    pub fn drain_notes(&mut self) -> Vec<Note> {
        let mut notes = Vec::new();
        for state in self.shards.values_mut() {
            state.incidents.drain_notes(&mut notes);
        }
        self.scope.incidents.drain_notes(&mut notes);
        self.scope.rekeyed.incidents.drain_notes(&mut notes);
        notes
    }
}
