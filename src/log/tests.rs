//! What must hold of logs as a whole.

mod crash;
mod fixtures;
mod replay;
