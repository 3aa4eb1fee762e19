//! Criterion benches; what they share is nothing yet.
#![forbid(unsafe_code)]
