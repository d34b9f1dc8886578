//! What all connections of a listener share: limits, memory, counters.

use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use crate::metrics::ConnectionMetrics;
use crate::metrics::Level;
use crate::metrics::RequestsMetrics;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) request_bytes_max: usize,
    pub(super) idle_max: Duration,
    pub(super) memory: Memory,
    pub(super) connections: ConnectionMetrics,
    pub(super) requests: Arc<RequestsMetrics>,
}

/// Memory that connections share.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// For frames on their way in.
    pub(super) reading: Arc<Budget>,
    /// For requests that are handled, and for answers until they are written.
    pub(super) answering: Arc<Budget>,
}

impl Memory {
    /// For `total` bytes. A frame of `frame_max` bytes may always be on its way beyond what the others have; what is
    /// for them is at least a quarter of all.
    pub(super) fn new(total: usize, frame_max: usize, waiting: &Level) -> Self {
        let reading = total.saturating_sub(frame_max).max(total / 4);
        Self {
            reading: Budget::new(reading, waiting.clone()),
            answering: Budget::new(total / 4, waiting.clone()),
        }
    }
}
