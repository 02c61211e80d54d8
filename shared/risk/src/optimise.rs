//! The minimum of a function of a few parameters, without derivatives.

/// Where a search ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The parameters.
    pub at: Vec<f64>,
    /// The function there.
    pub value: f64,
    /// How often the function was asked.
    pub evaluations: usize,
}

/// A simplex smaller than this in every direction is a point.
const SMALL: f64 = 1e-4;

/// Nelder and Mead, "A Simplex Method for Function Minimization", 1965, with the usual factors
/// (reflect 1, expand 2, contract and shrink 1/2), from `start` with first steps of `step`. Ends when
/// the simplex is small and its values agree to `tolerance`, or after `most` evaluations. A value that is no number
/// counts as infinitely bad.
pub fn nelder_mead(
    start: &[f64],
    step: f64,
    tolerance: f64,
    most: usize,
    mut f: impl FnMut(&[f64]) -> f64,
) -> Minimum {
    let mut evaluations = 0;
    let mut ask = |at: &[f64]| {
        evaluations += 1;
        let value = f(at);
        if value.is_nan() { f64::INFINITY } else { value }
    };
    let mut simplex: Vec<(f64, Vec<f64>)> = vec![(ask(start), start.to_vec())];
    for dimension in 0..start.len() {
        let mut at = start.to_vec();
        at[dimension] += step;
        simplex.push((ask(&at), at));
    }
    let last = simplex.len() - 1;
    let mut rounds = 0;
    loop {
        simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
        rounds += 1;
        // Equal values alone may lie on two sides of a valley.
        let is_small = |(_, at): &(f64, Vec<f64>)| {
            at.iter().zip(&simplex[0].1).all(|(x, best)| (x - best).abs() < SMALL)
        };
        let is_done =
            simplex[last].0 - simplex[0].0 <= tolerance && simplex[1..].iter().all(is_small);
        if is_done || rounds * 2 > most {
            break;
        }
        let centre: Vec<f64> = (0..start.len())
            .map(|d| simplex[..last].iter().map(|(_, at)| at[d]).sum::<f64>() / last as f64)
            .collect();
        let worst = simplex[last].clone();
        let along = |t: f64| -> Vec<f64> {
            centre.iter().zip(&worst.1).map(|(c, w)| c + t * (c - w)).collect()
        };
        let reflected = along(1.0);
        let value = ask(&reflected);
        if value < simplex[0].0 {
            let expanded = along(2.0);
            let further = ask(&expanded);
            simplex[last] = if further < value { (further, expanded) } else { (value, reflected) };
        } else if value < simplex[last - 1].0 {
            simplex[last] = (value, reflected);
        } else {
            let contracted = along(if value < worst.0 { 0.5 } else { -0.5 });
            let nearer = ask(&contracted);
            if nearer < worst.0.min(value) {
                simplex[last] = (nearer, contracted);
            } else {
                let best = simplex[0].1.clone();
                for (value, at) in &mut simplex[1..] {
                    for (x, b) in at.iter_mut().zip(&best) {
                        *x = b + 0.5 * (*x - b);
                    }
                    *value = ask(at);
                }
            }
        }
    }
    let (value, at) = simplex.swap_remove(0);
    Minimum { at, value, evaluations }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_walked_to_its_end() {
        let rosenbrock =
            |at: &[f64]| (1.0 - at[0]).powi(2) + 100.0 * (at[1] - at[0] * at[0]).powi(2);
        let found = nelder_mead(&[-1.2, 1.0], 0.5, 1e-14, 2_000, rosenbrock);
        assert!((found.at[0] - 1.0).abs() < 1e-5 && (found.at[1] - 1.0).abs() < 1e-5, "{found:?}");
        assert!(found.evaluations < 2_000);
    }

    #[test]
    fn what_is_no_number_is_avoided() {
        let half = |at: &[f64]| if at[0] < 0.0 { f64::NAN } else { (at[0] - 2.0).powi(2) };
        let found = nelder_mead(&[0.1], 0.2, 1e-12, 500, half);
        assert!((found.at[0] - 2.0).abs() < 1e-4, "{found:?}");
    }
}
