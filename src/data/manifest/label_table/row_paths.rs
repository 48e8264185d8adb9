//! Tables whose paths begin elsewhere than in the data set's root: bare names of files, paths of another computer, names without endings.

use super::{LabelRow, as_written, normalised};
use crate::data::foreign::ends_as_volume;
use crate::data::manifest::Scan;
use crate::data::manifest::folder_word::FolderWord;
use crate::data::manifest::layout::{FolderPlace, words_on_the_way};
use crate::data::manifest::listing::FolderListing;
use crate::data::manifest::new_scans::is_picture;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The rows with the paths that the listing has. Where no row names one exactly, each names the only scan or file that ends like it,
/// or like which it ends: `1.png` and `/home/x/ct/covid/1.png` are `covid/1.png`, `study_7` is `CT-0/study_7.nii.gz`.
pub(super) fn rows_by_their_paths(mut rows: Vec<LabelRow>, listing: &FolderListing) -> Vec<LabelRow> {
    let mut all: HashSet<String> = listing.scans.iter().map(|scan| scan.folder.clone()).collect();
    all.extend(listing.files.iter().map(|file| listing.path(file)));
    all.extend(listing.files.iter().filter_map(|file| file.at.as_deref().map(str::to_owned)));
    let named = |row: &LabelRow| row.path.clone().or_else(|| row.scan.as_deref().map(normalised));
    // A table may also name pictures that were not copied, beside those that were.
    let folder = |name: &str| name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let is_known = |name: &String| all.contains(name) || folder(name).is_some_and(|folder| all.contains(&folder));
    let names: HashSet<&str> = listing.scans.iter().map(Scan::id).collect();
    let is_scan = |row: &LabelRow| row.path.is_none() && row.scan.as_deref().is_some_and(|scan| names.contains(scan));
    if rows.iter().any(|row| named(row).is_some_and(|name| is_known(&name)) || is_scan(row)) {
        return rows;
    }
    let by_written: HashMap<String, &String> = all.iter().map(|path| (as_written(path), path)).collect();
    let scans: BTreeSet<&str> = listing.scans.iter().map(|scan| scan.folder.as_str()).collect();
    let whole = by_last(by_written.iter().map(|(written, path)| (written.as_str(), *path)));
    let stems = by_last(by_written.iter().map(|(written, path)| (stem(written), *path)));
    for row in &mut rows {
        let Some(name) = named(row) else { continue };
        let ends = |a: &str, b: &str| a.strip_suffix(b).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
        // The column `scan` names no pictures of one.
        let may_be = |path: &str| row.path.is_some() || scans.contains(path);
        let found = [&whole, &stems].map(|known| -> BTreeSet<&str> {
            let found = known.get(last(&name)).into_iter().flatten();
            let found = found.filter(|(known, _)| ends(known, &name) || ends(&name, known));
            found.map(|(_, path)| *path).filter(|path| may_be(path)).collect()
        });
        // A folder `1` before a picture `1.png`.
        let only = found.iter().find(|found| !found.is_empty()).filter(|found| found.len() == 1);
        if let Some(path) = only.and_then(BTreeSet::first) {
            row.path = Some(as_written(path));
        }
    }
    rows
}

/// Names of paths, and these, by their last parts.
fn by_last<'a>(names: impl Iterator<Item = (&'a str, &'a String)>) -> HashMap<&'a str, Vec<(&'a str, &'a str)>> {
    let mut all: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
    names.for_each(|(name, path)| all.entry(last(name)).or_default().push((name, path)));
    all
}

/// For each scan of a data set with a table of labels, the folder within which patients are told apart, and the folders between it and the
/// scan: what lies around all scans, and folders that are named as parts and classes, say nothing of patients.
pub(in crate::data::manifest) fn ways_without_layout(scans: &[Scan]) -> Vec<Option<(String, Vec<String>)>> {
    let ways: Vec<Vec<&str>> = scans.iter().map(|scan| scan.folder.split('/').collect()).collect();
    let words = words_on_the_way(scans.iter().map(|scan| scan.folder.as_str()));
    let is_around_all = |depth: &usize| ways.iter().all(|way| way.len() > depth + 1 && way[*depth] == ways[0][*depth]);
    let around_all = (0..).take_while(|depth| !ways.is_empty() && is_around_all(depth)).count();
    let way = |(way, words): (&Vec<&str>, &Vec<FolderWord>)| {
        let said = FolderPlace::of(words).map_or(0, |place| place.anchor);
        let (above, rest) = way.split_at(said.max(around_all).min(way.len() - 1));
        let between = &rest[..rest.len() - 1];
        Some((above.join("/"), between.iter().map(|name| (*name).to_owned()).collect()))
    };
    ways.iter().zip(&words).map(way).collect()
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path without the ending of a picture or a volume.
fn stem(path: &str) -> &str {
    fn without(path: &str) -> &str {
        path.rsplit_once('.').map_or(path, |(stem, _)| stem)
    }
    match path {
        _ if ends_as_volume(last(path)) => without(path.strip_suffix(".gz").unwrap_or(path)),
        _ if is_picture(last(path)) => without(path),
        _ => path,
    }
}
