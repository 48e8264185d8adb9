//! Explanation of predictions by Grad-CAM heat maps, and the share of heat outside the lungs.
//!
//! Heat outside the lungs is a warning, not a proof: maps of the last layer are coarse (7×7 at 224 pixels), and the
//! lung masks come from classical image processing with known failures (see [`LungMask`](crate::LungMask)), which a
//! gallery shows.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::interrupt::go_on;
use crate::base::progress::{Meter, Progress, thousands};
use crate::base::table::{Page, Table, percent, shown_as_table};
use crate::data::cache::{SliceCache, spread};
use crate::data::manifest::Label;
use crate::data::split::Subset;
use crate::evaluate::predict::{About, Classifier, Predictions, SlicePrediction};
use crate::nn::learn::Learn;
use crate::nn::model::Network;
use crate::train::experiment::Experiment;
use crate::train::run_folder::{Artifact, RunFolder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

mod examples;
mod gallery;
mod heat;
mod mask;

use examples::examples;
pub use gallery::{Gallery, GalleryKind};
use gallery::{GalleryCandidate, chosen, galleries, numbered};
pub(crate) use gallery::{Pictured, sheet, slices_by_path};
pub use heat::HeatMap;
use heat::heat_maps;
pub use mask::LungsFrom;

/// The most slices of a scan that are explained, at even distances, and of a subset.
const PER_SCAN: usize = 8;
const AT_MOST: usize = 2_000;
/// Slices of the sanity check.
const SANITY: usize = 24;

/// The explanation of one slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// File under the root.
    pub path: String,
    /// Scan folder.
    pub scan: String,
    /// The label, where known.
    pub label: Option<Label>,
    /// Probability of covid, 0 to 1; not calibrated.
    pub covid: f32,
    /// Share of the heat for the predicted class that lies outside the lungs, 0 to 1; `None` where no lungs were found
    /// or there is no heat.
    pub outside: Option<f64>,
    /// Share of the slice that the lung mask covers, 0 to 1.
    pub lungs: f64,
    /// Whether the mask is plausible: see [`LungMask::is_plausible`](crate::LungMask::is_plausible).
    pub plausible: bool,
    /// The image that the mask was computed from.
    pub lungs_from: LungsFrom,
}

impl Explained {
    /// A prediction without lung mask and heat map.
    fn begun(row: &SlicePrediction) -> Self {
        let (path, scan, label, covid) = (row.path.clone(), row.scan.clone(), row.label, row.covid);
        Self { path, scan, label, covid, outside: None, lungs: 0.0, plausible: false, lungs_from: LungsFrom::Nothing }
    }

    fn decision(&self) -> Label {
        if self.covid >= 0.5 { Label::Covid } else { Label::NonCovid }
    }

    /// The probability of the decision, 0.5 to 1.
    fn confidence(&self) -> f32 {
        self.covid.max(1.0 - self.covid)
    }
}

/// The explanations of a subset's slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanations {
    /// Run, weights, manifest and split of the predictions.
    pub about: About,
    /// The explained slices, eight of a scan at most.
    pub slices: Vec<Explained>,
    /// Sanity check (Adebayo et al. 2018): mean rank correlation, -1 to 1, of the maps with those of the same network
    /// with random weights. Near 1 the maps show edges of the image and not what the network has learned. `None` where
    /// the check does not apply.
    pub random_weights: Option<f64>,
    /// The sanity check in words, or why there is none.
    pub sanity: String,
    /// Most confident right, most confident wrong, most heat outside the lungs, least plausible lung masks, and of labelled
    /// scans examples of both labels, called right and called wrong.
    pub galleries: Vec<Gallery>,
}

impl Explanations {
    /// Explains a run's predictions of a subset with its best checkpoint: eight slices of each scan at most, 2,000 in
    /// all, each for the class that was predicted. The galleries of the most confident are taken from all slices.
    ///
    /// # Errors
    /// A run that was not evaluated, or whose predictions come from other weights or another split; a network of the
    /// user's, which has no heat maps.
    pub(crate) fn run(experiment: &Experiment, subset: Subset) -> Result<Self> {
        let (folder, cache) = (experiment.folder(), experiment.cache());
        let doing = || format!("explaining the {subset} subset of {}", folder.path().display());
        let classifier = folder.classifier()?;
        if let Some(why) = classifier.network().no_heat() {
            crate::base::errors::bail!("{}: {why}", doing());
        }
        let predictions = folder.predictions(subset).with_context(|| {
            format!("{}: expected its predictions: run `covid-ct evaluate`, or `predict` for the unlabelled", doing())
        })?;
        ensure!(
            predictions.about.weights == classifier.weights() && predictions.about.split == experiment.split().hash(),
            "{}: its predictions come from other weights or another split: run `covid-ct evaluate` again",
            doing()
        );
        let show = |progress: &Progress| experiment.progress(progress);
        let number = slices_by_path(cache);
        let found = explained(&classifier, cache, &predictions, &number, &show).with_context(doing)?;
        let (random_weights, sanity) = random_weights(&classifier, cache, &found).with_context(doing)?;
        let mut galleries = galleries(&classifier, cache, &predictions, &number, &found).with_context(doing)?;
        if folder.has(Artifact::ScanRule) {
            galleries
                .extend(examples(&classifier, cache, &predictions, &number, &folder.scan_rule()?).with_context(doing)?);
        }
        let slices = found.into_iter().map(|of| of.row).collect();
        let explanations = Self { about: predictions.about, slices, random_weights, sanity, galleries };
        folder.write(Artifact::Explanations(subset), &explanations)?;
        Ok(explanations)
    }

    /// Hash of the weights that are explained.
    pub fn weights(&self) -> Digest {
        self.about.weights
    }

    /// Mean share of heat outside the lungs of each scan, the highest first: scan, label, slices with lungs, share (0
    /// to 1).
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

    /// Mean share of heat outside the lungs, 0 to 1, over the slices with lungs and heat; `None` without such slices.
    pub fn outside(&self) -> Option<f64> {
        mean(&self.slices.iter().filter_map(|row| row.outside).collect::<Vec<_>>())
    }

    /// The same of heat spread evenly, by which [`outside`](Self::outside) is to be judged: the mean share of these slices that
    /// lies outside the lungs, 0 to 1.
    pub fn outside_by_chance(&self) -> Option<f64> {
        let with = self.slices.iter().filter(|row| row.outside.is_some());
        mean(&with.map(|row| 1.0 - row.lungs).collect::<Vec<_>>())
    }

    /// The galleries, one under the other.
    pub fn page(&self) -> Page {
        self.galleries.iter().fold(Page::new(), |page, gallery| page.with(&gallery.figure))
    }

    /// The ten scans with the most heat outside the lungs.
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
        table
            .note(format!(
                "{} of {} scans shown; up to {PER_SCAN} slices a scan, at even distances. Mean over the {with} of {} \
                 slices where lungs and heat were found: {}; heat spread evenly over them would have {} outside.",
                rows.len().min(SHOWN),
                rows.len(),
                self.slices.len(),
                percent(self.outside()),
                percent(self.outside_by_chance())
            ))
            .note(self.masks())
            .note(self.sanity.clone())
    }

    /// The images that lung masks were computed from, and how many masks were refused.
    fn masks(&self) -> String {
        let from = |from: LungsFrom| self.slices.iter().filter(|row| row.lungs_from == from).count();
        let refused = self.slices.iter().filter(|row| !row.plausible).count();
        let count = |count: usize| thousands(count as u64);
        format!(
            "Lung masks: {} computed from the slice's file, {} from the smaller cached slice (no file), {} not \
             computed (no file, and a cached slice under 64×64). Not plausible as lungs, as at the ends of a scan, and \
             so not counted: {}.",
            count(from(LungsFrom::File)),
            count(from(LungsFrom::Cache)),
            count(from(LungsFrom::Nothing)),
            count(refused)
        )
    }
}

impl RunFolder {
    /// The explanations of a subset's slices.
    pub fn explanations(&self, subset: Subset) -> Result<Explanations> {
        self.read(Artifact::Explanations(subset))
    }
}

shown_as_table!(Explanations);

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Slices at even distances in every scan, with the share of heat for the predicted class that lies outside their
/// lungs.
fn explained(
    classifier: &Classifier,
    cache: &SliceCache,
    predictions: &Predictions,
    number: &HashMap<String, usize>,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<Vec<GalleryCandidate>> {
    let chosen = chosen(predictions, AT_MOST);
    let meter = Meter::new("explain", "slices", chosen.len(), 0, progress);
    let mut found = Vec::with_capacity(chosen.len());
    for part in chosen.chunks(64) {
        let begun = |&(index, in_the_middle): &(usize, bool)| {
            let row = Explained::begun(&predictions.rows()[index]);
            let slice = numbered(number, &row.path)?;
            Ok(GalleryCandidate { row, slice, in_the_middle })
        };
        let begun = part.iter().map(begun).collect::<Result<Vec<_>>>()?;
        let classes: Vec<(usize, Label)> = begun.iter().map(|of| (of.slice, of.row.decision())).collect();
        let maps = classifier.heat_maps(cache, &classes)?;
        let measured = begun.into_par_iter().zip(&maps).map(|(of, map)| compared_with_lungs(of, map, cache));
        found.extend(measured.collect::<Result<Vec<_>>>()?);
        meter.add(part.len());
        go_on()?;
    }
    meter.finish();
    Ok(found)
}

/// Computes the lung mask of a slice and the share of heat outside of it.
fn compared_with_lungs(mut of: GalleryCandidate, map: &HeatMap, cache: &SliceCache) -> Result<GalleryCandidate> {
    let (lungs, from) = mask::lungs(cache, of.slice)?;
    let side = map.side as u32;
    of.row.plausible = lungs.is_plausible();
    of.row.lungs = lungs.share();
    of.row.lungs_from = from;
    of.row.outside = lungs.resized(side, side).share_outside(&map.values).filter(|_| of.row.plausible);
    Ok(of)
}

/// The sanity check: the rank correlation with random weights, and its description.
fn random_weights(
    classifier: &Classifier,
    cache: &SliceCache,
    found: &[GalleryCandidate],
) -> Result<(Option<f64>, String)> {
    let run = &classifier.info().run;
    if run.learn != Learn::Whole && run.pretrained.is_none() {
        let why = "Sanity check: none. The backbone is frozen at random weights: only the head was trained, and maps \
                   of other random weights would not test it.";
        return Ok((None, why.to_owned()));
    }
    let all: Vec<usize> = (0..found.len()).collect();
    let classes: Vec<(usize, Label)> =
        spread(&all, SANITY).into_iter().map(|i| (found[i].slice, found[i].row.decision())).collect();
    if classes.is_empty() {
        return Ok((None, "Sanity check: none, because there are no slices.".to_owned()));
    }
    let random = Network::new(run.architecture, run.seed.wrapping_add(1), classifier.device())?;
    random.freeze()?;
    let images = cache.batch(&classes.iter().map(|of| of.0).collect::<Vec<_>>(), classifier.device())?;
    // Batch norm of an untrained network has no statistics.
    random.measure_statistics(&images)?;
    let (ours, theirs) =
        (classifier.heat_maps(cache, &classes)?, heat_maps(&random, cache, &classes, classifier.device())?);
    let each: Vec<f64> = ours.iter().zip(&theirs).filter_map(|(a, b)| a.correlation(b)).collect();
    let correlation = mean(&each);
    let description = match correlation {
        None => {
            format!(
                "Sanity check: undefined, because no map of {} slices has heat under random weights.",
                classes.len()
            )
        }
        Some(value) => format!(
            "Sanity check: rank correlation with the maps of random weights {value:.2} over the {} of {} slices where \
             both have heat (near 1, the maps would not depend on what was learned).",
            each.len(),
            classes.len()
        ),
    };
    Ok((correlation, description))
}
