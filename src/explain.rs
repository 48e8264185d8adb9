//! Where a network looks: Grad-CAM heat maps, and how much of the heat lies outside the lungs.
//!
//! Heat outside the lungs is a warning, not a verdict: maps of the last layer are coarse (7×7 at 224 pixels), and the mask
//! is classical image processing with known failures (see [`LungMask`]).

use crate::cache::{SliceCache, spread};
use crate::decode::GreyImage;
use crate::figure::{ContactSheet, Figure};
use crate::files::{Digest, read_json, write_json};
use crate::lungs::LungMask;
use crate::manifest::Label;
use crate::model::Network;
use crate::predict::{About, Classifier, Predictions};
use crate::progress::{Meter, Progress};
use crate::split::{Split, Subset};
use crate::table::{Page, Table, percent, shown_as_table};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tch::Device;

/// Slices of a scan that are explained, at even distances, and of a subset in all.
const PER_SCAN: usize = 8;
const AT_MOST: usize = 2_000;
/// Pictures in a gallery.
const GALLERY: usize = 6;
/// Slices of the sanity check.
const SANITY: usize = 24;

/// Where a slice speaks for a class: `side × side` values from 0 to 1 over the slice as the network sees it, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Side in pixels.
    pub side: usize,
    /// 1 at the hottest place; all 0 where nothing speaks for the class.
    pub values: Vec<f32>,
}

impl HeatMap {
    /// Spearman's rank correlation with another map, -1 to 1; `None` when one of them is even.
    pub fn correlation(&self, other: &Self) -> Option<f64> {
        let (a, b) = (ranks(&self.values), ranks(&other.values));
        let middle = (a.len() as f64 - 1.0) / 2.0;
        let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - middle) * (y - middle)).sum::<f64>();
        let spread = product(&a, &a) * product(&b, &b);
        (spread > 0.0 && a.len() == b.len()).then(|| product(&a, &b) / spread.sqrt())
    }
}

/// Ranks from 0, equal values sharing their mean rank.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let (mut ranks, mut before) = (vec![0.0; values.len()], 0.0);
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let count = equal.len() as f64;
        equal.iter().for_each(|&index| ranks[index] = before + (count - 1.0) / 2.0);
        before += count;
    }
    ranks
}

/// What was found for one slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// File under the root.
    pub path: String,
    /// Scan folder.
    pub scan: String,
    /// The truth, where known.
    pub label: Option<Label>,
    /// Probability of covid.
    pub covid: f32,
    /// Share of the heat for the predicted class that lies outside the lungs, 0 to 1; `None` where no lungs were found
    /// or there is no heat.
    pub outside: Option<f64>,
}

impl Explained {
    fn decision(&self) -> Label {
        if self.covid >= 0.5 { Label::Covid } else { Label::NonCovid }
    }

    /// How sure the network is of its decision, 0.5 to 1.
    fn confidence(&self) -> f32 {
        self.covid.max(1.0 - self.covid)
    }
}

/// Heat maps of a subset, summed up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanations {
    /// What they were made from.
    pub about: About,
    /// One a slice; a scan has eight at most.
    pub slices: Vec<Explained>,
    /// Sanity check (Adebayo et al. 2018): mean rank correlation of the maps with those of the same network with random
    /// weights. Near 1, the maps would show the picture's edges and not what the network has learned.
    pub random_weights: Option<f64>,
    /// Most confident right, most confident wrong, most heat outside the lungs.
    pub galleries: Vec<Figure>,
}

impl Classifier {
    /// Grad-CAM heat maps of these slices, each for the class given with it; see `docs/explanations.md` for the layers.
    ///
    /// # Errors
    /// A cache with other preprocessing than the network was trained with.
    pub fn heat_maps(&self, cache: &SliceCache, slices: &[(usize, Label)]) -> Result<Vec<HeatMap>> {
        ensure!(
            cache.preprocess() == &self.info().run.preprocess,
            "explaining: the network was trained with {:?}, the cache was made with {:?}",
            self.info().run.preprocess,
            cache.preprocess()
        );
        heat_maps(self.network(), cache, slices, self.device())
    }
}

fn heat_maps(network: &Network, cache: &SliceCache, slices: &[(usize, Label)], device: Device) -> Result<Vec<HeatMap>> {
    let side = cache.preprocess().size as usize;
    let mut maps = Vec::with_capacity(slices.len());
    for batch in slices.chunks(16) {
        let images = cache.batch(&batch.iter().map(|of| of.0).collect::<Vec<_>>(), device)?;
        let classes: Vec<i64> = batch.iter().map(|of| of.1.index() as i64).collect();
        let small = network.class_activation(&images, &classes).context("computing class activation maps")?;
        let size = [side as i64; 2];
        let large = small.f_unsqueeze(1)?.f_upsample_bilinear2d(size, false, None, None)?.f_to_device(Device::Cpu)?;
        let values = Vec::<f32>::try_from(&large.f_contiguous()?.f_reshape([-1])?)?;
        for values in values.chunks_exact(side * side) {
            let most = values.iter().copied().fold(0.0, f32::max);
            let scale = if most > 0.0 { 1.0 / most } else { 0.0 };
            maps.push(HeatMap { side, values: values.iter().map(|value| value * scale).collect() });
        }
    }
    Ok(maps)
}

impl Explanations {
    /// Explains the predictions that a run has written for a subset, with its best checkpoint, and writes
    /// `explanations-<subset>.json` into its folder: eight slices of each scan at most, 2,000 in all, each for the class
    /// that was predicted.
    ///
    /// # Errors
    /// A run that was not evaluated, or a cache or split of other slices.
    pub fn run(
        run_folder: impl AsRef<Path>,
        cache: &SliceCache,
        split: &Split,
        subset: Subset,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Self> {
        let folder = run_folder.as_ref();
        let doing = || format!("explaining the {subset} subset of {}", folder.display());
        let classifier = Classifier::load(folder.join("best.safetensors"))?;
        let predictions = Predictions::read(folder, subset)?;
        ensure!(
            predictions.about.weights == classifier.weights() && predictions.about.split == split.hash(),
            "{}: its predictions come from other weights or another split: run `covid-ct evaluate` again",
            doing()
        );
        let chosen = chosen(&predictions, &split.slices(subset));
        let meter = Meter::new("explain", "slices", chosen.len(), 0, &progress);
        let mut found: Vec<(Explained, usize)> = Vec::with_capacity(chosen.len());
        for part in chosen.chunks(64) {
            let asked: Vec<(usize, Label)> = part.iter().map(|(row, slice)| (*slice, row.decision())).collect();
            let maps = classifier.heat_maps(cache, &asked).with_context(doing)?;
            for ((row, slice), map) in part.iter().zip(&maps) {
                let lungs = LungMask::of(&picture(cache, *slice)?);
                found.push((Explained { outside: lungs.share_outside(&map.values), ..row.clone() }, *slice));
            }
            meter.add(part.len());
        }
        meter.finish();
        let random_weights = random_weights(&classifier, cache, &found).with_context(doing)?;
        let galleries = galleries(&classifier, cache, &found).with_context(doing)?;
        let slices = found.into_iter().map(|of| of.0).collect();
        let explanations = Self { about: predictions.about, slices, random_weights, galleries };
        write_json(&folder.join(format!("explanations-{subset}.json")), &explanations)?;
        Ok(explanations)
    }

    /// Reads what [`run`](Self::run) wrote.
    pub fn read(run_folder: impl AsRef<Path>, subset: Subset) -> Result<Self> {
        let path = run_folder.as_ref().join(format!("explanations-{subset}.json"));
        read_json(&path, "explanations (written by `covid-ct explain`)")
    }

    /// Hash of the weights that are explained.
    pub fn weights(&self) -> Digest {
        self.about.weights
    }

    /// Mean share of heat outside the lungs of each scan, the highest first: scan, truth, slices with lungs, share.
    pub fn by_scan(&self) -> Vec<(String, Option<Label>, usize, Option<f64>)> {
        let mut scans: BTreeMap<&str, (Option<Label>, Vec<f64>)> = BTreeMap::new();
        for row in &self.slices {
            scans.entry(&row.scan).or_insert((row.label, Vec::new())).1.extend(row.outside);
        }
        let mut rows: Vec<_> =
            scans.into_iter().map(|(scan, (label, of))| (scan.to_owned(), label, of.len(), mean(&of))).collect();
        rows.sort_by(|a, b| b.3.unwrap_or(-1.0).total_cmp(&a.3.unwrap_or(-1.0)));
        rows
    }

    /// Mean share of heat outside the lungs, over the slices with lungs and heat.
    pub fn outside(&self) -> Option<f64> {
        mean(&self.slices.iter().filter_map(|row| row.outside).collect::<Vec<_>>())
    }

    /// The galleries, one under the other.
    pub fn page(&self) -> Page {
        self.galleries.iter().fold(Page::new(), |page, gallery| page.with(gallery))
    }

    /// The scans with the most heat outside the lungs.
    pub fn table(&self) -> Table {
        let title = self.about.title("scans: heat outside the lungs");
        let mut table = Table::new(title, &["Scan", "Truth", "Slices with lungs", "Heat outside"]);
        let rows = self.by_scan();
        const SHOWN: usize = 10;
        for (scan, label, slices, outside) in rows.iter().take(SHOWN) {
            let label = label.map_or("–".to_owned(), |label| label.to_string());
            table.row([scan.clone(), label, slices.to_string(), percent(*outside)]);
        }
        let with = self.slices.iter().filter(|row| row.outside.is_some()).count();
        let correlation = self.random_weights.map_or("–".to_owned(), |value| format!("{value:.2}"));
        table
            .note(format!(
                "{} of {} scans shown. Mean over the {with} of {} slices where lungs and heat were found: {}.",
                rows.len().min(SHOWN),
                rows.len(),
                self.slices.len(),
                percent(self.outside())
            ))
            .note(format!(
                "Sanity check: rank correlation with the maps of random weights {correlation} (near 1, the maps would not \
                 depend on what was learned)."
            ))
    }
}

shown_as_table!(Explanations);

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn picture(cache: &SliceCache, slice: usize) -> Result<GreyImage> {
    let size = cache.preprocess().size;
    Ok(GreyImage { width: size, height: size, pixels: cache.pixels(slice)? })
}

/// Slices at even distances in every scan. `slices` are those of the predictions, in their order.
fn chosen(predictions: &Predictions, slices: &[usize]) -> Vec<(Explained, usize)> {
    let mut scans: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, row) in predictions.rows().iter().enumerate() {
        scans.entry(&row.scan).or_default().push(index);
    }
    let per_scan = PER_SCAN.min(AT_MOST / scans.len().max(1)).max(1);
    let of_scans = scans.into_values().flat_map(|of_scan| spread(&of_scan, per_scan));
    let all = of_scans.map(|index| {
        let row = &predictions.rows()[index];
        let (path, scan) = (row.path.clone(), row.scan.clone());
        (Explained { path, scan, label: row.label, covid: row.covid, outside: None }, slices[index])
    });
    all.collect()
}

fn random_weights(classifier: &Classifier, cache: &SliceCache, found: &[(Explained, usize)]) -> Result<Option<f64>> {
    let info = classifier.info();
    let all: Vec<usize> = (0..found.len()).collect();
    let asked: Vec<(usize, Label)> =
        spread(&all, SANITY).into_iter().map(|i| (found[i].1, found[i].0.decision())).collect();
    let random = Network::new(info.run.architecture, info.run.seed.wrapping_add(1), classifier.device())?;
    random.freeze()?;
    let images = cache.batch(&asked.iter().map(|of| of.0).collect::<Vec<_>>(), classifier.device())?;
    // Batch norm of a network that never saw a slice has no statistics.
    random.measure_statistics(&images)?;
    let (ours, theirs) =
        (classifier.heat_maps(cache, &asked)?, heat_maps(&random, cache, &asked, classifier.device())?);
    Ok(mean(&ours.iter().zip(&theirs).filter_map(|(a, b)| a.correlation(b)).collect::<Vec<_>>()))
}

fn galleries(classifier: &Classifier, cache: &SliceCache, found: &[(Explained, usize)]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let sure = |of: &(Explained, usize)| f64::from(of.0.confidence());
    let outside = |of: &(Explained, usize)| of.0.outside.unwrap_or(0.0);
    type Wanted = fn(&Explained) -> bool;
    let right: Wanted = |of| of.label == Some(of.decision());
    let wrong: Wanted = |of| of.label.is_some_and(|label| label != of.decision());
    let lungs: Wanted = |of| of.outside.is_some();
    type Order<'a> = &'a dyn Fn(&(Explained, usize)) -> f64;
    let kinds: [(&str, Wanted, Order<'_>); 3] = [
        ("Most confident and right", right, &sure),
        ("Most confident and wrong", wrong, &sure),
        ("Most heat outside the lungs", lungs, &outside),
    ];
    for (title, wanted, order) in kinds {
        let mut of_kind: Vec<_> = found.iter().filter(|of| wanted(&of.0)).collect();
        of_kind.sort_by(|a, b| order(b).total_cmp(&order(a)));
        // One slice a scan: neighbours look alike.
        let mut seen = std::collections::BTreeSet::new();
        of_kind.retain(|of| seen.insert(of.0.scan.as_str()));
        of_kind.truncate(GALLERY);
        if of_kind.is_empty() {
            continue;
        }
        let asked: Vec<(usize, Label)> = of_kind.iter().map(|of| (of.1, of.0.decision())).collect();
        let mut sheet = ContactSheet::new(title);
        for ((row, slice), map) in of_kind.iter().map(|of| (&of.0, of.1)).zip(classifier.heat_maps(cache, &asked)?) {
            let said = format!("{} {:.2}", row.decision(), row.confidence());
            let truth = row.label.map_or(String::new(), |label| format!("\ntruth: {label}"));
            let outside = row.outside.map_or(String::new(), |share| format!("\n{} outside", percent(Some(share))));
            sheet.add_heat(&format!("{}\n{said}{truth}{outside}", row.path), &picture(cache, slice)?, &map.values)?;
        }
        figures.push(sheet.figure(
            "Slices as the network sees them, with the heat for the predicted class (Grad-CAM, yellow to red; scaled to \
             each picture's hottest place). One slice a scan. Probabilities are not calibrated.",
        ));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlation_is_spearmans() {
        let map = |values: &[f32]| HeatMap { side: 2, values: values.to_vec() };
        let a = map(&[0.0, 0.1, 0.2, 1.0]);
        assert_eq!(a.correlation(&map(&[0.0, 0.5, 0.6, 0.7])), Some(1.0));
        assert_eq!(a.correlation(&map(&[9.0, 3.0, 2.0, 1.0])), Some(-1.0));
        // scipy.stats.spearmanr([0, 0.1, 0.2, 1], [0, 0, 1, 0.5]): ranks 0.5, 0.5, 3, 2.
        let tied = a.correlation(&map(&[0.0, 0.0, 1.0, 0.5])).expect("defined");
        assert!((tied - 0.737_864_787_372_622).abs() < 1e-12, "{tied}");
        assert_eq!(a.correlation(&map(&[0.5; 4])), None);
    }
}
