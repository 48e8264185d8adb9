//! Findings that take more than one file: folders, equal pictures, and scans that look like one patient.

use super::file_names::{fold_of, named_as_copy, order_findings};
use super::samples::ScanSamples;
use super::{Check, Finding, Inspection, look_alikes};
use crate::base::escape::hidden_in;
use crate::base::file_kind::{FileKind, FileUse};
use crate::base::progress::{counted_of, thousands};
use crate::base::regular_file::open_regular;
use crate::data::foreign::ends_as_scanners;
use crate::data::manifest::{IrregularKind, Label, Manifest, Rejected, Rejection, Scan, Set, Slice, missing_numbers};
use std::collections::{BTreeSet, HashMap};
use std::io::Read;

/// What the folders show: stray files, empty scans and missing slice numbers.
pub(super) fn folder_findings(manifest: &Manifest) -> Vec<Finding> {
    let finding = |check, path: String, detail: String| Finding { check, path, detail, with: None };
    let stray = |path: &String| match broken_scanners_file(manifest, path) {
        Some((check, told)) => finding(check, path.clone(), told),
        None => finding(Check::StrayFile, path.clone(), "stray".into()),
    };
    let mut found: Vec<Finding> = manifest.strays.iter().map(stray).collect();
    let filled: BTreeSet<usize> = manifest.slices.iter().filter(|s| s.number.is_some()).map(|s| s.scan).collect();
    for (_, scan) in manifest.scans.iter().enumerate().filter(|(index, _)| !filled.contains(index)) {
        found.push(finding(Check::EmptyScan, scan.folder.clone(), "no slice".into()));
    }
    found.extend(manifest.rejected.iter().map(|of| Finding { detail: told(manifest, of), ..Finding::of_rejected(of) }));
    found.extend(manifest.scans.iter().flat_map(irregular));
    found.extend(patients_in_several(manifest));
    found.extend(hidden_characters(manifest));
    found.extend(order_findings(manifest));
    for (scan, detail) in manifest.contradicting_names() {
        found.push(finding(Check::ContradictingName, manifest.scans[scan].folder.clone(), detail));
    }
    for (scan, gaps) in missing_numbers(manifest) {
        let count: u64 = gaps.iter().map(|(a, b)| u64::from(b - a) + 1).sum();
        let shown: Vec<String> =
            gaps.iter().take(5).map(|(a, b)| if a == b { a.to_string() } else { format!("{a} to {b}") }).collect();
        let more = if gaps.len() > 5 { ", …" } else { "" };
        let detail = format!("{} missing: {}{more}", thousands(count), shown.join(", "));
        found.push(finding(Check::MissingSlice, manifest.scans[scan].folder.clone(), detail));
    }
    found
}

/// What was rejected, in words; of an archive by its contents, for it may be a server's page.
fn told(manifest: &Manifest, of: &Rejected) -> String {
    let failed = || {
        let is_archive = of.reason == Rejection::Archive && !FileKind::is_unfinished(&of.path);
        let first = is_archive.then(|| beginning(manifest, &of.path)).flatten()?;
        let what = match FileKind::of(&first) {
            _ if first.is_empty() => "0 bytes",
            kind => kind.filter(|kind| kind.is != FileUse::Archive)?.name,
        };
        Some(format!("{what} in an archive's place: a download that failed, fetch it again"))
    };
    failed().unwrap_or_else(|| of.detail.clone())
}

fn beginning(manifest: &Manifest, path: &str) -> Option<Vec<u8>> {
    let mut first = Vec::new();
    open_regular(&manifest.root.join(path)).ok()?.take(4096).read_to_end(&mut first).ok()?;
    Some(first)
}

/// What lies in the place of a scanner's file among the slices of a series, where it is known: a download that failed, for one.
fn broken_scanners_file(manifest: &Manifest, path: &str) -> Option<(Check, String)> {
    let name = path.rsplit('/').next().filter(|name| ends_as_scanners(name))?;
    let first = beginning(manifest, path)?;
    match FileKind::of(&first) {
        _ if first.is_empty() => Some((Check::EmptyFile, "0 bytes".to_owned())),
        kind => kind.map(|kind| (Check::NotAnImage, kind.told(name))),
    }
}

/// Patients who, by a table or DICOM, have scans in several parts or of both classes: one finding for each and kind.
fn patients_in_several(manifest: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    for scans in manifest.patients().iter().filter(|scans| scans.len() > 1) {
        let scans = || scans.iter().map(|scan| &manifest.scans[*scan]);
        let counted = |counts: &[(String, usize)]| -> Option<String> {
            let there: Vec<String> =
                counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
            (there.len() > 1).then(|| format!("scans of one patient: {}", there.join(", ")))
        };
        let parts = Set::ALL.map(|set| (set.to_string(), scans().filter(|scan| scan.set == set).count()));
        let classes =
            Label::ALL.map(|label| (label.to_string(), scans().filter(|scan| scan.label == Some(label)).count()));
        let Some(first) = scans().next() else { continue };
        let other_part = scans().find(|scan| scan.set != first.set);
        let other_class = scans().find(|scan| scan.label != first.label);
        for (check, detail, with) in [
            (Check::PatientInParts, counted(&parts), other_part),
            (Check::PatientInClasses, counted(&classes), other_class),
        ] {
            let with = with.map(|scan| scan.folder.clone());
            found.extend(detail.map(|detail| Finding { check, path: first.folder.clone(), detail, with }));
        }
    }
    found
}

/// Names that hold what is not seen: of the data set, of scans with their patients and sources, and of files.
fn hidden_characters(manifest: &Manifest) -> Vec<Finding> {
    let finding = |path: String, detail: String| Finding { check: Check::HiddenCharacters, path, detail, with: None };
    let named = |name: &String| Some(finding(name.clone(), format!("{} in its name", hidden_in(name)?)));
    let of_scan = |scan: &Scan| {
        let names = [
            ("path", Some(&scan.folder)),
            ("patient's name", scan.patient.as_ref()),
            ("source's name", scan.source.as_ref()),
        ];
        let hidden =
            names.iter().filter_map(|(what, name)| Some(format!("{} in its {what}", hidden_in(name.as_ref()?)?)));
        let hidden: Vec<String> = hidden.collect();
        (!hidden.is_empty()).then(|| finding(scan.folder.clone(), hidden.join("; ")))
    };
    let of_slice = |slice: &Slice| {
        let file = match slice.at.as_deref() {
            // The file is the scan, of which it is said.
            Some(at) if at == manifest.scan_of(slice).folder => return None,
            // That of a folder is said of the scan.
            Some(at) => at.rsplit('/').next().unwrap_or(at),
            None => &slice.file,
        };
        Some(finding(manifest.path(slice), format!("{} in its name", hidden_in(file)?)))
    };
    let others = manifest.strays.iter().chain(manifest.rejected.iter().map(|of| &of.path));
    let mut found: Vec<Finding> = named(&manifest.name).into_iter().collect();
    found.extend(manifest.scans.iter().filter_map(of_scan));
    found.extend(manifest.slices.iter().filter_map(of_slice));
    found.extend(others.filter_map(named));
    found
}

impl Finding {
    fn of_rejected(file: &Rejected) -> Self {
        let check = match file.reason {
            Rejection::NotCt => Check::NotCt,
            Rejection::NotAxial => Check::NotAxial,
            Rejection::NoPosition => Check::NoPosition,
            Rejection::RepeatedSlice => Check::RepeatedSlice,
            Rejection::Truncated => Check::Truncated,
            Rejection::Corrupt => Check::Corrupt,
            Rejection::Oversized => Check::OversizedHeader,
            Rejection::Unsupported => Check::Unsupported,
            Rejection::NotAFile => Check::NotAFile,
            Rejection::TooLarge => Check::TooLarge,
            Rejection::UnmatchedRow => Check::UnmatchedRow,
            Rejection::UnreadableName => Check::UnreadableName,
            Rejection::UnknownFolder => Check::UnknownFolder,
            Rejection::LoosePictures => Check::LoosePictures,
            Rejection::LabelledTest => Check::LabelledTest,
            Rejection::NoPart => Check::NoPart,
            Rejection::Archive => Check::PackedFiles,
            Rejection::Table => Check::UnreadTable,
            Rejection::PatientsAlike => Check::PatientInParts,
        };
        Self { check, path: file.path.clone(), detail: file.detail.clone(), with: None }
    }
}

/// What a scanner's files say is irregular in a scan.
fn irregular(scan: &Scan) -> impl Iterator<Item = Finding> {
    scan.acquisition.iter().flat_map(|of| &of.irregular).map(|irregular| {
        let check = match irregular.kind {
            IrregularKind::MissingSlice => Check::MissingSlice,
            IrregularKind::UnevenSpacing => Check::UnevenSpacing,
            IrregularKind::Tilt => Check::GantryTilt,
            IrregularKind::NoGeometry => Check::NoGeometry,
            IrregularKind::RepeatedSeries => Check::RepeatedSeries,
            IrregularKind::NamedPatient => Check::NamedPatient,
        };
        Finding { check, path: scan.folder.clone(), detail: irregular.detail.clone(), with: None }
    })
}

/// What a window of the lungs makes of other values.
const BY_LEVELS: [Check; 7] = [
    Check::TextPage,
    Check::BlackSlice,
    Check::NearlyBlack,
    Check::LowContrast,
    Check::WideWindow,
    Check::Overexposed,
    Check::MaskPicture,
];

/// Takes back what was said of the levels of each slice, of scans of which all is said at once.
pub(super) fn said_of_scan_alone(findings: &mut Vec<Finding>, of_scans: &[Finding]) {
    let scans: BTreeSet<&str> = of_scans.iter().map(|of| of.path.as_str()).collect();
    findings.retain(|of| {
        let scan = of.path.rsplit_once('/').map_or("", |(scan, _)| scan);
        !(BY_LEVELS.contains(&of.check) && scans.contains(scan))
    });
}

/// All but one of each group of equal pictures. The one kept is the validation set's, where it has one, so that the
/// copy in training goes; slices to predict always stay. With two labels in a group none is kept.
pub(super) fn exact_duplicates(manifest: &Manifest, looked: &[Inspection]) -> Vec<Finding> {
    let shown = (0..).zip(looked).filter(|(_, look)| look.shows_something());
    let mut order: Vec<([u8; 16], u32)> =
        shown.filter_map(|(index, look)| Some((look.picture.as_ref()?.pixels, index))).collect();
    order.sort_unstable();
    let rank = |index: &usize| match manifest.scan_of(&manifest.slices[*index]).set {
        Set::Prediction => 0,
        Set::Val => 1,
        Set::Train => 2,
    };
    let is_copy = |index: &usize| named_as_copy(&manifest.slices[*index].file);
    let mut found = Vec::new();
    for group in order.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
        let mut group: Vec<usize> = group.iter().map(|(_, index)| *index as usize).collect();
        group.sort_by_key(|index| (rank(index), is_copy(index), *index));
        let labels: BTreeSet<_> = group.iter().filter_map(|i| manifest.scan_of(&manifest.slices[*i]).label).collect();
        let kept = manifest.path(&manifest.slices[group[0]]);
        let copies = if labels.len() > 1 { &group[..] } else { &group[1..] };
        for &copy in copies.iter().filter(|copy| rank(copy) > 0) {
            let path = manifest.path(&manifest.slices[copy]);
            let conflict = if labels.len() > 1 { ", with the other label: neither is kept" } else { "" };
            let with = if path == kept { manifest.path(&manifest.slices[group[1]]) } else { kept.clone() };
            let folds = fold_of(&path, &with).map_or("", |_| ", in two folds of a cross-validation");
            let detail = format!("{} equal pictures{conflict}{folds}", group.len());
            found.push(Finding { check: Check::ExactDuplicate, path, detail, with: Some(with) });
        }
    }
    found
}

/// Scans that look like one patient: of each group the pairs that join it, and those that put a label in doubt.
pub(super) fn same_patients(manifest: &Manifest, looked: &[Inspection], samples: ScanSamples) -> Vec<Finding> {
    let candidates: Vec<look_alikes::Candidate<'_>> = looked
        .iter()
        .enumerate()
        .filter(|(_, look)| look.shows_something())
        .filter_map(|(slice, look)| {
            let descriptor = &look.picture.as_ref()?.descriptor;
            let (scan, label) = (manifest.slices[slice].scan, manifest.scan_of(&manifest.slices[slice]).label);
            Some(look_alikes::Candidate { slice: slice as u32, scan: scan as u32, label, descriptor })
        })
        .collect();
    let size = |slice: usize| manifest.slices[slice].header.map(|header| (header.width, header.height));
    let sampled = |(scan, slice, small): (usize, usize, _)| look_alikes::Sampled {
        slice,
        scan,
        label: manifest.scans[scan].label,
        size: size(slice).unwrap_or_default(),
        small,
    };
    let samples: Vec<look_alikes::Sampled> = samples.sorted().into_iter().map(sampled).collect();
    let finding = |pair: look_alikes::ScanPair| {
        let (first, second) = (&manifest.scans[pair.first], &manifest.scans[pair.second]);
        let check = if pair.in_conflict { Check::ConflictingLabel } else { Check::SamePatient };
        let example = manifest.slices[pair.example.0].file.clone();
        let twin = &manifest.slices[pair.example.1].file;
        let mut detail = format!(
            "{} and {}: the same patient? {} a twin (for example {example} and {twin}, correlation {:.2})",
            first.folder,
            second.folder,
            counted_of(pair.matched as u64, pair.of as u64, "slice", ["has", "have"]),
            pair.correlation
        );
        let (mut how, sizes) = (pair.how, (size(pair.example.0), size(pair.example.1)));
        if let (Some(one), Some(other)) = sizes
            && one != other
        {
            how.push(format!("{}x{} pixels instead of {}x{}", other.0, other.1, one.0, one.1));
        }
        if !how.is_empty() {
            detail.push_str(&format!("; the second is {}", how.join(", ")));
        }
        if pair.group > 2 {
            detail.push_str(&format!("; two of {} scans that look alike", thousands(pair.group as u64)));
        }
        Finding { check, path: first.folder.clone(), detail, with: Some(second.folder.clone()) }
    };
    look_alikes::pairs_of_scans(&candidates, &samples).into_iter().map(finding).collect()
}

/// Without the pairs of scans that are known to be one patient's, by a table or folders: nothing is found in them.
pub(super) fn without_known(manifest: &Manifest, mut pairs: Vec<Finding>) -> Vec<Finding> {
    let patients: HashMap<&str, &String> =
        manifest.scans.iter().filter_map(|scan| Some((scan.folder.as_str(), scan.patient.as_ref()?))).collect();
    pairs.retain(|of| {
        let patient = |scan: Option<&String>| scan.and_then(|scan| patients.get(scan.as_str()));
        let [first, second] = [patient(Some(&of.path)), patient(of.with.as_ref())];
        of.check != Check::SamePatient || first.is_none() || first != second
    });
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_said_of_the_scan_alone() {
        let finding = |check, path: &str| Finding { check, path: path.to_owned(), detail: String::new(), with: None };
        let kept = finding(Check::LowContrast, "train/covid/b/0");
        let mut findings = vec![finding(Check::LowContrast, "train/covid/a/0"), kept.clone()];
        said_of_scan_alone(&mut findings, &[finding(Check::NotCt, "train/covid/a")]);
        assert_eq!(findings, [kept]);
    }

    #[test]
    fn what_is_known_to_be_one_patients_is_not_found_again() {
        let folders = ["train/covid/1", "train/covid/2", "train/covid/3", "train/non-covid/4"].map(str::to_owned);
        let mut manifest = Manifest::of_folders("known", folders.to_vec(), Vec::new());
        for scan in [0, 1, 3] {
            manifest.scans[scan].patient = Some("P1".to_owned());
        }
        let pair = |check, a: usize, b: usize| {
            let [path, with] = [a, b].map(|scan| folders[scan].clone());
            Finding { check, path, detail: String::new(), with: Some(with) }
        };
        let (known, other) = (pair(Check::SamePatient, 0, 1), pair(Check::SamePatient, 0, 2));
        let conflict = pair(Check::ConflictingLabel, 1, 3);
        assert_eq!(without_known(&manifest, vec![known, other.clone(), conflict.clone()]), [other, conflict]);
        // Of two that nobody names nothing is known.
        manifest.scans.iter_mut().for_each(|scan| scan.patient = None);
        assert_eq!(without_known(&manifest, vec![pair(Check::SamePatient, 0, 1)]).len(), 1);
    }

    #[test]
    fn what_lies_in_an_archives_place_is_told_by_its_contents() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut manifest = Manifest::of_folders("m", Vec::new(), Vec::new());
        manifest.root = folder.path().to_owned();
        let said = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).expect("writes");
            told(&manifest, &Rejected::archive(name, &BTreeSet::new()).expect("an archive"))
        };
        assert!(said("val.zip", b"<!DOCTYPE html><html>quota").starts_with("an HTML page in an archive's place"));
        assert!(said("train.zip", b"").starts_with("0 bytes in an archive's place"));
        assert!(said("a.zip", b"PK\x03\x04").starts_with("a zip archive: unpack it first"));
        assert!(said("a.zip.part", b"PK\x03\x04").starts_with("an unfinished download: fetch it again"));
        assert!(said("b.pdf.crdownload", b"%PDF-1.4").starts_with("an unfinished download: fetch it again"));
    }
}
