//! The pairs of scans that a split must keep together.

use super::{Check, Finding};
use std::collections::{BTreeMap, BTreeSet};

/// An image in more scans than this is not anatomy but, for example, a title page, and does not identify a patient.
const SHARED_BY: usize = 4;

/// The pairs of scans that a split must keep together. An image in two scans may be a copying error or two series of
/// one examination. Treating both scans as one patient avoids leakage in either case.
pub(super) fn kept_together(findings: &[Finding]) -> Vec<(String, String)> {
    let scan_of = |path: &str| path.rsplit_once('/').map_or(path, |(scan, _)| scan).to_owned();
    let (mut pairs, mut sharing) = (BTreeSet::new(), BTreeMap::<&str, BTreeSet<String>>::new());
    for (finding, with) in findings.iter().filter_map(|f| Some((f, f.with.as_ref()?))) {
        match finding.check {
            Check::SamePatient | Check::ConflictingLabel => drop(pairs.insert((finding.path.clone(), with.clone()))),
            Check::ExactDuplicate => drop(sharing.entry(with).or_default().insert(scan_of(&finding.path))),
            _ => {}
        }
    }
    for (kept, scans) in sharing.into_iter().filter(|(_, scans)| scans.len() < SHARED_BY) {
        let kept = scan_of(kept);
        let other = |scan: String| (scan != kept).then(|| (scan.clone().min(kept.clone()), scan.max(kept.clone())));
        pairs.extend(scans.into_iter().filter_map(other));
    }
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_in_two_scans_joins_them_and_a_title_page_joins_none() {
        let found = |check, path: &str, with: &str| Finding {
            check,
            path: path.to_owned(),
            detail: String::new(),
            with: Some(with.to_owned()),
        };
        let mut findings = vec![
            found(Check::SamePatient, "train/covid/ct_scan_1", "val/covid/ct_scan_2"),
            found(Check::ExactDuplicate, "train/covid/ct_scan_5/0.jpg", "train/covid/ct_scan_3/9.jpg"),
            found(Check::ExactDuplicate, "train/covid/ct_scan_5/1.jpg", "train/covid/ct_scan_3/8.jpg"),
            found(Check::ExactDuplicate, "train/covid/ct_scan_7/1.jpg", "train/covid/ct_scan_7/0.jpg"),
        ];
        findings.extend((10..20).map(|scan| {
            found(Check::ExactDuplicate, &format!("train/covid/ct_scan_{scan}/0.jpg"), "train/covid/ct_scan_9/0.jpg")
        }));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = [
            pair("train/covid/ct_scan_1", "val/covid/ct_scan_2"),
            pair("train/covid/ct_scan_3", "train/covid/ct_scan_5"),
        ];
        assert_eq!(kept_together(&findings), expected);
    }
}
