//! Bootstrap clustered by patient, with all measures of a draw computed in one pass. Written here because a library's
//! bootstrap of single samples would give intervals that are too narrow: samples of one patient are not independent.

use super::measure::{MEASURES, Measure, Tally, Values};
use super::performance::ScoredSample;
use crate::base::errors::{Result, bail, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The confidence level of every interval.
pub(super) const LEVEL: f64 = 0.95;

/// Bootstrap samples of every interval that the library states.
pub(crate) const DRAWS: u32 = 2_000;

/// The percentiles that bound [`LEVEL`].
pub(crate) const BOUNDS: [f64; 2] = [0.025, 0.975];

/// The share of the draws, in percent, in which a measure must be defined for an interval.
const DEFINED_PERCENT: u64 = 95;

/// A confidence interval; `low <= high`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// The samples of one model, grouped for draws of patients.
pub(super) struct Clusters {
    /// What each patient adds to the counts of decisions.
    tallies: Vec<Tally>,
    /// All samples, highest score first.
    ranked: Vec<Ranked>,
}

struct Ranked {
    patient: u32,
    covid: bool,
    /// Whether the next sample has a different score.
    ends_tie: bool,
}

impl Clusters {
    /// Patients are counted from 0 in the order of their numbers, so that the order of samples changes nothing.
    ///
    /// # Errors
    /// Without samples, or when a score is not in 0..=1; the message names the sample.
    pub(super) fn new(samples: &[ScoredSample]) -> Result<Self> {
        ensure!(!samples.is_empty(), "measuring performance: expected at least one sample, found none");
        if let Some((index, sample)) = samples.iter().enumerate().find(|(_, s)| !(0.0..=1.0).contains(&s.score)) {
            bail!("measuring performance: expected scores in 0..=1, found {} at sample {index}", sample.score);
        }
        let patients: BTreeSet<u32> = samples.iter().map(|sample| sample.patient).collect();
        let patients: Vec<u32> = patients.into_iter().collect();
        let place = |sample: &ScoredSample| patients.partition_point(|&patient| patient < sample.patient);
        let mut tallies = vec![Tally::default(); patients.len()];
        for sample in samples {
            tallies[place(sample)].record(sample.covid, sample.decision);
        }
        let mut order: Vec<&ScoredSample> = samples.iter().collect();
        order.sort_by(|a, b| b.score.total_cmp(&a.score));
        let ranked = (order.iter().enumerate())
            .map(|(rank, sample)| Ranked {
                patient: place(sample) as u32,
                covid: sample.covid,
                ends_tie: order.get(rank + 1).is_none_or(|next| next.score != sample.score),
            })
            .collect();
        Ok(Self { tallies, ranked })
    }

    pub(super) fn patients(&self) -> usize {
        self.tallies.len()
    }

    /// What each patient adds to the counts of decisions.
    pub(super) fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// The interval of a measure that is the same in every draw, by Clopper and Pearson (1934) over patients: a
    /// bootstrap of samples without errors would give 100 to 100 %. `None` for measures that are not a proportion.
    ///
    /// A patient counts as one trial, whatever the number of slices.
    pub(super) fn exact(&self, measure: Measure) -> Option<Interval> {
        let of = |part: fn(&Tally) -> u64, rest: fn(&Tally) -> u64| {
            let whole = self.tallies.iter().filter(|tally| part(tally) + rest(tally) > 0).count();
            let (hits, misses) = self.tallies.iter().fold((0, 0), |sum, t| (sum.0 + part(t), sum.1 + rest(t)));
            all_or_none(hits, misses, whole)
        };
        let sensitivity = || of(|t| t.true_positives, |t| t.false_negatives);
        let specificity = || of(|t| t.true_negatives, |t| t.false_positives);
        match measure {
            Measure::Accuracy => of(|t| t.true_positives + t.true_negatives, |t| t.false_positives + t.false_negatives),
            Measure::Sensitivity => sensitivity(),
            Measure::Specificity => specificity(),
            Measure::Ppv => of(|t| t.true_positives, |t| t.false_positives),
            Measure::Npv => of(|t| t.true_negatives, |t| t.false_negatives),
            Measure::BalancedAccuracy => {
                let (a, b) = (sensitivity()?, specificity()?);
                Some(Interval { low: (a.low + b.low) / 2.0, high: (a.high + b.high) / 2.0 })
            }
            Measure::MacroF1 | Measure::Matthews | Measure::RocAuc | Measure::PrAuc => None,
        }
    }

    /// Every measure when all samples of patient `i` occur `times[i]` times.
    pub(super) fn values(&self, times: &[u32]) -> Values {
        let mut tally = Tally::default();
        for (of_patient, &times) in self.tallies.iter().zip(times) {
            tally.add(*of_patient, u64::from(times));
        }
        let positives = tally.true_positives + tally.false_negatives;
        let negatives = tally.false_positives + tally.true_negatives;
        let (twice_area, precisions) = self.rank(times);
        let roc_auc = (positives > 0 && negatives > 0)
            .then(|| twice_area as f64 / (2 * u128::from(positives) * u128::from(negatives)) as f64);
        tally.values(roc_auc, (positives > 0).then(|| precisions / positives as f64))
    }

    /// Twice the pairs (covid, non-covid) in the right order, where equal scores count half, in whole numbers; and the
    /// sum over covid samples of the precision at their score.
    fn rank(&self, times: &[u32]) -> (u128, f64) {
        let (mut twice_area, mut precisions) = (0_u128, 0.0);
        // At the end of the last tie, and now.
        let (mut positives_before, mut negatives_before) = (0_u64, 0_u64);
        let (mut positives, mut negatives) = (0_u64, 0_u64);
        for sample in &self.ranked {
            let weight = u64::from(times[sample.patient as usize]);
            positives += weight * u64::from(sample.covid);
            negatives += weight * u64::from(!sample.covid);
            if sample.ends_tie {
                twice_area += u128::from(negatives - negatives_before) * u128::from(positives + positives_before);
                if positives > positives_before {
                    let precision = positives as f64 / (positives + negatives) as f64;
                    precisions += (positives - positives_before) as f64 * precision;
                }
                (positives_before, negatives_before) = (positives, negatives);
            }
        }
        (twice_area, precisions)
    }
}

/// Clopper and Pearson's 95 % interval of a share of `patients` that is 1 (no misses) or 0 (no hits).
fn all_or_none(hits: u64, misses: u64, patients: usize) -> Option<Interval> {
    let bound = BOUNDS[0].powf(1.0 / patients as f64);
    match (hits, misses) {
        (0, 0) => None,
        (_, 0) => Some(Interval { low: bound, high: 1.0 }),
        (0, _) => Some(Interval { low: 0.0, high: 1.0 - bound }),
        _ => None,
    }
}

/// `measure` of each draw of as many patients as there are, with replacement: `times[i]` says how often patient `i` was
/// drawn. Each draw has a separate random stream, so the result does not depend on the number of threads.
pub(crate) fn draw<T: Send>(patients: usize, draws: u32, seed: u64, measure: impl Fn(&[u32]) -> T + Sync) -> Vec<T> {
    (0..draws)
        .into_par_iter()
        .map_init(
            || vec![0_u32; patients],
            |times, draw| {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(u64::from(draw));
                times.fill(0);
                for _ in 0..patients {
                    // u32, because a usize would be drawn differently on another platform.
                    times[random.gen_range(0..patients as u32) as usize] += 1;
                }
                measure(times)
            },
        )
        .collect()
}

/// The percentile interval of each measure, and the number of draws in which it was defined.
///
/// No interval where there is one patient only, or where fewer than 95 % of the draws define the measure.
pub(super) fn intervals(drawn: &[Values], patients: usize) -> [(Option<Interval>, u32); MEASURES] {
    std::array::from_fn(|measure| {
        let mut values: Vec<f64> = drawn.iter().filter_map(|values| values[measure]).collect();
        values.sort_by(f64::total_cmp);
        let enough = 100 * values.len() as u64 >= DEFINED_PERCENT * drawn.len() as u64;
        let [low, high] = BOUNDS.map(|share| percentile(&values, share));
        let interval = low.zip(high).filter(|_| patients > 1 && enough).map(|(low, high)| Interval { low, high });
        (interval, values.len() as u32)
    })
}

/// The `share` quantile of ascending values by linear interpolation, as `numpy.quantile`; `None` of none.
pub(crate) fn percentile(ascending: &[f64], share: f64) -> Option<f64> {
    let place = share * (ascending.len().checked_sub(1)?) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let low = *ascending.get(below)?;
    let high = *ascending.get(below + 1).unwrap_or(&low);
    Some(if part < 0.5 { low + (high - low) * part } else { high - (high - low) * (1.0 - part) })
}

#[cfg(test)]
mod tests {
    use super::super::{ConfusionMatrix, RocCurve, average_precision};
    use super::*;

    fn random_samples(random: &mut ChaCha8Rng) -> Vec<ScoredSample> {
        let levels = [2.0, 10.0, 1e6][random.gen_range(0..3)];
        let patients = random.gen_range(1..8);
        (0..random.gen_range(1..60))
            .map(|_| {
                let score = (random.gen_range(0.0..1.0_f64) * levels).round() / levels;
                ScoredSample {
                    covid: random.gen_bool(0.5),
                    score,
                    decision: random.gen_bool(score),
                    patient: 7 * random.gen_range(0..patients),
                }
            })
            .collect()
    }

    /// The same by the crate's other metrics, with samples repeated.
    fn repeated(samples: &[ScoredSample], times: impl Fn(u32) -> u32) -> Result<Values> {
        let all: Vec<&ScoredSample> =
            samples.iter().flat_map(|sample| (0..times(sample.patient)).map(move |_| sample)).collect();
        let index = |covid: bool| usize::from(!covid);
        let truth: Vec<usize> = all.iter().map(|s| index(s.covid)).collect();
        let predicted: Vec<usize> = all.iter().map(|s| index(s.decision)).collect();
        let matrix = ConfusionMatrix::from_labels(&["covid", "non-covid"], &truth, &predicted)?;
        let is_covid: Vec<bool> = all.iter().map(|s| s.covid).collect();
        let scores: Vec<f64> = all.iter().map(|s| s.score).collect();
        Ok([
            matrix.accuracy(),
            matrix.sensitivity(),
            matrix.specificity(),
            matrix.ppv(),
            matrix.npv(),
            matrix.balanced_accuracy(),
            matrix.macro_f1(),
            matrix.matthews(),
            RocCurve::new(&is_covid, &scores).ok().map(|curve| curve.auc()),
            average_precision(&is_covid, &scores).ok(),
        ])
    }

    #[test]
    fn drawing_a_patient_twice_is_repeating_the_samples() -> Result<()> {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut defined = 0;
        for _ in 0..500 {
            let samples = random_samples(&mut random);
            let clusters = Clusters::new(&samples)?;
            let times: Vec<u32> = (0..clusters.patients()).map(|_| random.gen_range(0..4)).collect();
            let patients: BTreeSet<u32> = samples.iter().map(|s| s.patient).collect();
            let place = |patient: u32| patients.iter().position(|&p| p == patient).unwrap();
            let (found, expected) = (clusters.values(&times), repeated(&samples, |patient| times[place(patient)])?);
            for (measure, (found, expected)) in Measure::ALL.iter().zip(found.iter().zip(&expected)) {
                let agrees = match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
                    (found, expected) => found == expected,
                };
                assert!(agrees, "{measure:?}: {found:?}, expected {expected:?}");
                defined += usize::from(found.is_some());
            }
        }
        assert!(defined > 3_000, "only {defined} values were compared");
        Ok(())
    }

    #[test]
    fn a_draw_is_of_as_many_patients_as_there_are_and_all_draws_differ() {
        let counted = draw(40, 300, 3, |times| {
            assert_eq!(times.iter().sum::<u32>(), 40);
            let fingerprint: f64 = times.iter().zip(1..).map(|(&t, i)| f64::from(t) * f64::from(i * i)).sum();
            [Some(fingerprint); MEASURES]
        });
        let different: BTreeSet<u64> = counted.iter().filter_map(|values| Some(values[0]?.to_bits())).collect();
        assert!(different.len() > 280, "{} different draws of 300", different.len());
    }

    #[test]
    fn percentiles_are_numpys() {
        // numpy.quantile([1, 2, 4, 8], [0, .025, .5, .975, 1])
        for (share, expected) in [(0.0, 1.0), (0.025, 1.075), (0.5, 3.0), (0.975, 7.7), (1.0, 8.0)] {
            let found = percentile(&[1.0, 2.0, 4.0, 8.0], share).unwrap();
            assert!((found - expected).abs() < 1e-14, "{share}: {found}");
        }
        assert_eq!(percentile(&[3.0], 0.975), Some(3.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn all_or_none_is_clopper_and_pearsons() {
        // scipy.stats.binomtest(12, 12).proportion_ci(0.95, method="exact"): 0.73535, 1
        let all = all_or_none(40, 0, 12).unwrap();
        assert!((all.low - 0.735_351_530_602_948_8).abs() < 1e-9 && all.high == 1.0, "{all:?}");
        let none = all_or_none(0, 3, 12).unwrap();
        assert!(none.low == 0.0 && (none.high - (1.0 - all.low)).abs() < 1e-15, "{none:?}");
        assert_eq!((all_or_none(0, 0, 0), all_or_none(1, 1, 2)), (None, None));
    }

    #[test]
    fn an_interval_needs_two_patients_and_95_of_100_draws() {
        let drawn = |undefined: usize| -> Vec<Values> {
            (0..100).map(|draw| [(draw >= undefined).then_some(draw as f64); MEASURES]).collect()
        };
        assert!(intervals(&drawn(5), 2)[0].0.is_some());
        assert_eq!(intervals(&drawn(6), 2)[0], (None, 94));
        assert_eq!(intervals(&drawn(0), 1)[0], (None, 100));
        assert_eq!(intervals(&[], 2)[0], (None, 0));
    }
}
