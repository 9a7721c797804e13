//! Benchmarks of Evenkeel: figures live here, never in tests.
