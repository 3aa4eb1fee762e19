//! The interpreter against values worked out from the manual.

mod arith;
mod bcd;
mod bit;
mod branch;
mod control;
mod data;
mod every_op;
mod logic;
mod machine;
mod muldiv;
mod segment;
mod shift;
mod stack;
mod string;
