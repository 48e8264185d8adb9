//! From a scan's slices to a decision on the scan: [`Rule`], chosen on validation scans.

use crate::base::errors::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The probability from which a slice is called covid.
const CALLED_COVID: f64 = 0.5;

/// The rule by which a scan is called covid, from the covid probabilities of its slices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "UncheckedRule")]
pub enum Rule {
    /// At least this share of its slices, 0 to 1, is called covid (probability 0.5 or more).
    ShareOfSlices(f64),
    /// The mean probability is at least this, 0 to 1.
    MeanProbability(f64),
    /// At least this number of slices, 1 or more, is called covid (probability 0.5 or more).
    AnyOf(usize),
}

/// A [`Rule`] as it is read, with any threshold.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", rename = "Rule")]
enum UncheckedRule {
    ShareOfSlices(f64),
    MeanProbability(f64),
    AnyOf(usize),
}

impl TryFrom<UncheckedRule> for Rule {
    type Error = crate::base::errors::Error;

    fn try_from(read: UncheckedRule) -> Result<Self> {
        let threshold = |value: f64| {
            ensure!((0.0..=1.0).contains(&value), "a scan rule: expected a threshold from 0 to 1, found {value}");
            Ok(value)
        };
        Ok(match read {
            UncheckedRule::ShareOfSlices(share) => Self::ShareOfSlices(threshold(share)?),
            UncheckedRule::MeanProbability(mean) => Self::MeanProbability(threshold(mean)?),
            UncheckedRule::AnyOf(0) => bail!("a scan rule: expected one slice or more, found 0"),
            UncheckedRule::AnyOf(count) => Self::AnyOf(count),
        })
    }
}

/// The kind of a [`Rule`], without its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// [`Rule::ShareOfSlices`].
    ShareOfSlices,
    /// [`Rule::MeanProbability`].
    MeanProbability,
    /// [`Rule::AnyOf`].
    AnyOf,
}

impl RuleKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::ShareOfSlices, Self::MeanProbability, Self::AnyOf];
}

/// One labelled scan.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledScan {
    /// Its label.
    pub covid: bool,
    /// The covid probability of each slice, 0 to 1.
    pub slices: Vec<f64>,
}

/// A rule and how it was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The rule.
    pub rule: Rule,
    /// Its balanced accuracy on the validation scans, 0 to 1; optimistic, because the rule was chosen on them.
    pub balanced_accuracy: f64,
    /// Number of validation scans.
    pub scans: usize,
    /// Number of candidate rules.
    pub candidates: usize,
    /// Number of candidates with the best balanced accuracy.
    pub tied: usize,
}

impl Rule {
    /// Its kind.
    pub fn kind(self) -> RuleKind {
        match self {
            Self::ShareOfSlices(_) => RuleKind::ShareOfSlices,
            Self::MeanProbability(_) => RuleKind::MeanProbability,
            Self::AnyOf(_) => RuleKind::AnyOf,
        }
    }

    /// The score of a scan, 0 to 1, higher for covid: the share of slices called covid, the mean probability, or for
    /// [`Self::AnyOf`] `k` the `k`-th largest probability, which is 0.5 or more if and only if `k` slices are called
    /// covid. 0 for a scan without slices or with fewer than `k`.
    pub fn score(self, slices: &[f64]) -> f64 {
        let share = |sum: f64| if slices.is_empty() { 0.0 } else { sum / slices.len() as f64 };
        match self {
            Self::ShareOfSlices(_) => share(called_covid(slices) as f64),
            Self::MeanProbability(_) => share(slices.iter().sum()),
            Self::AnyOf(k) => {
                let mut descending = slices.to_vec();
                descending.sort_by(|a, b| b.total_cmp(a));
                descending.get(k.saturating_sub(1)).copied().unwrap_or(0.0)
            }
        }
    }

    /// Whether a scan is called covid; without slices it is not.
    pub fn decide(self, slices: &[f64]) -> bool {
        !slices.is_empty() && self.calls_covid(self.score(slices))
    }

    fn calls_covid(self, score: f64) -> bool {
        match self {
            Self::ShareOfSlices(threshold) | Self::MeanProbability(threshold) => score >= threshold,
            Self::AnyOf(_) => score >= CALLED_COVID,
        }
    }

    /// The rules of a kind that can decide differently on these scans, ascending: thresholds half-way between
    /// neighbouring scores of scans, 0 and 1 included; numbers of slices from 1 to that of the longest scan.
    pub fn candidates(kind: RuleKind, scans: &[LabelledScan]) -> Vec<Self> {
        let thresholds = |rule: fn(f64) -> Self| {
            let scores = scans.iter().map(|scan| rule(0.0).score(&scan.slices));
            let mut cuts: Vec<f64> = scores.chain([0.0, 1.0]).collect();
            cuts.sort_by(f64::total_cmp);
            cuts.dedup();
            cuts.windows(2).map(|pair| rule((pair[0] + pair[1]) / 2.0)).collect()
        };
        match kind {
            RuleKind::ShareOfSlices => thresholds(Self::ShareOfSlices),
            RuleKind::MeanProbability => thresholds(Self::MeanProbability),
            RuleKind::AnyOf => {
                let longest = scans.iter().map(|scan| scan.slices.len()).max().unwrap_or(0);
                (1..=longest).map(Self::AnyOf).collect()
            }
        }
    }

    /// The candidate with the best balanced accuracy over validation scans; of tied ones the middle one (of an even
    /// number the upper), which is the least sensitive to a single slice.
    ///
    /// # Errors
    /// Scans of one class only, a scan without slices, or a probability not in 0..=1.
    pub fn choose(kind: RuleKind, validation: &[LabelledScan]) -> Result<Choice> {
        check(validation)?;
        let candidates = Self::candidates(kind, validation);
        let qualities: Vec<f64> = candidates.iter().map(|rule| rule.balanced_accuracy(validation)).collect();
        let best = qualities.iter().copied().fold(0.0, f64::max);
        let tied: Vec<(Self, f64)> =
            candidates.iter().copied().zip(qualities).filter(|(_, quality)| *quality >= best - 1e-12).collect();
        let Some(&(rule, balanced_accuracy)) = tied.get(tied.len() / 2) else {
            bail!("choosing a scan rule: no candidates of {kind:?} for {} scans", validation.len());
        };
        Ok(Choice { rule, balanced_accuracy, scans: validation.len(), candidates: candidates.len(), tied: tied.len() })
    }

    fn balanced_accuracy(self, scans: &[LabelledScan]) -> f64 {
        let recall = |covid: bool| {
            let of_class = || scans.iter().filter(move |scan| scan.covid == covid);
            let right = of_class().filter(|scan| self.decide(&scan.slices) == covid).count();
            right as f64 / of_class().count() as f64
        };
        (recall(true) + recall(false)) / 2.0
    }
}

fn called_covid(slices: &[f64]) -> usize {
    slices.iter().filter(|&&p| p >= CALLED_COVID).count()
}

fn check(scans: &[LabelledScan]) -> Result<()> {
    let covid = scans.iter().filter(|scan| scan.covid).count();
    ensure!(
        covid > 0 && covid < scans.len(),
        "choosing a scan rule: expected validation scans of both classes, found {covid} of covid among {}",
        scans.len()
    );
    for (scan, LabelledScan { slices, .. }) in scans.iter().enumerate() {
        ensure!(!slices.is_empty(), "choosing a scan rule: expected slices in every scan, found none in scan {scan}");
        if let Some((slice, p)) = slices.iter().enumerate().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
            bail!("choosing a scan rule: expected probabilities in 0..=1, found {p} at slice {slice} of scan {scan}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(covid: bool, slices: &[f64]) -> LabelledScan {
        LabelledScan { covid, slices: slices.to_vec() }
    }

    #[test]
    fn scores_and_decisions_by_hand() {
        let slices = [0.9, 0.1, 0.5, 0.3];
        assert_eq!(Rule::ShareOfSlices(0.5).score(&slices), 0.5);
        assert!((Rule::MeanProbability(0.5).score(&slices) - 0.45).abs() < 1e-15);
        let kth = [1, 2, 3, 4, 5].map(|k| Rule::AnyOf(k).score(&slices));
        assert_eq!(kth, [0.9, 0.5, 0.3, 0.1, 0.0]);
        let any = [1, 2, 3, 5].map(|k| Rule::AnyOf(k).decide(&slices));
        assert_eq!(any, [true, true, false, false]);
        assert!(Rule::ShareOfSlices(0.5).decide(&slices) && !Rule::ShareOfSlices(0.51).decide(&slices));
        assert!(Rule::MeanProbability(0.44).decide(&slices) && !Rule::MeanProbability(0.46).decide(&slices));
        for rule in [Rule::ShareOfSlices(0.0), Rule::MeanProbability(0.0), Rule::AnyOf(1)] {
            assert_eq!((rule.score(&[]), rule.decide(&[])), (0.0, false));
        }
    }

    #[test]
    fn candidates_lie_between_scores() {
        let scans = [scan(true, &[0.9, 0.9, 0.1, 0.1]), scan(false, &[0.1, 0.1, 0.1, 0.9]), scan(false, &[0.2])];
        let shares = [0.125, 0.375, 0.75].map(Rule::ShareOfSlices);
        assert_eq!(Rule::candidates(RuleKind::ShareOfSlices, &scans), shares);
        assert_eq!(Rule::candidates(RuleKind::AnyOf, &scans), [1, 2, 3, 4].map(Rule::AnyOf));
        assert_eq!(Rule::candidates(RuleKind::MeanProbability, &scans).len(), 4);
        assert_eq!(Rule::candidates(RuleKind::MeanProbability, &[]), [Rule::MeanProbability(0.5)]);
    }

    #[test]
    fn the_middle_of_equally_good_rules_is_chosen() -> Result<()> {
        // Called covid of 10 slices: 8 and 9 of covid scans, 1 of the other: 2 to 8 are all perfect.
        let of_ten = |covid, called: usize| LabelledScan {
            covid,
            slices: (0..10).map(|i| if i < called { 0.8 } else { 0.2 }).collect(),
        };
        let scans = [of_ten(true, 8), of_ten(true, 9), of_ten(false, 1)];
        let choice = Rule::choose(RuleKind::AnyOf, &scans)?;
        let expected = Choice { rule: Rule::AnyOf(5), balanced_accuracy: 1.0, scans: 3, candidates: 10, tied: 7 };
        assert_eq!(choice, expected);
        let share = Rule::choose(RuleKind::ShareOfSlices, &scans)?;
        assert_eq!((share.rule, share.tied, share.candidates), (Rule::ShareOfSlices(0.45), 1, 4));
        Ok(())
    }

    #[test]
    fn an_even_number_of_ties_takes_the_upper_and_a_mistake_is_weighed_by_class() -> Result<()> {
        let mean = |covid, p| scan(covid, &[p]);
        // Cuts 0 .2 .4 .6 .8 1: between .2 and .4 one of 1 covid found, one of 3 others wrong at .4 ...
        let scans = [mean(true, 0.6), mean(false, 0.8), mean(false, 0.4), mean(false, 0.2)];
        let choice = Rule::choose(RuleKind::MeanProbability, &scans)?;
        assert_eq!(choice.rule, Rule::MeanProbability(0.5));
        assert!((choice.balanced_accuracy - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-15);
        // No rule is better than chance: at .1 all are called covid (1/2), at .5 one of each class is wrong (1/2), at
        // .9 none is called covid (1/2).
        let scans = [mean(true, 0.25), mean(false, 0.25), mean(true, 0.75), mean(false, 0.75)];
        let choice = Rule::choose(RuleKind::MeanProbability, &scans)?;
        assert_eq!((choice.rule, choice.tied), (Rule::MeanProbability(0.5), 3));
        let scans = [mean(true, 0.25), mean(false, 0.25)];
        let choice = Rule::choose(RuleKind::MeanProbability, &scans)?;
        assert_eq!((choice.rule, choice.tied), (Rule::MeanProbability(0.625), 2));
        Ok(())
    }

    #[test]
    fn errors_name_the_scan() {
        let message = |scans: &[LabelledScan]| Rule::choose(RuleKind::AnyOf, scans).map_err(|error| error.to_string());
        let expected = "choosing a scan rule: expected validation scans of both classes, found 1 of covid among 1";
        assert_eq!(message(&[scan(true, &[0.5])]), Err(expected.into()));
        assert!(message(&[]).is_err());
        let expected = "choosing a scan rule: expected slices in every scan, found none in scan 1";
        assert_eq!(message(&[scan(true, &[0.5]), scan(false, &[])]), Err(expected.into()));
        let expected = "choosing a scan rule: expected probabilities in 0..=1, found NaN at slice 1 of scan 0";
        assert_eq!(message(&[scan(true, &[0.5, f64::NAN]), scan(false, &[0.1])]), Err(expected.into()));
    }

    #[test]
    fn json() -> Result<()> {
        let rules = [Rule::ShareOfSlices(0.25), Rule::MeanProbability(0.5), Rule::AnyOf(3)];
        let json = serde_json::to_string(&rules)?;
        assert_eq!(json, r#"[{"share-of-slices":0.25},{"mean-probability":0.5},{"any-of":3}]"#);
        assert_eq!(serde_json::from_str::<[Rule; 3]>(&json)?, rules);
        assert_eq!(rules.map(Rule::kind), RuleKind::ALL);
        Ok(())
    }

    /// Thresholds computed by hand: `(called, slices)` of covid scans, of the others, the threshold and the balanced
    /// accuracy.
    #[test]
    fn thresholds_of_shares_by_hand() -> Result<()> {
        type Scans<'a> = &'a [(usize, usize)];
        let cases: [(Scans<'_>, Scans<'_>, f64, f64); 4] = [
            // 3/4, 2/4 against 1/4, 0/4: only between 1/4 and 2/4 all are right.
            (&[(3, 4), (2, 4)], &[(1, 4), (0, 4)], 0.375, 1.0),
            // 8/10 against 5/10, 9/10: between 5/10 and 8/10 one of two others is wrong, elsewhere more.
            (&[(8, 10)], &[(5, 10), (9, 10)], 0.65, 0.75),
            // 1/2, 1/1 against 1/3 twice and 2/3: from 1/3 to 1/2 all covid and two of three; from 2/3 on half and
            // three.
            (&[(1, 2), (1, 1)], &[(1, 3), (1, 3), (2, 3)], (1.0 / 3.0 + 0.5) / 2.0, 5.0 / 6.0),
            // 4/4 against 4/4: no rule separates them; the only cut is 0.5.
            (&[(4, 4)], &[(4, 4)], 0.5, 0.5),
        ];
        let scan = |covid, &(called, slices): &(usize, usize)| LabelledScan {
            covid,
            slices: (0..slices).map(|i| if i < called { 0.8 } else { 0.2 }).collect(),
        };
        for (covid, other, threshold, quality) in cases {
            let scans: Vec<LabelledScan> =
                covid.iter().map(|of| scan(true, of)).chain(other.iter().map(|of| scan(false, of))).collect();
            let choice = Rule::choose(RuleKind::ShareOfSlices, &scans)?;
            let Rule::ShareOfSlices(found) = choice.rule else { bail!("{choice:?}") };
            assert!((found - threshold).abs() < 1e-12, "{covid:?} {other:?}: {found}, expected {threshold}");
            assert!((choice.balanced_accuracy - quality).abs() < 1e-12, "{covid:?} {other:?}: {choice:?}");
        }
        Ok(())
    }
}
