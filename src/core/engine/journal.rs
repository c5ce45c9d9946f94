//! The journals of all incidents of an engine, of accounts and of what spans partitions.

use super::Engine;
use crate::core::incident::journal::Note;

impl Engine {
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
