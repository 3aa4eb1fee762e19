//! Differential testing: see `docs/ARCHITECTURE.md`.
