//! The shortcut probe on a data set.

use super::{CueRow, Cues, Probe, ProbeRow};
use crate::base::checksums::Sha256Sums;
use crate::base::errors::{Context, Result};
use crate::base::figure::{Bar, Figure, bars};
use crate::base::files::Digest;
use crate::base::progress::Progress;
use crate::base::table::{Table, shown_as_table};
use crate::data::cache::{SliceCache, spread};
use crate::data::manifest::Label;
use crate::data::preprocess::Preprocess;
use crate::data::workspace::Workspace;
use crate::evaluate::assessment::{OF_SCANS, estimated};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Folds of the cross-validation, and its seed.
const FILE: &str = "shortcuts.json";
const FOLDS: usize = 5;
const SEED: u64 = 1;
/// Up to this level a pixel counts as black.
const BLACK: u8 = 8;
/// Slices of a scan whose pixels are read, at even distances; size and colour mode are taken from all slices.
const PER_SCAN: usize = 32;

/// How well shallow cues alone predict the label of this data set's scans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortcuts {
    /// Hash of the manifest.
    pub manifest: Digest,
    /// Labelled scans, of `train/` and `val/`.
    pub scans: usize,
    /// All cues together, then each alone.
    pub rows: Vec<ProbeRow>,
}

impl Shortcuts {
    /// Probes the audited data set of a workspace, with grey levels of slices preprocessed by `preprocess`: see
    /// [`run`](Self::run).
    ///
    /// # Errors
    /// No audit yet, and those of [`run`](Self::run).
    pub fn measure(
        workspace: &Workspace,
        preprocess: &Preprocess,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<Self> {
        let accepted = workspace.audit()?.accepted();
        let cache = SliceCache::open_or_build(workspace.cache_folder(), &accepted, preprocess, progress)?;
        Self::run(workspace.manifest_folder(), &cache)
    }

    /// Probes every labelled scan (grey levels as in the cache) and writes `shortcuts.json` into `folder`.
    ///
    /// # Errors
    /// As [`Probe::run`].
    pub fn run(folder: impl AsRef<Path>, cache: &SliceCache) -> Result<Self> {
        Self::run_in(folder.as_ref(), cache)
    }

    fn run_in(folder: &Path, cache: &SliceCache) -> Result<Self> {
        let scans: Vec<usize> = (0..cache.manifest().scans.len()).collect();
        let rows = cue_rows(cache, &scans).context("collecting the cues of shortcuts")?;
        let probe = Probe::run(&rows, FOLDS, SEED)?;
        let found = Self { manifest: cache.manifest_hash(), scans: rows.len(), rows: probe.rows };
        Sha256Sums::of(folder).write_json(FILE, &found)?;
        Ok(found)
    }

    /// Reads what [`run`](Self::run) wrote.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        Sha256Sums::of(folder.as_ref()).read_json(FILE, "a shortcut probe", "shortcuts")
    }

    /// One row for each cue, the confidence interval before the value.
    pub fn table(&self) -> Table {
        let columns = ["Cue", "ROC AUC over scans: 95 % interval (value)"];
        let mut table = Table::new("The label, predicted by shallow cues", &columns);
        for row in &self.rows {
            table.row([text(&row.name), estimated(&row.auc)]);
        }
        table
            .note(format!(
                "{} labelled scans; {OF_SCANS}. All together: out of fold, {FOLDS} folds by patient; alone: the cue's own value, \
                 in the better direction. 0.5 is chance.",
                self.scans
            ))
            .note("A network's AUC near that of the cues proves nothing: it may have learned the hospital, not the disease.")
    }

    /// ROC AUC of each cue.
    pub fn figure(&self) -> Result<Figure> {
        let bar = |row: &ProbeRow| Bar {
            group: row.name.clone(),
            series: "cue".to_owned(),
            value: row.auc.value.unwrap_or(0.0),
            interval: row.auc.interval.map(|interval| (interval.low, interval.high)),
        };
        bars(
            "Shortcuts",
            "ROC AUC over scans",
            (0.0, 1.0),
            Some((0.5, "chance")),
            &self.rows.iter().filter(|row| row.auc.value.is_some()).map(bar).collect::<Vec<_>>(),
            "How well shallow cues alone predict the label. Lines: 95 % confidence intervals over patients.",
        )
    }
}

shown_as_table!(Shortcuts);

fn text(name: &str) -> String {
    let meaning = match name {
        "all" => "all together",
        "bytes" => "size of the files",
        "width" => "width",
        "height" => "height",
        "colour" => "colour mode",
        "mean" => "mean grey level",
        "black" => "share of black",
        "border" => "mean grey level of the border",
        "slices" => "number of slices",
        other => other,
    };
    meaning.to_owned()
}

/// The cues of the given scans that have a label and slices, in their order.
pub(super) fn cue_rows(cache: &SliceCache, scans: &[usize]) -> Result<Vec<CueRow>> {
    let manifest = cache.manifest();
    let (patients, of_scans) = (manifest.patient_of_scans(), manifest.slices_by_scan());
    let labelled = scans.iter().filter(|&&scan| !of_scans[scan].is_empty());
    let labelled: Vec<(usize, Label)> =
        labelled.filter_map(|&scan| Some((scan, manifest.scans[scan].label?))).collect();
    let row = |(scan, label): (usize, Label)| {
        let slices = &of_scans[scan];
        let [bytes, width, height, colour] = mean_of(slices, |slice| of_file(cache, slice))?;
        let [mean, black, border] = mean_of(&spread(slices, PER_SCAN), |slice| of_pixels(cache, slice))?;
        let cues =
            Cues { bytes, width, height, colour: colour > 0.5, mean, black, border, slices: slices.len() as f64 };
        Ok(CueRow { cues, covid: label == Label::Covid, patient: patients[scan] })
    };
    labelled.into_par_iter().map(row).collect()
}

fn mean_of<const N: usize>(slices: &[usize], of: impl Fn(usize) -> Result<[f64; N]>) -> Result<[f64; N]> {
    let mut means = [0.0; N];
    for &slice in slices {
        let values = of(slice)?;
        (0..N).for_each(|k| means[k] += values[k] / slices.len() as f64);
    }
    Ok(means)
}

/// Bytes, width, height, and 1 for colour.
fn of_file(cache: &SliceCache, slice: usize) -> Result<[f64; 4]> {
    let record = &cache.manifest().slices[slice];
    let header = record.header.with_context(|| format!("{} has no header", cache.manifest().path(record)))?;
    let colour = f64::from(u8::from(header.colour == crate::data::decode::ColourMode::Colour));
    Ok([record.bytes as f64, f64::from(header.width), f64::from(header.height), colour])
}

/// Mean, share of black, mean of the border.
fn of_pixels(cache: &SliceCache, slice: usize) -> Result<[f64; 3]> {
    let (pixels, side) = (cache.pixels(slice)?, cache.preprocess().size as usize);
    let count = pixels.len() as f64;
    let mean = pixels.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / count;
    let black = pixels.iter().filter(|&&pixel| pixel <= BLACK).count() as f64 / count;
    let ring = side.div_ceil(20);
    let outside = |at: usize| at < ring || at >= side - ring;
    let border = (0..pixels.len()).filter(|at| outside(at / side) || outside(at % side));
    let (sum, of) = border.fold((0.0, 0.0), |(sum, of), at| (sum + f64::from(pixels[at]), of + 1.0));
    Ok([mean, black, sum / of])
}
