//! Tests of the whole, part by part.
