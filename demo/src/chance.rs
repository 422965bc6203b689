//! Everything random, from one seed.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const DAY: f64 = 86_400.0;

pub(crate) struct Chance(SmallRng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Chance(SmallRng::seed_from_u64(seed))
    }

    /// True with this probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && (probability >= 1.0 || self.0.random::<f64>() < probability)
    }

    /// From 0 up to but not including 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// Between -1 and 1.
    pub(crate) fn swing(&mut self) -> f64 {
        self.unit() * 2.0 - 1.0
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.0.random_range(0..items.len())) }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        loop {
            let mut bytes = [0; N];
            self.0.fill(&mut bytes[..]);
            if bytes != [0; N] {
                return bytes;
            }
        }
    }

    /// Time to the next arrival of a Poisson process of this rate per second.
    pub(crate) fn gap(&mut self, rate: f64) -> Duration {
        let gap = -(1.0 - self.unit()).ln() / rate;
        Duration::from_secs_f64(gap.clamp(0.0, DAY))
    }

    /// A draw from the log-normal distribution whose median is `p50` and whose 95th percentile is `p95` (in any unit).
    pub(crate) fn log_normal(&mut self, p50: f64, p95: f64) -> f64 {
        const Z95: f64 = 1.644_853_626_951_472_2;
        if p50 <= 0.0 {
            return 0.0;
        }
        let sigma = (p95.max(p50) / p50).ln() / Z95;
        // Box and Muller; the draw is cut at five sigma, beyond which a simulated minute would never see another.
        let (u, v) = (1.0 - self.unit(), self.unit());
        let normal = ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()).clamp(-5.0, 5.0);
        p50 * (sigma * normal).exp()
    }

    /// At most a day: what lies far apart may be drawn at any length.
    pub(crate) fn duration(&mut self, p50: Duration, p95: Duration) -> Duration {
        Duration::from_secs_f64(self.log_normal(p50.as_secs_f64(), p95.as_secs_f64()).clamp(0.0, DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_median_and_the_95th_percentile_that_were_asked_for() {
        let mut chance = Chance::new(7);
        let mut draws: Vec<f64> = (0..20_000).map(|_| chance.log_normal(0.1, 0.4)).collect();
        draws.sort_by(f64::total_cmp);
        assert!((draws[10_000] / 0.1 - 1.0).abs() < 0.05, "{}", draws[10_000]);
        assert!((draws[19_000] / 0.4 - 1.0).abs() < 0.08, "{}", draws[19_000]);
    }

    #[test]
    fn whatever_is_declared_can_be_drawn() {
        let mut chance = Chance::new(7);
        for _ in 0..20_000 {
            assert!(chance.duration(Duration::from_nanos(1), Duration::MAX) <= Duration::from_secs_f64(DAY));
        }
    }

    #[test]
    fn arrivals_come_at_their_rate() {
        let mut chance = Chance::new(7);
        let total: Duration = (0..10_000).map(|_| chance.gap(50.0)).sum();
        assert!((total.as_secs_f64() / 200.0 - 1.0).abs() < 0.05, "{total:?}");
    }
}
