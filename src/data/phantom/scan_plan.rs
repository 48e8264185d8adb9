//! The plan of a phantom: every scan folder and every file, decided before anything is drawn.

use rand::Rng;

use super::defects::{Kind, plant};
use super::noise::{Stream, stream};
use super::{PhantomConfig, PlantedDefect};

/// The class folders in their order, with the true class of the scans in them (prediction: by turns).
pub(super) const FOLDERS: [&str; 5] = ["train/covid", "train/non-covid", "val/covid", "val/non-covid", "prediction"];

/// One scan folder.
#[derive(Debug, Clone)]
pub(super) struct PlannedScan {
    /// Index into [`FOLDERS`].
    pub class: usize,
    /// `train/covid/ct_scan_0`.
    pub folder: String,
    pub patient: usize,
    pub covid: bool,
    /// Number of regular slices.
    pub slices: usize,
    /// 0 for the first scan of a patient; another noise stream for a second one.
    pub variant: u16,
    /// Pixels to the right and down.
    pub shift: [i32; 2],
    /// JPEG quality.
    pub quality: u8,
}

/// One file to write.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Relative to the root, with '/'.
    pub path: String,
    /// The scan and the slice whose anatomy it shows.
    pub scan: usize,
    pub slice: usize,
    pub kind: Kind,
}

/// The whole phantom before it is drawn.
#[derive(Debug, Clone, Default)]
pub(super) struct PhantomPlan {
    pub scans: Vec<PlannedScan>,
    pub files: Vec<File>,
    /// Folders without files.
    pub empty: Vec<String>,
    pub defects: Vec<PlantedDefect>,
}

impl PhantomPlan {
    /// The plan of a checked configuration.
    pub fn new(config: &PhantomConfig) -> Self {
        let mut plan = Self { scans: scans(config), ..Self::default() };
        if config.defects {
            plan.pair(config);
        }
        for (s, scan) in plan.scans.iter().enumerate() {
            let path = |m: usize| format!("{}/{m}.jpg", scan.folder);
            plan.files.extend((0..scan.slices).map(|m| File { path: path(m), scan: s, slice: m, kind: Kind::Plain }));
        }
        if config.defects {
            plant(&mut plan, config);
        }
        plan
    }

    /// Index of scan `n` of a class folder.
    pub fn scan(&self, class: usize, n: usize) -> usize {
        self.scans.iter().take_while(|s| s.class < class).count() + n
    }

    /// Notes a planted defect.
    pub fn note(&mut self, check: &str, paths: Vec<String>, note: &str) {
        self.defects.push(PlantedDefect { check: check.into(), paths, note: note.into() });
    }

    /// Makes two scans show a patient again: the last val/non-covid scan and the last train/non-covid scan.
    fn pair(&mut self, config: &PhantomConfig) {
        let train = self.scan(1, config.train_scans - 2);
        let val = self.scan(3, config.val_scans - 1);
        self.repeat(train, val, [2, -1], config.quality.saturating_sub(12).max(1));
        let paths = [train, val].map(|s| self.scans[s].folder.clone()).to_vec();
        self.note(
            "same-patient",
            paths,
            "one patient in train and val: other noise, JPEG quality and a shift of 2 and 1 pixels",
        );

        let covid = self.scan(0, config.train_scans - 1);
        let other = self.scan(1, config.train_scans - 1);
        self.repeat(covid, other, [-1, 1], config.quality.saturating_sub(8).max(1));
        let paths = [covid, other].map(|s| self.scans[s].folder.clone()).to_vec();
        self.note("conflicting-label", paths, "one patient, lesions included, under both labels");
    }

    /// Turns scan `copy` into a second scan of the patient of `source`.
    fn repeat(&mut self, source: usize, copy: usize, shift: [i32; 2], quality: u8) {
        let from = self.scans[source].clone();
        let to = &mut self.scans[copy];
        *to =
            PlannedScan { class: to.class, folder: std::mem::take(&mut to.folder), variant: 1, shift, quality, ..from };
    }
}

fn scans(config: &PhantomConfig) -> Vec<PlannedScan> {
    let counts = [config.train_scans, config.train_scans, config.val_scans, config.val_scans, config.prediction_scans];
    let mut rng = stream(config.seed, 0, 0, 0, Stream::PhantomPlan);
    // At least 4 slices, and within 25 % of the mean.
    let (low, high) = ((config.slices * 3).div_ceil(4).max(4), (config.slices * 5 / 4).max(4));
    let mut out: Vec<PlannedScan> = Vec::new();
    for (class, &count) in counts.iter().enumerate() {
        for n in 0..count {
            out.push(PlannedScan {
                class,
                folder: format!("{}/ct_scan_{n}", FOLDERS[class]),
                patient: out.len(),
                covid: if class == 4 { n % 2 == 0 } else { class % 2 == 0 },
                slices: rng.gen_range(low..=high),
                variant: 0,
                shift: [0, 0],
                quality: config.quality,
            });
        }
    }
    out
}
