//! A synthetic chest-CT data base in the layout of COV19-CT-DB, for the demo, the tests and the documentation.
//!
//! `train/{covid,non-covid}/ct_scan_N/M.jpg`, `val/...` and `prediction/ct_scan_N/M.jpg`: every scan is a schematic
//! chest whose anatomy belongs to one patient, covid scans carry ground-glass opacities in a part of their slices. On
//! request one defect of every kind that the audit looks for is planted. The same configuration always gives the same
//! bytes. The true patients are written to `truth/patients.csv`, which the library never reads.

mod anatomy;
mod canvas;
mod defects;
mod field_cases;
mod noise;
mod patient;
mod scan_plan;
mod section;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::interrupt::go_on;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::defects::Kind;
use self::noise::{Stream, stream};
use self::patient::Patient;
use self::scan_plan::{File, PhantomPlan};
use crate::base::progress::{Meter, Progress, thousands};

/// Name of the description in the root of a phantom.
const DESCRIPTION: &str = "phantom.json";

/// More than twice as many as the slides' data set has.
const MOST_SLICES: usize = 1_000_000;

/// What to draw. Counts of scans are per class for train and val.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhantomConfig {
    /// Every number in the phantom follows from it.
    pub seed: u64,
    /// Width and height of a slice in pixels, 64..=4096.
    pub size: u32,
    /// Scans in each of train/covid and train/non-covid; at least 3 when defects are on.
    pub train_scans: usize,
    /// Scans in each of val/covid and val/non-covid; at least 3 when defects are on.
    pub val_scans: usize,
    /// Scans in prediction; those with an even number are of covid patients.
    pub prediction_scans: usize,
    /// Mean number of slices of a scan, at least 4, and in all scans together 1,000,000 at most; each scan draws its own within 25 %.
    pub slices: usize,
    /// JPEG quality, 1..=100.
    pub quality: u8,
    /// Plant one defect of every kind that single files and folders have.
    pub defects: bool,
    /// Also draw what real data brings, as further scans: foreign files, wrong views, scans of another orientation, patients
    /// that come again.
    pub field_cases: bool,
}

#[cfg(test)]
impl PhantomConfig {
    /// Drawn in a moment, without defects, for tests of what comes after the audit.
    pub(crate) fn tiny() -> Self {
        Self {
            size: 64,
            train_scans: 4,
            val_scans: 2,
            prediction_scans: 1,
            slices: 4,
            defects: false,
            ..Self::default()
        }
    }
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            size: 512,
            train_scans: 60,
            val_scans: 16,
            prediction_scans: 6,
            slices: 8,
            quality: 90,
            defects: true,
            field_cases: false,
        }
    }
}

impl PhantomConfig {
    /// Refuses a configuration that cannot be drawn.
    fn check(&self) -> Result<()> {
        ensure!((64..=4096).contains(&self.size), "phantom: size must be within 64..=4096 pixels, found {}", self.size);
        ensure!(self.slices >= 4, "phantom: slices must be at least 4 per scan, found {}", self.slices);
        // A scan has up to a quarter more slices than the mean.
        let scans =
            self.train_scans.saturating_add(self.val_scans).saturating_mul(2).saturating_add(self.prediction_scans);
        let slices = scans.saturating_mul(self.slices).saturating_add(scans.saturating_mul(self.slices) / 4);
        ensure!(
            self.slices <= MOST_SLICES && slices <= MOST_SLICES,
            "phantom: expected {} slices in all at most, found {scans} scans of {}",
            thousands(MOST_SLICES as u64),
            self.slices
        );
        ensure!((1..=100).contains(&self.quality), "phantom: quality must be within 1..=100, found {}", self.quality);
        for (name, option, scans) in
            [("train_scans", "--train-scans", self.train_scans), ("val_scans", "--val-scans", self.val_scans)]
        {
            ensure!(
                !self.defects || scans >= 3,
                "phantom: {name} ({option}) must be at least 3 when defects are planted, found {scans}"
            );
        }
        Ok(())
    }
}

/// One planted defect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlantedDefect {
    /// Name of the audit check that must find it.
    pub check: String,
    /// Files or scan folders concerned, relative to the root, with '/'.
    pub paths: Vec<String>,
    /// What was done, in words.
    pub note: String,
}

/// What was drawn; the content of `phantom.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phantom {
    /// The configuration it was drawn from.
    pub config: PhantomConfig,
    /// Scan folders with at least one slice.
    pub scans: usize,
    /// Files named `M.jpg`, whatever they hold.
    pub slices: usize,
    /// All files under the label folders, junk included.
    pub files: usize,
    /// The planted defects; empty when none were asked for.
    pub defects: Vec<PlantedDefect>,
}

/// Draws the phantom of a configuration into the folder `root`, on all threads of the current rayon pool.
///
/// A `root` that already holds the phantom of the same configuration is left alone and its description returned.
/// Everything is drawn into the sibling `<root>.partial`, which is renamed at the end, so that a killed run leaves
/// no half phantom behind.
///
/// # Errors
/// A configuration out of range, a `root` that holds anything else, and failures to write.
pub fn draw_phantom(root: &Path, config: &PhantomConfig, progress: impl Fn(&Progress) + Sync) -> Result<Phantom> {
    draw_phantom_in(root, config, &progress)
}

fn draw_phantom_in(root: &Path, config: &PhantomConfig, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Phantom> {
    config.check()?;
    if let Some(found) = existing(root, config)? {
        return Ok(found);
    }
    let partial = partial_of(root)?;
    match fs::remove_dir_all(&partial) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("removing what a killed run left in {}", partial.display()));
        }
        _ => fs::create_dir_all(&partial).with_context(|| format!("creating {}", partial.display()))?,
    }
    let plan = PhantomPlan::new(config);
    draw_files(&partial, config, &plan, progress)?;
    let mut phantom = describe(config, &plan);
    let mut truth = patients_csv(&plan);
    if config.field_cases {
        let drawn = field_cases::draw(config, &plan)?;
        drawn.files.iter().try_for_each(|(path, bytes)| write(&partial, path, bytes))?;
        truth += &drawn.truth();
        drawn.describe(&mut phantom);
    }
    write(&partial, "truth/patients.csv", truth.as_bytes())?;
    let json = serde_json::to_string_pretty(&phantom).context("describing the phantom")? + "\n";
    write(&partial, DESCRIPTION, json.as_bytes())?;
    if root.exists() {
        fs::remove_dir(root).with_context(|| format!("replacing the empty folder {}", root.display()))?;
    }
    fs::rename(&partial, root).with_context(|| format!("renaming {} to {}", partial.display(), root.display()))?;
    Ok(phantom)
}

/// The phantom that `root` already holds, None where `root` is free to draw into.
fn existing(root: &Path, config: &PhantomConfig) -> Result<Option<Phantom>> {
    let first = match fs::read_dir(root) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("phantom: {} cannot be read as a folder", root.display())),
        Ok(mut entries) => entries.next().transpose().with_context(|| format!("listing {}", root.display()))?,
    };
    let Some(first) = first else { return Ok(None) };
    let path = root.join(DESCRIPTION);
    if !path.is_file() {
        let name = first.file_name();
        bail!(
            "phantom: {} must be missing, empty or hold a {DESCRIPTION} of the same configuration; found {} and other \
             content without {DESCRIPTION}",
            root.display(),
            name.to_string_lossy()
        );
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let found: Phantom = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        found.config == *config,
        "phantom: {} holds a phantom of another configuration; expected {config:?}, found {:?}",
        root.display(),
        found.config
    );
    Ok(Some(found))
}

/// `<root>.partial`, next to `root`.
fn partial_of(root: &Path) -> Result<PathBuf> {
    let name =
        root.file_name().with_context(|| format!("phantom: {} does not end in a folder name", root.display()))?;
    let mut name = name.to_os_string();
    name.push(".partial");
    Ok(root.with_file_name(name))
}

/// Draws and writes all files of the plan.
fn draw_files(
    root: &Path,
    config: &PhantomConfig,
    plan: &PhantomPlan,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<()> {
    let folders = plan.scans.iter().map(|s| &s.folder).chain(&plan.empty);
    for folder in folders.map(|f| root.join(f)) {
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let patients: Vec<Patient> = plan.scans.par_iter().map(|s| Patient::new(config.seed, s.patient, s.covid)).collect();
    let meter = Meter::new("phantom", "files", plan.files.len(), 0, progress);
    plan.files.par_iter().try_for_each(|file| {
        let bytes =
            content(config, plan, &patients[file.scan], file).with_context(|| format!("drawing {}", file.path))?;
        write(root, &file.path, &bytes)?;
        meter.add(1);
        go_on()
    })?;
    meter.finish();
    Ok(())
}

/// The bytes of one file.
fn content(config: &PhantomConfig, plan: &PhantomPlan, patient: &Patient, file: &File) -> Result<Vec<u8>> {
    let scan = &plan.scans[file.scan];
    let size = config.size as usize;
    let t = (file.slice as f32 + 0.5) / scan.slices as f32;
    let mut rng = stream(config.seed, scan.patient as u64, file.slice as u32, scan.variant, Stream::Slice);
    let grey = anatomy::draw_slice(patient, size, t, &mut rng, scan.shift);
    defects::encode(file.kind, grey, size, scan.quality)
}

/// Writes one file below the root, with the folder it needs.
fn write(root: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let path = root.join(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
}

fn describe(config: &PhantomConfig, plan: &PhantomPlan) -> Phantom {
    let slices = || plan.files.iter().filter(|f| f.kind != Kind::Junk);
    let folders: BTreeSet<&str> = slices().filter_map(|f| f.path.rsplit_once('/')).map(|(folder, _)| folder).collect();
    Phantom {
        config: config.clone(),
        scans: folders.len(),
        slices: slices().count(),
        files: plan.files.len(),
        defects: plan.defects.clone(),
    }
}

/// The true patient of every slice file: a header, then `path,patient,source`.
fn patients_csv(plan: &PhantomPlan) -> String {
    let mut out = String::from("path,patient,source\n");
    for file in plan.files.iter().filter(|f| f.kind != Kind::Junk) {
        out += &format!("{},phantom_{:04},phantom\n", file.path, plan.scans[file.scan].patient);
    }
    out
}
