//! Memory from the allocator in place of a mapping, for the interpreter of unsafe code (Miri), which maps nothing.
//!
//! It has no guards: that interpreter checks every access itself. The words are atomics, so that a pointer made from a
//! shared reference may be written through.

use std::sync::atomic::AtomicU64;

/// Bytes of a word, and so of the alignment. The crate asks for no more than its widest access has.
const WORD: usize = size_of::<AtomicU64>();

/// Zeroed memory.
#[derive(Debug)]
pub(crate) struct Allocation(Box<[AtomicU64]>);

impl Allocation {
    /// `len` zero bytes, rounded up to whole words.
    pub fn new(len: usize) -> Self {
        Self((0..len.div_ceil(WORD)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Address of the first byte. All of the bytes may be read and written through it while this lives.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.0.as_ptr().cast::<u8>().cast_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_zeroed_and_long_enough() {
        let memory = Allocation::new(0x1001);
        assert_eq!((memory.0.len() * WORD, memory.as_mut_ptr() as usize % WORD), (0x1008, 0));
        assert!(memory.0.iter().all(|word| word.load(std::sync::atomic::Ordering::Relaxed) == 0));
    }
}
