//! The listener over real sockets. A scripted handler does what topic names in metadata requests say.

mod files;
mod limits;
mod memory;
mod order;
mod support;
