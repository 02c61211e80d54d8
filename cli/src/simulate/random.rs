//! Random numbers that are the same on every machine and in every version.

/// A stream of random numbers: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
/// number generators", OOPSLA 2014). Small, quick, and good enough for stories; not for secrets.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// One of the streams of a seed. What one stream is asked for changes nothing in another.
    pub(super) fn new(seed: u64, stream: u64) -> Random {
        let mut random = Random(seed);
        random.0 = random.next() ^ stream.wrapping_mul(GAMMA);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to but not including 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// From `low` up to but not including `high`.
    pub(super) fn within(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn whole(&mut self, low: u32, high: u32) -> u32 {
        let span = u64::from(high.saturating_sub(low)) + 1;
        low + ((u128::from(self.next()) * u128::from(span)) >> 64) as u32
    }

    /// About normal, of mean 0 and deviation 1: the sum of twelve uniform numbers, less 6. It uses
    /// additions only, which every machine does alike.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// One of a list.
    pub(super) fn one<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let last = u32::try_from(list.len().saturating_sub(1)).unwrap_or(0);
        &list[self.whole(0, last) as usize]
    }

    /// The index of one of these weights, each as likely as it is heavy.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_what_it_always_was() {
        // Changing these numbers changes every simulated company.
        let mut random = Random::new(7, 3);
        let drawn: Vec<u32> = (0..5).map(|_| random.whole(0, 999)).collect();
        assert_eq!(drawn, FIRST_DRAWS);
        assert_ne!(Random::new(7, 4).next(), Random::new(7, 3).next());
        assert_ne!(Random::new(8, 3).next(), Random::new(7, 3).next());
    }

    const FIRST_DRAWS: [u32; 5] = [97, 278, 623, 990, 785];

    #[test]
    fn draws_lie_where_they_should() {
        let mut random = Random::new(1, 1);
        let drawn: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!((0..1_000).all(|_| (3..=5).contains(&random.whole(3, 5))));
        let mut seen = [0; 3];
        (0..9_000).for_each(|_| seen[random.weighted(&[1.0, 0.0, 2.0])] += 1);
        assert!(seen[1] == 0 && (2_500..3_500).contains(&seen[0]), "{seen:?}");
    }
}
