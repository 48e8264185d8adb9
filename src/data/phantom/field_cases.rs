//! What real data brings beyond damaged files, drawn as further scans beside the planned ones: each kind of case has a
//! file of its own below this one.

use super::noise::{Stream, stream};
use super::patient::Patient;
use super::scan_plan::{FOLDERS, PhantomPlan};
use super::{Phantom, PhantomConfig, PlantedDefect, anatomy, defects};
use crate::base::errors::Result;
use rayon::prelude::*;

mod folders;
mod foreign_files;
mod pictures;
mod twins;
mod whole_scans;

/// Slices of a scan that is drawn for a case.
const SLICES: usize = 8;

/// Draws every kind of case.
pub(super) fn draw(config: &PhantomConfig, plan: &PhantomPlan) -> Result<CaseDrawing> {
    let mut drawing = CaseDrawing::beside(config, plan);
    // Not of every patient is a wrong scan told (docs/data.md has the rates); of those that follow these it is.
    drawing.patient += 7;
    whole_scans::draw(&mut drawing)?;
    pictures::draw(&mut drawing)?;
    foreign_files::draw(&mut drawing)?;
    folders::draw(&mut drawing)?;
    // As above, of the twins that are turned.
    drawing.patient += 1;
    twins::draw(&mut drawing)?;
    // New cases come last, so that the others' patients stay the same.
    folders::derived_pictures(&mut drawing)?;
    whole_scans::two_patients(&mut drawing)?;
    pictures::altered(&mut drawing)?;
    Ok(drawing)
}

/// The grey levels of a slice, row by row, `size` × `size`.
type Grey = Vec<u8>;

/// Files and notes of the cases drawn so far.
pub(super) struct CaseDrawing {
    config: PhantomConfig,
    /// The next free number of a scan in each of [`FOLDERS`].
    numbers: [usize; 5],
    /// The next patient, other than those of the plan.
    patient: usize,
    /// Path and content.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Path of each slice, and its patient.
    patients: Vec<(String, usize)>,
    /// Folders with slices.
    scans: usize,
    notes: Vec<PlantedDefect>,
}

impl CaseDrawing {
    fn beside(config: &PhantomConfig, plan: &PhantomPlan) -> Self {
        let number = |class: usize| {
            let folder = format!("{}/ct_scan_", FOLDERS[class]);
            let drawn = plan.scans.iter().map(|scan| &scan.folder).chain(&plan.empty);
            let numbers = drawn.filter_map(|path| path.strip_prefix(&folder)?.parse::<usize>().ok());
            numbers.max().map_or(0, |last| last + 1)
        };
        Self {
            config: config.clone(),
            numbers: std::array::from_fn(number),
            patient: plan.scans.len(),
            files: Vec::new(),
            patients: Vec::new(),
            scans: 0,
            notes: Vec::new(),
        }
    }

    /// Width and height of a slice in pixels.
    fn size(&self) -> usize {
        self.config.size as usize
    }

    /// A patient whom no scan shows yet.
    fn new_patient(&mut self) -> usize {
        self.patient += 1;
        self.patient - 1
    }

    /// The folder of a new scan in one of the first four [`FOLDERS`].
    fn new_folder(&mut self, class: usize) -> String {
        self.numbers[class] += 1;
        format!("{}/ct_scan_{}", FOLDERS[class], self.numbers[class] - 1)
    }

    /// `count` slices of a patient, evenly spaced from the first to the last. `variant` gives another noise.
    fn slices(&self, patient: usize, class: usize, count: usize, variant: u16) -> Vec<Grey> {
        let of = Patient::new(self.config.seed, patient, class.is_multiple_of(2));
        let slice = |slice: usize| {
            let mut noise = stream(self.config.seed, patient as u64, slice as u32, variant, Stream::Slice);
            anatomy::draw_slice(&of, self.size(), (slice as f32 + 0.5) / count as f32, &mut noise, [0, 0])
        };
        (0..count).into_par_iter().map(slice).collect()
    }

    /// A new scan of a patient as `0.jpg`, `1.jpg`, …; its folder.
    fn scan(&mut self, patient: usize, class: usize, slices: &[Grey]) -> Result<String> {
        let folder = self.new_folder(class);
        self.scans += 1;
        for (number, grey) in slices.iter().enumerate() {
            let bytes = self.jpeg(grey)?;
            self.slice_file(format!("{folder}/{number}.jpg"), patient, bytes);
        }
        Ok(folder)
    }

    /// A scan of a patient of its own, with nothing wrong.
    fn healthy_scan(&mut self, class: usize) -> Result<String> {
        let patient = self.new_patient();
        let slices = self.slices(patient, class, SLICES, 0);
        self.scan(patient, class, &slices)
    }

    /// A JPEG of `size` × `size` pixels.
    fn jpeg(&self, grey: &[u8]) -> Result<Vec<u8>> {
        defects::jpeg(grey, self.size(), self.size(), self.config.quality)
    }

    /// Adds a file that stands for a slice of a patient.
    fn slice_file(&mut self, path: String, patient: usize, bytes: Vec<u8>) {
        self.patients.push((path.clone(), patient));
        self.files.push((path, bytes));
    }

    /// Says which check must find what.
    fn note(&mut self, check: &str, paths: &[&str], note: &str) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        self.notes.push(PlantedDefect { check: check.to_owned(), paths, note: note.to_owned() });
    }

    /// The lines of `truth/patients.csv`.
    pub(super) fn truth(&self) -> String {
        self.patients.iter().map(|(path, patient)| format!("{path},phantom_{patient:04},phantom\n")).collect()
    }

    /// Adds what was drawn to the description.
    pub(super) fn describe(self, phantom: &mut Phantom) {
        phantom.scans += self.scans;
        phantom.slices += self.patients.len();
        phantom.files += self.files.len();
        phantom.defects.extend(self.notes);
    }
}
