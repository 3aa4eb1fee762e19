//! Means of ratios with an interval that says how sure they are.

use crate::rng::Rng;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 10_000;

/// Geometric mean of ratios and the ends of its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The mean.
    pub mean: f64,
    /// 2.5th percentile of the resampled means.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// The mean of `ratios`, with the percentile bootstrap over the pairs. `None` without ratios.
pub fn bootstrap(ratios: &[f64], seed: u64) -> Option<Ratio> {
    if ratios.is_empty() {
        return None;
    }
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let mut rng = Rng::new(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let sum: f64 = (0..logs.len()).map(|_| logs[rng.below(logs.len())]).sum();
            sum / logs.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let at = |part: f64| means[((RESAMPLES - 1) as f64 * part).round() as usize].exp();
    Some(Ratio { mean: mean.exp(), low: at(0.025), high: at(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ratios_leave_no_doubt() {
        let ratio = bootstrap(&[0.5; 12], 1).unwrap();
        for value in [ratio.mean, ratio.low, ratio.high] {
            assert!((value - 0.5).abs() < 1e-12, "{ratio:?}");
        }
    }

    #[test]
    fn the_mean_is_geometric_and_lies_inside() {
        let ratio = bootstrap(&[0.5, 2.0, 1.0, 1.0], 1).unwrap();
        assert!((ratio.mean - 1.0).abs() < 1e-12, "{ratio:?}");
        assert!(ratio.low < 0.9 && ratio.high > 1.1, "{ratio:?}");
    }

    /// For 400 values the interval is close to that of the normal law: mean +- 1.96 s / sqrt(n).
    #[test]
    fn the_interval_has_the_width_of_95_percent() {
        let logs: Vec<f64> = (0..400).map(|n| if n % 2 == 0 { 0.1 } else { -0.1 }).collect();
        let ratios: Vec<f64> = logs.iter().map(|log| log.exp()).collect();
        let ratio = bootstrap(&ratios, 3).unwrap();
        let half = 1.96 * 0.1 / 20.0;
        assert!((ratio.high.ln() - half).abs() < half * 0.15, "{ratio:?}");
        assert!((ratio.low.ln() + half).abs() < half * 0.15, "{ratio:?}");
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(bootstrap(&[], 1), None);
    }
}
