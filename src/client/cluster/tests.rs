//! Tests of who leads what.
