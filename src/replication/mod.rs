//! The data path's state: partitions, their roles, how far they have come.
//!
//! It knows no controller: orders come in as requests, progress goes out through `watch` channels, and what leaders and
//! controllers must agree on is written to ZooKeeper.

mod candidates;
mod config;
mod controller_epoch;
mod error;
mod fetch_rate;
mod fetcher;
mod fetchers;
mod follower_connections;
mod high_watermarks;
mod isr;
mod isr_change;
mod large;
mod partition;
mod partitions;
mod progress;
mod reconcile;

pub use config::Config;
pub use controller_epoch::Admitted;
pub use controller_epoch::ControllerEpoch;
pub use controller_epoch::Stale;
pub use error::Error;
pub use follower_connections::FollowerConnections;
pub use high_watermarks::HighWatermarks;
pub use isr_change::keep_isrs;
pub use partition::Appended;
pub use partition::Found;
pub use partition::Partition;
pub use partition::RoleName;
pub use partitions::Outcome;
pub use partitions::Partitions;
pub use partitions::Transition;
pub use progress::Progress;
pub use progress::changed;
