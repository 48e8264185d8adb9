//! Figures of slices with their heat maps and lung masks.

use super::mask::{lungs, picture};
use super::{Explained, HeatMap, PER_SCAN};
use crate::base::errors::{Context, Result};
use crate::base::figure::Figure;
use crate::base::progress::thousands;
use crate::base::table::percent;
use crate::data::cache::{SliceCache, spread};
use crate::data::contact_sheet::ContactSheet;
use crate::data::manifest::Label;
use crate::evaluate::predict::{About, Classifier, Predictions};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Pictures in a gallery.
const GALLERY: usize = 6;

/// Which slices a gallery shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GalleryKind {
    /// Called right with the most confidence.
    ConfidentRight,
    /// Called wrong with the most confidence.
    ConfidentWrong,
    /// With the largest share of heat outside the lungs.
    OutsideLungs,
    /// With the least plausible lung masks.
    DoubtfulMasks,
    /// Slices of scans of both labels, called right and called wrong.
    Examples,
}

impl GalleryKind {
    fn title(self) -> &'static str {
        match self {
            Self::ConfidentRight => "Most confident and right",
            Self::ConfidentWrong => "Most confident and wrong",
            Self::OutsideLungs => "Most heat outside the lungs",
            Self::DoubtfulMasks => "Least plausible lung masks",
            Self::Examples => "Scans called right, and scans called wrong",
        }
    }

    /// Its part of the names of files.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::ConfidentRight => "right",
            Self::ConfidentWrong => "wrong",
            Self::OutsideLungs => "heat-outside",
            Self::DoubtfulMasks => "masks",
            Self::Examples => "examples",
        }
    }

    /// `fcn, test: Most confident and right`.
    pub(super) fn title_of(self, about: &About) -> String {
        let mark = about.subset.leak_mark(&about.leaks);
        format!("{}, {}{mark}: {}", about.run, about.subset, self.title())
    }
}

/// A contact sheet of explained slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gallery {
    /// Which slices it shows.
    pub kind: GalleryKind,
    /// The contact sheet.
    pub figure: Figure,
}

/// A slice of the cache, and the lines below it.
pub(crate) struct Pictured {
    pub(crate) lines: Vec<String>,
    pub(crate) slice: usize,
    /// The class whose heat is shown; without one only the lungs are.
    pub(crate) class: Option<Label>,
}

/// The cache's slices by their paths under the root.
pub(crate) fn slices_by_path(cache: &SliceCache) -> HashMap<String, usize> {
    let manifest = cache.manifest();
    manifest.slices.iter().enumerate().map(|(index, slice)| (manifest.path(slice), index)).collect()
}

/// The number of a slice among those of [`slices_by_path`].
pub(super) fn numbered(number: &HashMap<String, usize>, path: &str) -> Result<usize> {
    number.get(path).copied().with_context(|| format!("{path} is not in the cache"))
}

/// Slices as the network sees them, with heat and the outline of the lungs; of a network without heat maps without heat, and
/// the caption says why.
pub(crate) fn sheet(
    classifier: &Classifier,
    cache: &SliceCache,
    mut sheet: ContactSheet,
    pictures: &[Pictured],
    caption: &str,
) -> Result<Figure> {
    let no_heat = classifier.network().no_heat();
    let classes: Vec<(usize, Label)> = pictures.iter().filter_map(|of| Some((of.slice, of.class?))).collect();
    let mut maps = if no_heat.is_none() { classifier.heat_maps(cache, &classes)? } else { Vec::new() }.into_iter();
    for of in pictures {
        let map: Option<HeatMap> = of.class.and_then(|_| maps.next());
        let heat = map.as_ref().map(|map| map.values.as_slice());
        sheet.add_explained(&of.lines, &picture(cache, of.slice)?, heat, &lungs(cache, of.slice)?.0)?;
    }
    match no_heat {
        Some(why) => Ok(sheet.figure(&format!("No heat is drawn: {why}. {caption}"))),
        None => Ok(sheet.figure(caption)),
    }
}

/// An explained slice, and its position in its scan.
pub(super) struct GalleryCandidate {
    pub(super) row: Explained,
    pub(super) slice: usize,
    /// In the middle half of its scan, where lungs are expected.
    pub(super) in_the_middle: bool,
}

/// Up to eight slices of every scan at even distances, fewer if they would be more than `at_most` in all; with each,
/// whether it is in the middle half of its scan.
pub(super) fn chosen(predictions: &Predictions, at_most: usize) -> Vec<(usize, bool)> {
    let mut scans: std::collections::BTreeMap<&str, Vec<usize>> = Default::default();
    for (index, row) in predictions.rows().iter().enumerate() {
        scans.entry(&row.scan).or_default().push(index);
    }
    let per_scan = PER_SCAN.min(at_most / scans.len().max(1)).max(1);
    let of_scan = |rows: Vec<usize>| {
        let places: Vec<usize> = (0..rows.len()).collect();
        let is_middle = |place: usize| (4 * place + 2).abs_diff(2 * rows.len()) <= rows.len();
        spread(&places, per_scan).into_iter().map(|place| (rows[place], is_middle(place))).collect::<Vec<_>>()
    };
    scans.into_values().flat_map(of_scan).collect()
}

/// Most confident right and wrong, of all slices; most heat outside the lungs and least plausible masks, of the
/// explained slices.
pub(super) fn galleries(
    classifier: &Classifier,
    cache: &SliceCache,
    predictions: &Predictions,
    number: &HashMap<String, usize>,
    found: &[GalleryCandidate],
) -> Result<Vec<Gallery>> {
    let of_all = format!("the {} slices of the subset", thousands(predictions.rows().len() as u64));
    let of_found =
        format!("{} explained slices, up to {PER_SCAN} a scan at even distances", thousands(found.len() as u64));
    let about = &predictions.about;
    let mut galleries = Vec::new();
    for (kind, right) in [(GalleryKind::ConfidentRight, true), (GalleryKind::ConfidentWrong, false)] {
        let rows = predictions.rows().iter().map(Explained::begun);
        let rows = rows.filter(|row| row.label.is_some_and(|label| (label == row.decision()) == right));
        let best = one_a_scan(rows.collect(), |row| &row.scan, |row| f64::from(row.confidence()));
        let with_outside = |row: &Explained| {
            let known = found.iter().find(|of| of.row.path == row.path);
            Ok(heat_of(known.map_or(row, |of| &of.row), numbered(number, &row.path)?))
        };
        let pictures = best.iter().map(with_outside).collect::<Result<Vec<_>>>()?;
        galleries.extend(gallery(classifier, cache, about, kind, &pictures, &of_all)?);
    }
    let outside = found.iter().filter(|of| of.row.outside.is_some()).collect();
    let worst = one_a_scan(outside, |of| &of.row.scan, |of| of.row.outside.unwrap_or(0.0));
    let pictures: Vec<Pictured> = worst.iter().map(|of| heat_of(&of.row, of.slice)).collect();
    galleries.extend(gallery(classifier, cache, about, GalleryKind::OutsideLungs, &pictures, &of_found)?);
    let middle = found.iter().filter(|of| of.in_the_middle).collect();
    let doubt = |of: &&GalleryCandidate| if of.row.plausible { -of.row.lungs } else { 1.0 - of.row.lungs };
    let doubtful = one_a_scan(middle, |of| &of.row.scan, doubt);
    let pictures: Vec<Pictured> = doubtful.iter().map(|of| mask_of(&of.row, of.slice)).collect();
    let of_middle = format!("the {of_found} that lie in the middle half of their scan, where lungs are expected");
    galleries.extend(gallery(classifier, cache, about, GalleryKind::DoubtfulMasks, &pictures, &of_middle)?);
    Ok(galleries)
}

/// The best of each scan, because neighbouring slices are similar, and of those the first [`GALLERY`].
fn one_a_scan<T>(mut all: Vec<T>, scan: impl Fn(&T) -> &String, order: impl Fn(&T) -> f64) -> Vec<T> {
    all.sort_by(|a, b| order(b).total_cmp(&order(a)));
    let mut seen = BTreeSet::new();
    all.retain(|of| seen.insert(scan(of).clone()));
    all.truncate(GALLERY);
    all
}

fn heat_of(row: &Explained, slice: usize) -> Pictured {
    let truth = row.label.map(|label| format!("truth: {label}"));
    let outside = row.outside.map(|share| format!("{} outside", percent(Some(share))));
    let said = format!("{} {:.2}", row.decision(), row.confidence());
    let lines = [row.path.clone(), said].into_iter().chain(truth).chain(outside).collect();
    Pictured { lines, slice, class: Some(row.decision()) }
}

fn mask_of(row: &Explained, slice: usize) -> Pictured {
    let mask = if row.plausible { "used" } else { "refused" };
    let lines = vec![row.path.clone(), format!("{mask}: {} of the slice", percent(Some(row.lungs)))];
    Pictured { lines, slice, class: None }
}

/// The gallery of these slices; `None` without any.
fn gallery(
    classifier: &Classifier,
    cache: &SliceCache,
    about: &About,
    kind: GalleryKind,
    pictures: &[Pictured],
    of: &str,
) -> Result<Option<Gallery>> {
    let shown = match pictures.first().map(|of| of.class) {
        None => return Ok(None),
        Some(Some(_)) => {
            "with the heat for the predicted class (Grad-CAM, yellow over orange to red; scaled to each picture's hottest \
             place) and the outline of the lung mask (blue). Probabilities are not calibrated."
        }
        Some(None) => {
            "with the outline of the lung mask (blue): masks that were refused first, then those that cover least. If \
             a mask misses a lung, heat on that lung counts as outside."
        }
    };
    let caption = format!("Slices as the network sees them, {shown} One slice of each scan, of {of}.");
    let figure = sheet(classifier, cache, ContactSheet::new(kind.title_of(about)), pictures, &caption)?;
    Ok(Some(Gallery { kind, figure }))
}

impl Classifier {
    /// At most `count` slices of one scan at even distances, with the heat map for each slice's predicted class and the
    /// outline of the lungs. `scan` is its folder, or the folder's last part if it is unique.
    ///
    /// # Errors
    /// No such scan, or predictions of other slices than the cache's.
    pub fn scan_heat(&self, cache: &SliceCache, predictions: &Predictions, scan: &str, count: usize) -> Result<Figure> {
        let number = slices_by_path(cache);
        let rows = spread(&predictions.rows_of(scan)?, count);
        let picture = |index: usize| {
            let row = Explained::begun(&predictions.rows()[index]);
            let slice =
                number.get(&row.path).with_context(|| format!("explaining {}: it is not in the cache", row.path))?;
            Ok(heat_of(&row, *slice))
        };
        let pictures = rows.into_iter().map(picture).collect::<Result<Vec<_>>>()?;
        let caption = "Slices at even distances, as the network sees them, with the heat for the predicted class \
                       (Grad-CAM, yellow over orange to red; scaled to each picture's hottest place) and the \
                       outline of the lungs (blue). Probabilities of slices are not calibrated.";
        let sheet_of = ContactSheet::new(format!("Scan: {scan}: where the network looks"));
        sheet(self, cache, sheet_of, &pictures, caption)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_each_scan_comes_first() {
        let all = vec![("a", 1.0), ("b", 3.0), ("a", 4.0), ("c", 2.0), ("b", 9.0)];
        let all: Vec<(String, f64)> = all.into_iter().map(|(scan, value)| (scan.to_owned(), value)).collect();
        let best = one_a_scan(all, |of| &of.0, |of| of.1);
        assert_eq!(best.iter().map(|of| of.1).collect::<Vec<_>>(), [9.0, 4.0, 2.0]);
    }
}
