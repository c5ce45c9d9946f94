//! stub
use crate::core::codec::CorruptState;
use crate::core::effect::Subject;
use crate::core::event::{Event, Facts, Symbol};
use crate::core::rule::Rule;
use crate::core::rule::verdict::Moment;
use crate::core::time::Time;
pub struct Partial;
pub struct ScopeCounter;
impl ScopeCounter {
    pub fn new(_: &Rule) -> Option<Self> {
        None
    }
    pub fn observe(&mut self, _: &Event<'_>, _: Moment) -> &[Symbol] {
        &[]
    }
    pub fn flush(&mut self, _: &mut dyn FnMut(&Subject, Partial)) {}
    pub fn symptoms_after(&self, _: Symbol, _: Time) -> Vec<Facts> {
        Vec::new()
    }
    pub fn sweep(&mut self, _: Moment) {}
    pub fn bytes(&self) -> usize {
        0
    }
    pub fn drain_changes(&mut self, _: &mut dyn FnMut(&[u8], Option<&[u8]>)) {}
    pub fn restore(&mut self, _: &[u8], _: &[u8]) -> Result<(), CorruptState> {
        Ok(())
    }
}
