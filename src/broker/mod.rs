//! The broker: putting the modules below together.

pub mod config;
pub mod limits;
pub mod preflight;
