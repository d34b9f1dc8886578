//! Tests of reading one topic.
