//! Functions of probability and of the models' likelihoods.

/// The natural logarithm of the gamma function of a positive number.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// The logistic function: the probability of a logit.
#[must_use]
pub fn sigmoid(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + libm::exp(-logit))
    } else {
        let odds = libm::exp(logit);
        odds / (1.0 + odds)
    }
}

/// The logarithm of the odds of a probability, kept finite at 0 and 1.
#[must_use]
pub fn logit(probability: f64) -> f64 {
    let p = probability.clamp(1e-12, 1.0 - 1e-12);
    libm::log(p) - libm::log1p(-p)
}

/// `ln(1 + e^x)` without overflow.
#[must_use]
pub fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) }
}

/// Gauss's hypergeometric function `2F1(a, b; c; z)` for `0 <= z < 1` and positive `c`, by its power
/// series (Abramowitz and Stegun, 15.1.1), after Euler's transformation (15.3.3) where that makes the
/// series fall faster. Relative error about 1e-12; `NaN` outside its domain.
#[must_use]
pub fn hypergeometric(a: f64, b: f64, c: f64, z: f64) -> f64 {
    if !(0.0..1.0).contains(&z) || c <= 0.0 {
        return f64::NAN;
    }
    // The terms grow like n^(a + b - c - 1) z^n: the form with the smaller power is summed.
    if a + b - c > 0.0 {
        return libm::pow(1.0 - z, c - a - b) * series(c - a, c - b, c, z);
    }
    series(a, b, c, z)
}

fn series(a: f64, b: f64, c: f64, z: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 0..200_000 {
        let n = f64::from(n);
        term *= (a + n) * (b + n) / ((c + n) * (n + 1.0)) * z;
        sum += term;
        if term == 0.0 || (term.abs() < 1e-14 * sum.abs() && n > b.abs()) {
            break;
        }
    }
    sum
}

/// The quantile of the chi-square distribution with `freedom` degrees of freedom at the standard
/// normal deviate `z` (3.0902 for 0.999): Wilson and Hilferty, "The Distribution of Chi-Square", 1931.
#[must_use]
pub fn chi_square_quantile(freedom: f64, z: f64) -> f64 {
    let k = 2.0 / (9.0 * freedom);
    freedom * libm::pow(1.0 - k + z * libm::sqrt(k), 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hypergeometric_function_has_its_known_values() {
        // 2F1(1, 1; 2; z) = -ln(1 - z) / z
        for z in [0.1, 0.5, 0.9, 0.99] {
            let known = -libm::log(1.0 - z) / z;
            assert!((hypergeometric(1.0, 1.0, 2.0, z) - known).abs() < 1e-10, "{z}");
        }
        // 2F1(a, b; b; z) = (1 - z)^-a
        let known = libm::pow(0.3, -2.5);
        assert!((hypergeometric(2.5, 3.0, 3.0, 0.7) / known - 1.0).abs() < 1e-11);
        assert!(hypergeometric(1.0, 1.0, 2.0, 1.5).is_nan());
    }

    #[test]
    fn logits_and_probabilities_are_inverse() {
        for p in [1e-9, 0.2, 0.5, 0.999] {
            assert!((sigmoid(logit(p)) - p).abs() < 1e-12);
        }
        assert!(logit(0.0).is_finite() && logit(1.0).is_finite());
        assert!((softplus(800.0) - 800.0).abs() < 1e-12 && softplus(-800.0) == 0.0);
    }

    #[test]
    fn the_chi_square_quantile_is_near_the_tables() {
        assert!((chi_square_quantile(9.0, 3.0902) - 27.88).abs() < 0.2);
        assert!((chi_square_quantile(9.0, 1.6449) - 16.92).abs() < 0.05);
    }
}
