//! Views of a running machine for people: nothing here yet.
#![forbid(unsafe_code)]
