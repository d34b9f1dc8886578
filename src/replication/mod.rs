//! The data path's state: partitions, their roles, how far they have come.
//!
//! It knows no sockets and no controller: orders come in as requests, progress goes out through `watch` channels.

mod controller_epoch;
mod error;
mod high_watermarks;
mod isr;
mod large;
mod partition;
mod partitions;
mod progress;

pub use controller_epoch::Admitted;
pub use controller_epoch::ControllerEpoch;
pub use controller_epoch::Stale;
pub use error::Error;
pub use high_watermarks::HighWatermarks;
pub use partition::Appended;
pub use partition::Found;
pub use partition::Partition;
pub use partition::RoleName;
pub use partitions::Outcome;
pub use partitions::Partitions;
pub use partitions::Transition;
pub use progress::Progress;
pub use progress::any_changed;
