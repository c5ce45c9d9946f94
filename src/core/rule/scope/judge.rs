//! stub
use super::counter::Partial;
use crate::core::codec::CorruptState;
use crate::core::effect::Subject;
use crate::core::event::Symbol;
use crate::core::rule::Rule;
use crate::core::rule::verdict::Judged;
use crate::core::time::Time;
pub struct ScopeJudge;
impl ScopeJudge {
    pub fn new(_: &Rule) -> Option<Self> {
        None
    }
    pub fn merge(&mut self, _: u32, _: &Subject, _: Partial) {}
    pub fn judge(&mut self, _: Time, _: &mut Vec<Judged>) {}
    pub fn next_due(&self) -> Option<Time> {
        None
    }
    pub fn subject_fields(&self, _: Symbol) -> Option<&Subject> {
        None
    }
    pub fn started_at(&self, _: Symbol) -> Option<Time> {
        None
    }
    pub fn subjects(&self) -> usize {
        0
    }
    pub fn bytes(&self) -> usize {
        0
    }
    pub fn drain_changes(&mut self, _: &mut dyn FnMut(&[u8], Option<&[u8]>)) {}
    pub fn restore(&mut self, _: &[u8], _: &[u8]) -> Result<(), CorruptState> {
        Ok(())
    }
}
