//! Ratios of paired runs: median and 95% interval.

use serde::Serialize;

/// A ratio with its spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Median of the paired ratios.
    pub ratio: f64,
    /// Lower end of the 95% interval of the median.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Draws of the bootstrap.
const DRAWS: usize = 2000;

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

impl Ratio {
    /// The ratio of the paired samples; `None` without samples. The bootstrap has a fixed seed.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        if sorted.is_empty() {
            return None;
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut medians: Vec<f64> = (0..DRAWS).map(|_| median(&resample(&sorted, &mut state))).collect();
        medians.sort_by(f64::total_cmp);
        let at = |share: f64| medians[((DRAWS - 1) as f64 * share).round() as usize];
        Some(Self { ratio: median(&sorted), low: at(0.025), high: at(0.975) })
    }
}

/// As many samples as there are, drawn with repetition, sorted.
fn resample(samples: &[f64], state: &mut u64) -> Vec<f64> {
    let mut drawn: Vec<f64> = (0..samples.len())
        .map(|_| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            samples[(*state % samples.len() as u64) as usize]
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    drawn
}

/// Geometric mean; `None` without values.
#[must_use]
pub fn geomean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0), |(sum, count), value| (sum + value.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_median_and_narrows_with_equal_samples() {
        let spread = Ratio::of(&[3.0, 1.0, 2.0, 2.5, 1.5]).unwrap();
        assert!((spread.ratio - 2.0).abs() < 1e-12 && spread.low < 2.0 && spread.high > 2.0, "{spread:?}");
        let equal = Ratio::of(&[1.25; 4]).unwrap();
        assert_eq!((equal.low, equal.ratio, equal.high), (1.25, 1.25, 1.25));
        assert_eq!(Ratio::of(&[]), None);
        assert!((geomean([2.0, 8.0]).unwrap() - 4.0).abs() < 1e-12);
        assert_eq!(geomean([]), None);
    }
}
