//! Confidence intervals without draws, for a few samples: Wilson's score interval of a proportion, and what is built on it.

use super::bootstrap::{Clusters, Interval};
use super::measure::{Measure, Tally};

/// The 97.5th percentile of the normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

impl Clusters {
    /// The interval of a measure with this value; `None` where it needs both labels and there is one. See
    /// [`Performance::with_score_intervals`](super::Performance::with_score_intervals) for the formulas.
    pub(super) fn score_interval(&self, measure: Measure, value: f64) -> Option<Interval> {
        let trials = |of: fn(&Tally) -> u64| effective(self.tallies().iter().map(of));
        let covid = || trials(|t| t.true_positives + t.false_negatives);
        let other = || trials(|t| t.true_negatives + t.false_positives);
        Some(match measure {
            Measure::Accuracy => wilson(value, trials(Tally::all)),
            Measure::Sensitivity | Measure::PrAuc => wilson(value, covid()),
            Measure::Specificity => wilson(value, other()),
            Measure::Ppv => wilson(value, trials(|t| t.true_positives + t.false_positives)),
            Measure::Npv => wilson(value, trials(|t| t.true_negatives + t.false_negatives)),
            Measure::RocAuc => of_area(value, covid(), other()),
            Measure::BalancedAccuracy | Measure::MacroF1 | Measure::Matthews => {
                let mut all = Tally::default();
                self.tallies().iter().for_each(|of| all.add(*of, 1));
                return Rates::of(&all)?.square_and_add(measure, value, covid(), other());
            }
        })
    }
}

/// How many independent samples these are worth, given the number of each patient's: `(Σ n)² / Σ n²` (Kish 1965, *Survey
/// Sampling*), as if samples of one patient were all alike. Of one sample a patient it is their number.
fn effective(of_patients: impl Iterator<Item = u64>) -> f64 {
    let (sum, squares) = of_patients.fold((0, 0), |(sum, squares), n| (sum + n, squares + n * n));
    (sum * sum) as f64 / squares as f64
}

/// Wilson's 95 % score interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209).
pub(crate) fn wilson(share: f64, trials: f64) -> Interval {
    let middle = share + Z * Z / (2.0 * trials);
    let half = Z * (share * (1.0 - share) / trials + Z * Z / (4.0 * trials * trials)).sqrt();
    let scale = 1.0 + Z * Z / trials;
    // Of no or all samples the bounds are 0 and 1; rounding would miss them.
    let low = if share == 0.0 { 0.0 } else { (middle - half) / scale };
    Interval { low, high: if share == 1.0 { 1.0 } else { (middle + half) / scale } }
}

/// Newcombe's score interval of an area under the ROC curve (2006, Stat. Med. 25:559, method 5): the areas of which the one
/// found is not further than 1.96 standard errors, these by Hanley and McNeil's formula at the area in question.
fn of_area(found: f64, covid: f64, other: f64) -> Interval {
    let half = (covid + other) / 2.0 - 1.0;
    let is_near = |area: f64| {
        let factor = 1.0 + half * ((1.0 - area) / (2.0 - area) + area / (1.0 + area));
        (found - area).powi(2) <= Z * Z * area * (1.0 - area) * factor / (covid * other)
    };
    // Between a value outside and one inside, to the last bits.
    let bound = |outside: f64| {
        let (mut far, mut near) = (outside, found);
        for _ in 0..60 {
            let middle = (far + near) / 2.0;
            if is_near(middle) { near = middle } else { far = middle }
        }
        far
    };
    let low = if found == 0.0 { 0.0 } else { bound(0.0) };
    Interval { low, high: if found == 1.0 { 1.0 } else { bound(1.0) } }
}

/// Sensitivity and specificity, and the numbers of samples that they are of.
struct Rates {
    sensitivity: f64,
    specificity: f64,
    covid: f64,
    other: f64,
}

impl Rates {
    /// `None` without samples of one label.
    fn of(all: &Tally) -> Option<Self> {
        let [hits, misses, alarms, rest] =
            [all.true_positives, all.false_negatives, all.false_positives, all.true_negatives].map(|n| n as f64);
        let (covid, other) = (hits + misses, alarms + rest);
        let has_both = covid > 0.0 && other > 0.0;
        has_both.then(|| Self { sensitivity: hits / covid, specificity: rest / other, covid, other })
    }

    /// A measure at other rates, with as many samples of each label.
    fn at(&self, measure: Measure, sensitivity: f64, specificity: f64) -> f64 {
        let (hits, rest) = (sensitivity * self.covid, specificity * self.other);
        let (misses, alarms) = (self.covid - hits, self.other - rest);
        let f1 = |hits: f64| 2.0 * hits / (2.0 * hits + misses + alarms);
        match measure {
            Measure::MacroF1 => (f1(hits) + f1(rest)) / 2.0,
            Measure::Matthews => {
                let decided = (hits + alarms) * (rest + misses);
                (hits * rest - alarms * misses) / (self.covid * self.other * decided).sqrt()
            }
            _ => (sensitivity + specificity) / 2.0,
        }
    }

    /// The interval of a measure of both rates: the changes that the bounds of each rate alone make are squared and added. Of
    /// balanced accuracy it is Newcombe's hybrid score interval (1998, Stat. Med. 17:873, method 10).
    fn square_and_add(&self, measure: Measure, value: f64, covid: f64, other: f64) -> Option<Interval> {
        let (of_covid, of_other) = (wilson(self.sensitivity, covid), wilson(self.specificity, other));
        let change = |a: f64, b: f64| {
            let change = |a, b| self.at(measure, a, b) - value;
            change(a, self.specificity).hypot(change(self.sensitivity, b))
        };
        let (down, up) = (change(of_covid.low, of_other.low), change(of_covid.high, of_other.high));
        let least = if measure == Measure::Matthews { -1.0 } else { 0.0 };
        (down + up).is_finite().then(|| Interval { low: (value - down).max(least), high: (value + up).min(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(found: Interval, low: f64, high: f64) {
        assert!(
            (found.low - low).abs() < 1e-9 && (found.high - high).abs() < 1e-9,
            "{found:?}, expected {low} to {high}"
        );
    }

    #[test]
    fn proportions_are_wilsons() {
        // statsmodels 0.14 proportion_confint(6, 6, method="wilson") and others
        is(wilson(1.0, 6.0), 0.609_665_712_097_834_6, 1.0);
        is(wilson(5.0 / 6.0, 6.0), 0.436_497_177_813_529_65, 0.969_946_630_251_693_3);
        is(wilson(0.0, 6.0), 0.0, 0.390_334_287_902_165_46);
        is(wilson(81.0 / 263.0, 263.0), 0.255_288_519_878_274_2, 0.366_209_576_982_800_04);
    }

    #[test]
    fn areas_are_newcombes() {
        // The formula solved by scipy.optimize.brentq
        is(of_area(1.0, 6.0, 6.0), 0.689_230_574_730_455_3, 1.0);
        is(of_area(0.875, 6.0, 6.0), 0.536_035_646_977_195_5, 0.973_842_829_346_785_3);
        is(of_area(0.9, 30.0, 50.0), 0.798_880_506_750_191_7, 0.951_028_315_636_634_7);
        is(of_area(0.0, 6.0, 6.0), 0.0, 0.310_769_425_269_544_65);
    }

    #[test]
    fn balanced_accuracy_is_newcombes_hybrid_score() {
        let of = |hits, misses, alarms, rest| {
            let all =
                Tally { true_positives: hits, false_negatives: misses, false_positives: alarms, true_negatives: rest };
            let rates = Rates::of(&all).unwrap();
            let value = rates.at(Measure::BalancedAccuracy, rates.sensitivity, rates.specificity);
            rates.square_and_add(Measure::BalancedAccuracy, value, rates.covid, rates.other).unwrap()
        };
        // statsmodels 0.14 confint_proportions_2indep(6, 6, 1, 6, method="newcomb", compare="diff"): (x + 1) / 2 of both bounds
        is(of(6, 0, 1, 5), 0.638_350_393_948_097_2, 0.984_973_315_126_845_7);
        is(of(6, 0, 0, 6), 0.723_991_978_094_756_7, 1.0);
        is(of(3, 7, 11, 9), 0.239_231_577_250_999_08, 0.558_828_722_375_671_2);
    }

    #[test]
    fn measures_at_the_rates_found_are_those_of_the_counts() {
        let all = Tally { true_positives: 6, false_negatives: 2, false_positives: 1, true_negatives: 3 };
        let (rates, values) = (Rates::of(&all).unwrap(), all.values(None, None));
        for measure in [Measure::BalancedAccuracy, Measure::MacroF1, Measure::Matthews] {
            let found = rates.at(measure, rates.sensitivity, rates.specificity);
            assert!((found - values[measure as usize].unwrap()).abs() < 1e-12, "{measure:?}: {found}");
        }
        assert!(Rates::of(&Tally { true_positives: 3, ..Tally::default() }).is_none());
    }

    #[test]
    fn samples_of_one_patient_count_as_kish_says() {
        assert_eq!(effective([1, 1, 1, 1].into_iter()), 4.0);
        assert_eq!(effective([5, 5, 0].into_iter()), 2.0);
        assert_eq!(effective([3, 1].into_iter()), 1.6);
    }
}
