//! Cells: words that translated code reads or writes by their address.
//!
//! Ownership: the arena owns the chunks and never frees them while the translation cache lives, so that a cell's
//! address stays good; who uses a cell gives it back.

use crate::enter::set_cell;

/// Stable places for cells.
#[derive(Default)]
pub struct CellArena {
    chunks: Vec<Box<[u64]>>,
    free: Vec<u64>,
}

impl CellArena {
    const CHUNK: usize = 4096;

    /// A cell that holds `value`.
    pub fn alloc(&mut self, value: u64) -> u64 {
        if self.free.is_empty() {
            let mut chunk = vec![0; Self::CHUNK].into_boxed_slice();
            let base = chunk.as_mut_ptr() as u64;
            self.free.extend((0..Self::CHUNK as u64).rev().map(|n| base + 8 * n));
            self.chunks.push(chunk);
        }
        let cell = self.free.pop().expect("a chunk was just added");
        set_cell(cell, value);
        cell
    }

    /// Takes back a cell that no code uses.
    pub fn free(&mut self, cell: u64) {
        self.free.push(cell);
    }
}
