//! Scans of both labels, called right and called wrong, as examples of what a network does.

use super::Explained;
use super::gallery::{Gallery, GalleryKind, Pictured, numbered, sheet};
use crate::base::errors::Result;
use crate::data::cache::{SliceCache, spread};
use crate::data::contact_sheet::ContactSheet;
use crate::data::manifest::Label;
use crate::data::split::Subset;
use crate::evaluate::predict::{Classifier, Predictions};
use crate::evaluate::scan_decisions::{ScanPrediction, ScanRule};
use std::collections::HashMap;

/// Pictures of scans that are examples, all together.
const EXAMPLES: usize = 8;

/// Slices of labelled scans: of each label the one that was called right with the most confidence, and such a wrong one.
pub(super) fn examples(
    classifier: &Classifier,
    cache: &SliceCache,
    predictions: &Predictions,
    number: &HashMap<String, usize>,
    rule: &ScanRule,
) -> Result<Option<Gallery>> {
    let scans = predictions.by_scan(rule);
    let (found, missing) = surest(scans.rows());
    if found.is_empty() {
        return Ok(None);
    }
    let each = (EXAMPLES / found.len()).min(EXAMPLES / 2);
    let mut pictures = Vec::new();
    for (scan, word) in &found {
        for index in spread(&predictions.rows_of(&scan.scan)?, each) {
            let row = Explained::begun(&predictions.rows()[index]);
            let slice = numbered(number, &row.path)?;
            let lines = vec![(*word).to_owned(), row.path, format!("slice: covid {:.2}", row.covid)];
            pictures.push(Pictured { lines, slice, class: Some(scan.decision) });
        }
    }
    let of_scan = |(scan, word): &(&ScanPrediction, &str)| {
        format!("{}: {word}, at a mean probability of covid of {:.2}.", scan.scan, scan.mean_covid)
    };
    let mut said: Vec<String> = found.iter().map(of_scan).collect();
    said.extend(missing.iter().map(|word| format!("No scan of the subset is {word}.")));
    if predictions.about.subset == Subset::Test && found.iter().any(|(scan, _)| scan.scan.starts_with("train/")) {
        let why = "Names show the folders that the data came in, not the use: the test set is drawn from train/.";
        said.push(why.to_owned());
    }
    let kind = GalleryKind::Examples;
    let caption = format!(
        "{} Of each kind the scan with the most confidence: {each} slices at even distances, as the network sees them, with the \
         heat for the decision (Grad-CAM, yellow over orange to red) and the outline of the lung mask (blue). A scan is {}; \
         probabilities are not calibrated.",
        said.join(" "),
        rule.text()
    );
    let sheet_of = if pictures.len() > 6 { ContactSheet::of_small } else { ContactSheet::new };
    let sheet_of = sheet_of(kind.title_of(&predictions.about));
    let figure = sheet(classifier, cache, sheet_of, &pictures, &caption)?;
    Ok(Some(Gallery { kind, figure }))
}

/// Of each label the scan that was called right with the most confidence, then the same of those called wrong, each with
/// what it is; and what there is none of.
fn surest(scans: &[ScanPrediction]) -> (Vec<(&ScanPrediction, &'static str)>, Vec<&'static str>) {
    let kinds = [
        (Label::Covid, Label::Covid, "covid, called right"),
        (Label::NonCovid, Label::NonCovid, "non-covid, called right"),
        (Label::Covid, Label::NonCovid, "covid, called non-covid"),
        (Label::NonCovid, Label::Covid, "non-covid, called covid"),
    ];
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (truth, decision, word) in kinds {
        let of_kind = scans.iter().filter(|of| of.label == Some(truth) && of.decision == decision);
        match of_kind.max_by(|a, b| a.confidence().total_cmp(&b.confidence())) {
            Some(scan) => found.push((scan, word)),
            None => missing.push(word),
        }
    }
    (found, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_the_surest_of_both_labels_right_and_wrong() {
        let scan = |name: &str, label, mean_covid: f64| ScanPrediction {
            scan: name.to_owned(),
            label,
            covid_slices: 0,
            slices: 4,
            mean_covid,
            decision: if mean_covid >= 0.4 { Label::Covid } else { Label::NonCovid },
        };
        let (covid, other) = (Some(Label::Covid), Some(Label::NonCovid));
        let scans = [
            scan("unsure", covid, 0.45),
            scan("sure", covid, 0.9),
            scan("left-alone", other, 0.1),
            scan("alarm", other, 0.41),
            scan("louder-alarm", other, 0.6),
            scan("unlabelled", None, 0.99),
        ];
        let (found, missing) = surest(&scans);
        let found: Vec<_> = found.iter().map(|(scan, word)| (scan.scan.as_str(), *word)).collect();
        let expected = [
            ("sure", "covid, called right"),
            ("left-alone", "non-covid, called right"),
            ("louder-alarm", "non-covid, called covid"),
        ];
        assert_eq!((found.as_slice(), missing.as_slice()), (&expected[..], &["covid, called non-covid"][..]));
    }
}
