//! Tests of batches and partitioners.
