//! The processor on a small machine: segmentation, transfers, delivery, paging, ports, control registers, the watch over code.

mod control;
mod delivery;
mod flags;
mod machine;
mod paging;
mod ports;
mod segments;
mod transfers;
mod watch;
