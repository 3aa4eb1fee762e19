//! A small random generator, so that a seed means the same everywhere and for ever.

/// `SplitMix64`: the state is a counter, the output its scrambled value.
pub struct Rng(u64);

impl Rng {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `bound`, which must not be 0; the bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next_u64()) * bound as u128;
        (wide >> 64) as usize
    }

    /// `count` different numbers below `bound` in the order drawn; all of them when there are not so many.
    pub fn draw(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..bound).collect();
        let count = count.min(bound);
        for place in 0..count {
            let other = place + self.below(bound - place);
            all.swap(place, other);
        }
        all.truncate(count);
        all
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
    fn a_draw_has_no_repeats_and_depends_on_the_seed() {
        let drawn = Rng::new(7).draw(30, 100);
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!((drawn.len(), sorted.len()), (30, 30));
        assert!(sorted.iter().all(|number| *number < 100));
        assert_ne!(drawn, Rng::new(8).draw(30, 100));
        assert_eq!(drawn, Rng::new(7).draw(30, 100));
    }

    #[test]
    fn a_draw_of_more_than_there_are_gives_all() {
        let mut all = Rng::new(1).draw(9, 4);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    }
}
