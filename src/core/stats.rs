//! Statistics that the detection kinds use. Special functions are evaluated when rules load, never per event.

pub mod bounds;
pub mod distinct;
pub mod geodesy;
pub mod sketch;
