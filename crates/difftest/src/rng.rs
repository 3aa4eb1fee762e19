#![forbid(unsafe_code)]
//! The random numbers of the generators: a seed means the same everywhere and for ever.

/// `SplitMix64`: the state is a counter, the output its scrambled value.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent generator for part `number` of what `seed` determines.
    #[must_use]
    pub fn part(seed: u64, number: u64) -> Self {
        let mut first = Self(seed);
        Self(first.next_u64() ^ Self(number.wrapping_mul(0xd134_2543_de82_ef95)).next_u64())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        (self.next_u64() >> 56) as u8
    }

    /// A number below `bound`, which must not be 0; the bias is below `bound / 2^32`.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// A number in `[low, high)`, which must not be empty.
    pub fn within(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low)
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u32) as usize]
    }

    /// A value of the kind that finds mistakes: edges of the widths, small numbers, bit patterns, noise.
    pub fn operand(&mut self) -> u32 {
        const EDGES: [u32; 16] = [
            0,
            1,
            2,
            0x7f,
            0x80,
            0xff,
            0x100,
            0x7fff,
            0x8000,
            0xffff,
            0x1_0000,
            0x7fff_ffff,
            0x8000_0000,
            0x8000_0001,
            0xffff_fffe,
            0xffff_ffff,
        ];
        match self.below(8) {
            0 | 1 => self.pick(&EDGES),
            2 => self.below(64),
            3 => 1 << self.below(32),
            4 => self.byte_pattern(),
            _ => self.next_u32(),
        }
    }

    /// Four bytes, each an edge of its own width.
    fn byte_pattern(&mut self) -> u32 {
        const BYTES: [u8; 8] = [0, 1, 0x0f, 0x10, 0x7f, 0x80, 0x99, 0xff];
        u32::from_le_bytes([self.pick(&BYTES), self.pick(&BYTES), self.pick(&BYTES), self.pick(&BYTES)])
    }

    /// Fills `bytes` with noise.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let noise = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published first outputs of `SplitMix64` for seed 1234567.
    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn ranges_are_half_open_and_reach_both_ends() {
        let mut rng = Rng::new(3);
        let drawn: std::collections::BTreeSet<u32> = (0..1000).map(|_| rng.within(5, 9)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8]);
    }

    #[test]
    fn parts_of_a_seed_differ_and_repeat() {
        let first = |seed, part| Rng::part(seed, part).next_u64();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(2, 1));
        assert_ne!(first(1, 2), first(1, 3));
    }

    #[test]
    fn filling_covers_a_ragged_end() {
        let mut bytes = [0u8; 11];
        Rng::new(5).fill(&mut bytes);
        assert!(bytes[8..].iter().any(|byte| *byte != 0));
    }
}
