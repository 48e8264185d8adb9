//! Comparison of two models on the same samples.

use super::bootstrap::{Clusters, Interval, LEVEL, draw, intervals};
use super::measure::{MEASURES, Measure, OfMeasure, Values, in_order};
use super::performance::ScoredSample;
use crate::base::errors::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// One measure of two models, and their difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// What was measured.
    pub measure: Measure,
    /// Of model a.
    pub a: Option<f64>,
    /// Of model b.
    pub b: Option<f64>,
    /// `b - a`, above 0 where b is better; `None` where either is undefined.
    pub value: Option<f64>,
    /// The 95 % confidence interval of the difference; see [`Paired`].
    pub interval: Option<Interval>,
    /// In how many draws it was defined.
    pub defined: u32,
}

impl OfMeasure for Difference {
    fn measure(&self) -> Measure {
        self.measure
    }
}

/// McNemar's test of whether two models are right equally often (McNemar 1947), exact.
///
/// Only samples that exactly one model gets right are informative. Under the null hypothesis each of them is a fair
/// coin toss, so the p-value is that of the two-sided binomial test, for any number of samples. The chi-square
/// statistic only approximates it and is not given.
///
/// The test takes samples as independent. Slices of one scan are not, and their p-value is far too small: use it on
/// scans, one a patient. The intervals of [`Paired`] are valid for slices as well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McNemar {
    /// Samples that both get right.
    pub both: u64,
    /// Samples that a gets right and b wrong.
    pub only_a: u64,
    /// Samples that b gets right and a wrong.
    pub only_b: u64,
    /// Samples that both get wrong.
    pub neither: u64,
    /// The p-value, in 0..=1; 1 where `only_a` and `only_b` are equal, also where both are 0.
    pub p: f64,
}

impl McNemar {
    fn of(a: &[ScoredSample], b: &[ScoredSample]) -> Self {
        let [mut both, mut only_a, mut only_b, mut neither] = [0; 4];
        for (a, b) in a.iter().zip(b) {
            let count = match (a.decision == a.covid, b.decision == b.covid) {
                (true, true) => &mut both,
                (true, false) => &mut only_a,
                (false, true) => &mut only_b,
                (false, false) => &mut neither,
            };
            *count += 1;
        }
        Self { both, only_a, only_b, neither, p: sign_test(only_a, only_b) }
    }
}

/// The two-sided p-value of `heads` and `tails` of a fair coin, `min(1, 2 P(X ≤ min(heads, tails)))`
/// (`scipy.stats.binomtest`); 1 of no throws.
fn sign_test(heads: u64, tails: u64) -> f64 {
    let (fewer, more) = (heads.min(tails), heads.max(tails));
    if fewer == more {
        return 1.0;
    }
    // P(X = fewer) = C(n, fewer) / 2^n. Its factors overflow and the logarithms cancel: summed with compensation.
    let logarithms = (1..=fewer).map(|i| ((more + i) as f64 / i as f64).ln());
    let last = compensated_sum(logarithms.chain([-((fewer + more) as f64) * std::f64::consts::LN_2]));
    // The others relative to it: P(X = k - 1) = P(X = k) k / (n - k + 1), falling towards 0.
    let (mut term, mut sum) = (1.0, 1.0);
    for k in (1..=fewer).rev() {
        term *= k as f64 / (fewer + more - k + 1) as f64;
        sum += term;
        if term < sum * f64::EPSILON / 4.0 {
            break;
        }
    }
    (2.0 * (last + f64::ln(sum)).exp()).min(1.0)
}

/// p-values of several tests made at once, raised so that the chance of one or more false alarms among all of them stays
/// below the level (Holm 1979; R's `p.adjust(p, "holm")`): the smallest of `m` is multiplied by `m`, the next by `m - 1`,
/// and none falls below the one before it.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut least) = (vec![1.0; p.len()], 0.0_f64);
    for (done, &index) in order.iter().enumerate() {
        least = least.max((p.len() - done) as f64 * p[index]).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

/// Neumaier's compensated sum.
fn compensated_sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    sum + lost
}

/// Two models, a and b, on the same samples: the difference of every measure with its interval, and McNemar's test.
///
/// The intervals are those of [`Performance`](crate::Performance), with the same patients drawn for both models:
/// differences between patients that affect both models cancel. A measure counts in a draw when it is defined for both.
/// An interval that excludes 0 means that these two models differ on such patients, not that one training method is
/// better than the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paired {
    /// How many samples both judged.
    pub samples: usize,
    /// Of how many patients.
    pub patients: usize,
    /// How many times patients were drawn.
    pub draws: u32,
    /// The seed of the draws.
    pub seed: u64,
    /// The confidence level, 0.95.
    pub level: f64,
    /// Whether they are right equally often; for scans only.
    pub mcnemar: McNemar,
    #[serde(deserialize_with = "in_order")]
    differences: [Difference; MEASURES],
}

impl Paired {
    /// Compares; sample `i` of both lists must be the same one.
    ///
    /// # Errors
    /// Lists of different lengths, a sample whose truth or patient differs, no samples, or a score not in 0..=1.
    pub fn of(a: &[ScoredSample], b: &[ScoredSample], draws: u32, seed: u64) -> Result<Self> {
        ensure!(a.len() == b.len(), "comparing two models: {} samples of a but {} of b", a.len(), b.len());
        for (index, (a, b)) in a.iter().zip(b).enumerate() {
            let same = (a.covid, a.patient) == (b.covid, b.patient);
            if !same {
                let [a, b] = [a, b].map(|s| format!("covid {}, patient {}", s.covid, s.patient));
                bail!("comparing two models: sample {index} is {a} for a but {b} for b");
            }
        }
        let of_a = Clusters::new(a).context("model a")?;
        let of_b = Clusters::new(b).context("model b")?;
        let patients = of_a.patients();
        let drawn = draw(patients, draws, seed, |times| subtract(&of_b.values(times), &of_a.values(times)));
        let drawn = intervals(&drawn, patients);
        let once = vec![1; patients];
        let (values_a, values_b) = (of_a.values(&once), of_b.values(&once));
        let values = subtract(&values_b, &values_a);
        let differences = Measure::ALL.map(|measure| {
            let index = measure as usize;
            let (interval, defined) = drawn[index];
            Difference { measure, a: values_a[index], b: values_b[index], value: values[index], interval, defined }
        });
        let mcnemar = McNemar::of(a, b);
        Ok(Self { samples: a.len(), patients, draws, seed, level: LEVEL, mcnemar, differences })
    }

    /// The difference in one measure.
    pub fn get(&self, measure: Measure) -> &Difference {
        &self.differences[measure as usize]
    }

    /// The differences in all measures, in the order of [`Measure::ALL`].
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }
}

fn subtract(minuend: &Values, subtrahend: &Values) -> Values {
    std::array::from_fn(|index| Some(minuend[index]? - subtrahend[index]?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(covid: bool, score: f64, patient: u32) -> ScoredSample {
        ScoredSample { covid, score, decision: score >= 0.5, patient }
    }

    #[test]
    fn hand_computed() -> Result<()> {
        let a = [judged(true, 0.9, 0), judged(true, 0.4, 1), judged(false, 0.6, 2), judged(false, 0.1, 3)];
        let b = [judged(true, 0.9, 0), judged(true, 0.7, 1), judged(false, 0.2, 2), judged(false, 0.8, 3)];
        let paired = Paired::of(&a, &b, 200, 0)?;
        assert_eq!(paired.mcnemar, McNemar { both: 1, only_a: 1, only_b: 2, neither: 0, p: 1.0 });
        let sensitivity = paired.get(Measure::Sensitivity);
        assert_eq!((sensitivity.a, sensitivity.b, sensitivity.value), (Some(0.5), Some(1.0), Some(0.5)));
        assert_eq!(paired.get(Measure::Specificity).value, Some(0.0));
        // 3 of 4 pairs are in order for both
        assert_eq!(paired.get(Measure::RocAuc).value, Some(0.0));
        assert_eq!(serde_json::from_str::<Paired>(&serde_json::to_string(&paired)?)?, paired);
        Ok(())
    }

    #[test]
    fn the_same_patients_are_drawn_for_both() -> Result<()> {
        // b is right exactly where a is: whatever is drawn, they differ by 0, though each alone is uncertain.
        let a: Vec<ScoredSample> = (0..40).map(|i| judged(i % 2 == 0, f64::from(i * 7 % 10) / 10.0, i / 2)).collect();
        let b: Vec<ScoredSample> = a.iter().map(|s| ScoredSample { score: s.score / 2.0, ..*s }).collect();
        let paired = Paired::of(&a, &b, 300, 0)?;
        assert!(paired.differences().iter().all(|d| d.interval == Some(Interval { low: 0.0, high: 0.0 })));
        assert_eq!(paired.mcnemar.p, 1.0);
        Ok(())
    }

    #[test]
    fn sign_test_by_hand_and_for_large_numbers() {
        let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-11, "{found} {expected}");
        assert_eq!((sign_test(0, 0), sign_test(4, 4), sign_test(0, 1), sign_test(2, 3)), (1.0, 1.0, 1.0, 1.0));
        close(sign_test(0, 5), 2.0 / 32.0);
        // (1 + 10 + 45) / 1024, twice
        close(sign_test(8, 2), 112.0 / 1024.0);
        close(sign_test(0, 1_000), 2.0 * 0.5_f64.powi(1_000));
        assert_eq!(sign_test(0, 1_000_000), 0.0);
        assert!((sign_test(500_000, 500_001) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn holm_is_r_s() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {expected:?}");
        };
        // p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm"), p.adjust(c(0.01, 0.04, 0.03), "holm")
        close(holm(&[0.01, 0.02, 0.03, 0.005]), &[0.03, 0.04, 0.04, 0.02]);
        close(holm(&[0.01, 0.04, 0.03]), &[0.03, 0.06, 0.06]);
        close(holm(&[0.7, 0.9]), &[1.0, 1.0]);
        close(holm(&[0.2]), &[0.2]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn errors_name_what_differs() {
        let message =
            |a: &[ScoredSample], b: &[ScoredSample]| Paired::of(a, b, 1, 0).map_err(|error| format!("{error:#}"));
        let sample = judged(true, 0.5, 3);
        assert_eq!(message(&[sample], &[]), Err("comparing two models: 1 samples of a but 0 of b".into()));
        let other = ScoredSample { covid: false, ..sample };
        let expected = "comparing two models: sample 1 is covid true, patient 3 for a but covid false, patient 3 for b";
        assert_eq!(message(&[sample; 2], &[sample, other]), Err(expected.into()));
        assert!(message(&[sample], &[ScoredSample { patient: 4, ..sample }]).is_err());
        let broken = ScoredSample { score: f64::NAN, ..sample };
        let expected = "model b: measuring performance: expected scores in 0..=1, found NaN at sample 0";
        assert_eq!(message(&[sample], &[broken]), Err(expected.into()));
        assert!(message(&[], &[]).is_err());
    }
}
