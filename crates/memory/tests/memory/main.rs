//! The checklist of the memory model, item by item, and its properties on random graphs.

extern crate marquetry_memory as memory;

mod common;

mod bus_masters;
mod concurrency;
mod construction;
mod dispatch;
mod extras;
mod flatten;
mod inspect;
mod iommu;
mod life;
mod listeners;
mod model;
mod owners;
mod picture;
mod properties;
mod qemu72;
mod refused;
mod rom;
mod sharing;
mod speed;
mod text;
mod transactions;
mod unassigned;
mod whole;
