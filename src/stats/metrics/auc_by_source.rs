//! The area under the ROC curve within sources.

use super::RocCurve;
use crate::base::errors::Result;
use std::collections::BTreeMap;

/// The mean over sources of the area under the ROC curve, in 0..=1: a high score that only tells one source from another
/// does not raise it. `(score, whether it is covid, source)` of each scan or slice; samples without a source are one
/// more source.
///
/// Sources with one label have no such area and are left out. If no source has both labels, it is the area over all
/// samples. `None` where all samples have one label, or there are none.
///
/// # Errors
/// A score that is not finite.
pub(crate) fn source_mean_auc<S: Ord + Copy>(scored: &[(f64, bool, S)]) -> Result<Option<f64>> {
    let mut sources: BTreeMap<S, (Vec<bool>, Vec<f64>)> = BTreeMap::new();
    for &(score, covid, source) in scored {
        let (covids, scores) = sources.entry(source).or_default();
        covids.push(covid);
        scores.push(score);
    }
    let mut areas = Vec::new();
    for (covid, scores) in sources.values() {
        areas.extend(area(covid, scores)?);
    }
    if areas.is_empty() {
        let (covid, scores): (Vec<bool>, Vec<f64>) = scored.iter().map(|(score, covid, _)| (*covid, *score)).unzip();
        return area(&covid, &scores);
    }
    Ok(Some(areas.iter().sum::<f64>() / areas.len() as f64))
}

/// `None` for samples of one label.
fn area(covid: &[bool], scores: &[f64]) -> Result<Option<f64>> {
    let has_both = covid.contains(&true) && covid.contains(&false);
    has_both.then(|| RocCurve::new(covid, scores)).transpose().map(|curve| curve.map(|curve| curve.auc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_taken_within_sources_and_averaged() -> Result<()> {
        let a = [(0.9, true, Some("a")), (0.8, false, Some("a"))];
        // One of two pairs is in order.
        let b = [(0.5, true, Some("b")), (0.4, false, Some("b")), (0.6, false, Some("b"))];
        let one_label = [(0.1, true, Some("c")), (0.2, true, Some("c"))];
        assert_eq!(source_mean_auc(&[&a[..], &b, &one_label].concat())?, Some(0.75));
        // Samples without a source are a source.
        assert_eq!(source_mean_auc(&[(0.1, true, None), (0.9, false, None), a[0], a[1]])?, Some(0.5));
        Ok(())
    }

    #[test]
    fn sources_of_one_label_each_are_pooled_and_one_label_has_no_area() -> Result<()> {
        let separate = [(0.9, true, Some("a")), (0.3, true, Some("a")), (0.5, false, Some("b"))];
        assert_eq!(source_mean_auc(&separate)?, Some(0.5));
        assert_eq!((source_mean_auc(&separate[..2])?, source_mean_auc::<u32>(&[])?), (None, None));
        let error = source_mean_auc(&[(f64::NAN, true, None::<&str>), (0.5, false, None)]).expect_err("no number");
        assert!(error.to_string().contains("expected finite scores"), "{error}");
        Ok(())
    }
}
