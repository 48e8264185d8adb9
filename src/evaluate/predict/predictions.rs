//! A subset's predictions, and their files.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::escape::csv_text;
use crate::base::figure::Figure;
use crate::base::files::{Digest, write_whole};
use crate::base::progress::thousands;
use crate::base::table::{Table, shown_as_table};
use crate::data::contact_sheet::ContactSheet;
use crate::data::manifest::parquet::{read_frame, text_column, write_frame};
use crate::data::manifest::{Label, Manifest};
use crate::data::split::Subset;
use crate::data::window::Window;
use crate::evaluate::decision_rules::LabelledScan;
use crate::stats::figures::confusion;
use crate::stats::metrics::{ClassificationReport, ConfusionMatrix};
use crate::train::run_folder::{Artifact, RunFolder};
use polars::prelude::{Column, DataFrame};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The prediction of one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct SlicePrediction {
    /// File under the root.
    pub path: String,
    /// Scan folder.
    pub scan: String,
    /// Patient, where known.
    pub patient: Option<String>,
    /// The label, where known.
    pub label: Option<Label>,
    /// Probability of covid, 0 to 1 (softmax; not calibrated).
    pub covid: f32,
}

impl SlicePrediction {
    /// The more probable class; covid at exactly 0.5, as `argmax` returns the first of two equal logits.
    pub fn decision(&self) -> Label {
        if self.covid >= 0.5 { Label::Covid } else { Label::NonCovid }
    }

    /// Whether the label is covid.
    ///
    /// # Errors
    /// No label.
    pub(crate) fn is_covid(&self) -> Result<bool> {
        let label = self.label.with_context(|| format!("{} has no label to compare with", self.path))?;
        Ok(label == Label::Covid)
    }
}

/// The run, weights, manifest and split that predictions were made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Name of the run.
    pub run: String,
    /// The subset.
    pub subset: Subset,
    /// Subsets whose scans were learned from.
    pub leaks: Vec<Subset>,
    /// Hash of the checkpoint file; of several networks together, the joint hash over theirs.
    pub weights: Digest,
    /// Hash of the manifest.
    pub manifest: Digest,
    /// Hash of the split.
    pub split: Digest,
}

/// The predictions of a subset's slices.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Run, weights, manifest and split they were made from.
    pub about: About,
    pub(super) rows: Vec<SlicePrediction>,
}

impl About {
    /// `test slices, fcn-published (LEAKING)`.
    pub(crate) fn title(&self, what: &str) -> String {
        format!("{} {what}, {}{}", self.subset, self.run, self.subset.leak_mark(&self.leaks))
    }
}

/// The confusion matrix of slices or scans, given as name, label and decision.
pub(crate) fn decided<'a>(rows: impl Iterator<Item = (&'a str, Option<Label>, Label)>) -> Result<ConfusionMatrix> {
    let (mut truth, mut decided) = (Vec::new(), Vec::new());
    for (name, label, decision) in rows {
        truth.push(label.with_context(|| format!("{name} has no label to compare with"))?.index());
        decided.push(decision.index());
    }
    ConfusionMatrix::from_labels(&Label::NAMES, &truth, &decided)
}

/// The scan folder with this name: the whole folder, or its last part if that is unique.
///
/// # Errors
/// No such scan in the subset, or several, which are listed.
pub(crate) fn named<'a>(folders: impl Iterator<Item = &'a str>, name: &str, subset: Subset) -> Result<&'a str> {
    let matches = |folder: &&str| *folder == name || folder.rsplit('/').next() == Some(name);
    let found: BTreeSet<&str> = folders.filter(matches).collect();
    if let Some(exact) = found.get(name) {
        return Ok(exact);
    }
    let all: Vec<&str> = found.into_iter().collect();
    match all[..] {
        [one] => Ok(one),
        [] => bail!("showing {name}: expected a scan of the {subset} subset, found none of that name"),
        _ => bail!("showing {name}: {} scans of the {subset} subset have that name: {}", all.len(), all.join(", ")),
    }
}

impl Predictions {
    pub(crate) fn new(about: About, rows: Vec<SlicePrediction>) -> Self {
        Self { about, rows }
    }

    /// One row for each slice, in the manifest's order.
    pub fn rows(&self) -> &[SlicePrediction] {
        &self.rows
    }

    /// The confusion matrix of decisions and labels.
    ///
    /// # Errors
    /// A subset without labels.
    pub fn confusion_matrix(&self) -> Result<ConfusionMatrix> {
        decided(self.rows.iter().map(|row| (row.path.as_str(), row.label, row.decision())))
    }

    /// scikit-learn's classification report, per slice.
    pub fn report(&self) -> Result<ClassificationReport> {
        Ok(self.confusion_matrix()?.report())
    }

    /// The confusion matrix as a figure.
    pub fn figure(&self) -> Result<Figure> {
        confusion(&self.about.title("slices"), &self.confusion_matrix()?)
    }

    /// Labelled scans with the probabilities of their slices, in the order of their names.
    ///
    /// # Errors
    /// A subset without labels.
    pub(crate) fn labelled_scans(&self) -> Result<Vec<LabelledScan>> {
        let mut scans: BTreeMap<&str, LabelledScan> = BTreeMap::new();
        for row in &self.rows {
            let covid = row.is_covid()?;
            let scan = scans.entry(&row.scan).or_insert_with(|| LabelledScan { covid, slices: Vec::new() });
            scan.slices.push(f64::from(row.covid));
        }
        Ok(scans.into_values().collect())
    }

    /// Number of patients (which counts scans, as on the slides), number of slices, and mean number of slices of a scan.
    pub fn summary(&self) -> Table {
        let scans = self.rows.iter().map(|r| &r.scan).collect::<BTreeSet<_>>().len();
        let columns = ["Number of patients (scans)", "Total number of slices", "Average number of slices"];
        let mut table = Table::new(format!("The {} set", self.about.subset), &columns);
        let average = format!("{:.1}", self.rows.len() as f64 / scans.max(1) as f64);
        table.row([thousands(scans as u64), thousands(self.rows.len() as u64), average]);
        table
    }

    /// Indices of the rows of one scan, given by its folder, or by the folder's last part if it is unique.
    pub(crate) fn rows_of(&self, scan: &str) -> Result<Vec<usize>> {
        let scan = named(self.rows.iter().map(|row| row.scan.as_str()), scan, self.about.subset)?;
        Ok((0..self.rows.len()).filter(|&i| self.rows[i].scan == scan).collect())
    }

    /// At most `count` slices of one scan, at even distances, with their decisions. `scan` is its folder, or the
    /// folder's last part (`ct_scan_21`) if it is unique.
    ///
    /// # Errors
    /// No such scan, or several; a slice whose file is missing or cannot be decoded.
    pub fn scan_sheet(&self, manifest: &Manifest, scan: &str, count: usize) -> Result<Figure> {
        let of_scan = self.rows_of(scan)?;
        let mut sheet = ContactSheet::new(format!("Scan: {scan}"));
        let chosen = crate::data::cache::spread(&of_scan, count);
        let slices = chosen.iter().map(|&row| manifest.slice_at(&self.rows[row].path)).collect::<Result<Vec<_>>>()?;
        for (index, pixels) in chosen.iter().zip(manifest.pixels_of_each(&slices)?) {
            let (row, image) = (&self.rows[*index], pixels.into_grey(Window::LUNG));
            let file = row.path.rsplit('/').next().unwrap_or(&row.path);
            sheet.add(&[&format!("Slice: {file} - {} ({:.2})", row.decision(), row.covid)], Some(&image))?;
        }
        Ok(sheet.figure("The decision for each slice, and its covid probability (not calibrated)."))
    }

    /// One slice with its decision: `Slice: 3.jpg - covid`. `path` is the file under the root, or the end of its path
    /// if it is unique.
    ///
    /// # Errors
    /// No such slice, or several; a file that is missing or cannot be decoded.
    pub fn slice_figure(&self, manifest: &Manifest, path: &str) -> Result<Figure> {
        let ends = |row: &&SlicePrediction| row.path == path || row.path.ends_with(&format!("/{path}"));
        let exact = self.rows.iter().filter(|row| row.path == path);
        let row = match exact.chain(self.rows.iter().filter(ends)).collect::<Vec<_>>()[..] {
            [] => bail!("showing {path}: no such slice in the {} subset", self.about.subset),
            [row] => row,
            // An exact match comes first; it matches by its end as well.
            [row, ..] if row.path == path => row,
            [a, b, ..] => bail!("showing {path}: several slices end so, {} and {} among them", a.path, b.path),
        };
        let one = Self { about: self.about.clone(), rows: vec![row.clone()] };
        one.scan_sheet(manifest, &row.scan, 1)
    }

    /// A polars frame with the columns path, scan, patient, label, covid (probability, 0 to 1) and decision.
    pub fn to_frame(&self) -> Result<DataFrame> {
        let texts = |name: &str, of: &dyn Fn(&SlicePrediction) -> Option<String>| {
            Column::new(name.into(), self.rows.iter().map(of).collect::<Vec<_>>())
        };
        let columns = vec![
            texts("path", &|r| Some(r.path.clone())),
            texts("scan", &|r| Some(r.scan.clone())),
            texts("patient", &|r| r.patient.clone()),
            texts("label", &|r| r.label.map(|l| l.to_string())),
            Column::new("covid".into(), self.rows.iter().map(|r| r.covid).collect::<Vec<_>>()),
            texts("decision", &|r| Some(r.decision().to_string())),
        ];
        DataFrame::new(self.rows.len(), columns).context("making a frame of predictions")
    }

    /// Writes the predictions as Parquet and, for spreadsheets, as CSV; and [`About`] as JSON.
    pub(crate) fn write(&self, folder: &RunFolder) -> Result<()> {
        let subset = self.about.subset;
        let mut frame = self.to_frame()?;
        folder.write_by(Artifact::Predictions(subset), |path| write_frame(&mut frame, path))?;
        folder.write(Artifact::PredictionsAbout(subset), &self.about)?;
        folder.write_by(Artifact::PredictionsCsv(subset), |path| {
            let mut csv = csv::Writer::from_writer(Vec::new());
            csv.write_record(["path", "scan", "patient", "label", "covid", "decision"])?;
            for row in &self.rows {
                let label = row.label.map_or(String::new(), |l| l.to_string());
                let (covid, decision) = (row.covid.to_string(), row.decision().to_string());
                let [path, scan, patient] =
                    [row.path.as_str(), &row.scan, row.patient.as_deref().unwrap_or("")].map(csv_text);
                csv.write_record([path, scan, patient, label, covid, decision])?;
            }
            write_whole(path, &csv.into_inner()?)
        })
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(crate) fn read(folder: &RunFolder, subset: Subset) -> Result<Self> {
        let about: About = folder.read(Artifact::PredictionsAbout(subset))?;
        let path = folder.path_of(Artifact::PredictionsAbout(subset));
        ensure!(about.subset == subset, "{} is of the {} subset", path.display(), about.subset);
        let path = folder.checked(Artifact::Predictions(subset))?;
        let frame = read_frame(&path, "predictions")?;
        let rows = rows_of(&frame).with_context(|| format!("{} does not hold predictions", path.display()))?;
        Ok(Self { about, rows })
    }

    fn table(&self) -> Table {
        let mut table = match self.to_frame() {
            Ok(frame) => {
                Table::from_frame(format!("Predictions of {}: {}", self.about.run, self.about.subset), &frame, 10)
            }
            Err(error) => Table::new(format!("Predictions: {error:#}"), &[]),
        };
        if self.about.leaks.contains(&self.about.subset) {
            table = table.note("LEAKING SPLIT: the network was trained on other slices of these scans.");
        }
        table
    }
}

impl RunFolder {
    /// The predictions of a subset's slices.
    pub fn predictions(&self, subset: Subset) -> Result<Predictions> {
        Predictions::read(self, subset)
    }
}

shown_as_table!(Predictions);

fn rows_of(frame: &DataFrame) -> Result<Vec<SlicePrediction>> {
    let (paths, scans) = (text_column(frame, "path")?, text_column(frame, "scan")?);
    let (patients, labels) = (text_column(frame, "patient")?, text_column(frame, "label")?);
    let covid: Vec<Option<f32>> = frame.column("covid")?.f32()?.iter().collect();
    let row = |i: usize| -> Result<SlicePrediction> {
        let label = match labels[i].as_deref() {
            None => None,
            Some(name) => Some(
                Label::ALL
                    .into_iter()
                    .find(|label| Label::NAMES[label.index()] == name)
                    .with_context(|| format!("row {i}: expected the label covid or non-covid, found {name:?}"))?,
            ),
        };
        let text = |value: &Option<String>, name: &str| value.clone().with_context(|| format!("row {i} has no {name}"));
        Ok(SlicePrediction {
            path: text(&paths[i], "path")?,
            scan: text(&scans[i], "scan")?,
            patient: patients[i].clone(),
            label,
            covid: match covid[i] {
                Some(p) if (0.0..=1.0).contains(&p) => p,
                Some(p) => bail!("row {i}: expected a probability 0 to 1, found {p}"),
                None => bail!("row {i}: expected a probability, found none"),
            },
        })
    };
    (0..frame.height()).map(row).collect()
}
