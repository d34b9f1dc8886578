//! Not to be brought down: what hostile, broken and merely many clients cost, measured from outside at a whole broker.
//!
//! Bounded by default; `GREGOR_LONG_TESTS=1` takes the numbers of the long form, `scripts/overload.sh` runs that against
//! a release build and prints the figures.

mod bombs;
mod connections;
mod crowd;
mod honest;
mod idle;
mod memory;
mod target;
mod unread;
