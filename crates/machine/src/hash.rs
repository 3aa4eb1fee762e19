//! A hash of RAM blocks, to compare two runs of a guest.
//!
//! Four independent lanes of 64 bits take a word each, so that the multiplications overlap. Each step is a
//! bijection of its lane, so a change of one word always changes the hash. It is no cryptographic hash.

use memory::RamBlock;

const LANES: usize = 4;
const PIECE: usize = 16 * 1024;
/// Odd constants without pattern: the fractional parts of square roots of primes.
const SEEDS: [u64; LANES] =
    [0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1];
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hash of the contents and lengths of `blocks`, in their order.
pub(crate) fn of_blocks<'a>(blocks: impl IntoIterator<Item = &'a RamBlock>) -> u64 {
    let mut lanes = SEEDS;
    let mut buffer = vec![0; PIECE];
    for block in blocks {
        lanes[0] = step(lanes[0], block.len());
        let mut offset = 0;
        while offset < block.len() {
            // Blocks are whole pages, so a piece is whole rows of words.
            let len = (block.len() - offset).min(PIECE as u64);
            let piece = &mut buffer[..len as usize];
            let whole = block.read(offset, piece);
            debug_assert!(whole, "a piece lies inside of its block");
            take(&mut lanes, piece);
            offset += len;
        }
    }
    lanes.into_iter().fold(0, |hash, lane| finish(hash ^ lane))
}

fn take(lanes: &mut [u64; LANES], piece: &[u8]) {
    let (words, _) = piece.as_chunks::<8>();
    let (rows, _) = words.as_chunks::<LANES>();
    for row in rows {
        for (lane, word) in lanes.iter_mut().zip(row) {
            *lane = step(*lane, u64::from_le_bytes(*word));
        }
    }
}

const fn step(lane: u64, word: u64) -> u64 {
    (lane ^ word).wrapping_mul(MULTIPLIER).rotate_left(29)
}

/// Spreads every bit over the word.
const fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 32).wrapping_mul(MULTIPLIER);
    hash = (hash ^ hash >> 29).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use memory::{MemoryMap, RegionSpec};
    use std::collections::HashSet;
    use std::sync::Arc;

    fn block(map: &MemoryMap, name: &str, len: u64) -> Arc<RamBlock> {
        map.ram_block(map.add(RegionSpec::ram(name, len)).unwrap()).unwrap()
    }

    #[test]
    fn every_byte_counts_with_its_place() {
        let map = MemoryMap::new();
        let block = block(&map, "ram", 0x5000);
        let mut seen = HashSet::from([of_blocks([&*block])]);
        for offset in [0, 1, 7, 8, 9, 16, 24, 31, 32, 0xfff, 0x1000, 0x3fff, 0x4000, 0x4fff] {
            for byte in [1, 0x80] {
                assert!(block.write(offset, &[byte]));
                assert!(seen.insert(of_blocks([&*block])), "byte {byte:#x} at {offset:#x}");
            }
            assert!(block.write(offset, &[0]));
            assert!(!seen.insert(of_blocks([&*block])), "offset {offset:#x} put back");
        }
    }

    #[test]
    fn blocks_are_told_apart() {
        let map = MemoryMap::new();
        let (one, two) = (block(&map, "one", 0x1000), block(&map, "two", 0x1000));
        let long = block(&map, "long", 0x2000);
        assert!(two.write(5, &[5]) && long.write(5, &[5]));
        let hashes = [of_blocks([&*one, &*two]), of_blocks([&*two, &*one]), of_blocks([&*long])];
        assert_eq!(HashSet::from(hashes).len(), 3);
    }
}
