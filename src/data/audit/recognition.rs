//! Measures how many altered copies of scans the audit finds again.

use super::findings::same_patients;
use super::inspect::{Inspection, brightness_finding};
use super::pixel_measures::{Levels, PixelMeasure};
use super::samples::{SamplePlace, ScanSamples};
use super::{Check, Finding, Severity};
use crate::base::errors::{Context, Result, ensure};
use crate::base::progress::{Meter, Progress, thousands};
use crate::base::table::{Table, shown_as_table};
use crate::data::alteration::Alteration;
use crate::data::decode::decode_grey;
use crate::data::manifest::{Manifest, Scan, Slice};
use crate::data::pixels::GreyImage;
use crate::data::window::Window;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Quality of the JPEG that an altered slice is saved as.
const QUALITY: u8 = 85;

/// How many copies of scans were found among all scans of a data set, for each way in which they were altered.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognition {
    /// Scans of the data set, and slices.
    pub scans: usize,
    /// Slices of the data set.
    pub slices: usize,
    /// Scans that were copied.
    pub copied: usize,
    /// Pairs of scans found in the data set as it is, of one patient by `patients.csv` and of different patients.
    pub before: [usize; 2],
    /// Alteration, scans whose copies were not found, and further pairs of scans of different patients.
    pub rows: Vec<(&'static str, Vec<String>, Vec<String>)>,
    /// Pairs of different patients found in the data set as it is.
    pub doubtful: Vec<String>,
}

impl Recognition {
    /// Copies `copied` scans drawn by `seed` with each alteration in turn, saves the slices as JPEG again, and audits the data
    /// set with these copies for scans of one patient. Files are read, never written.
    ///
    /// # Errors
    /// A file that cannot be read, and a data set of fewer scans than are to be copied.
    pub fn measure(manifest: &Manifest, copied: usize, seed: u64, progress: impl Fn(&Progress) + Sync) -> Result<Self> {
        let filled: Vec<usize> =
            (0..manifest.scans.len()).filter(|scan| manifest.slices.iter().any(|s| s.scan == *scan)).collect();
        ensure!(filled.len() >= copied, "expected {copied} scans to copy or more, found {}", filled.len());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let chosen: BTreeSet<usize> = sample(&mut rng, filled.len(), copied).into_iter().map(|at| filled[at]).collect();
        let meter = Meter::new("recognition", "alterations", 1 + Alteration::ALL.len(), 0, &progress);
        let (originals, pictures) = manifest.each_slice(|_, slice, contents| {
            let Ok(pixels) = manifest.decoded(slice, contents) else { return Ok((None, None)) };
            let image = pixels.into_grey(Window::LUNG);
            let kept = chosen.contains(&slice.scan).then(|| image.clone());
            Ok((Some(Box::new(PixelMeasure::of(&image, &Levels::none()))), kept))
        })?;
        let found = pairs(manifest, &originals)?;
        let different = |pair: &(usize, usize)| !is_one_patient(manifest, pair);
        let (wrong, right): (Vec<_>, Vec<_>) = found.iter().partition(|pair| different(pair));
        meter.add(1);
        let mut rows = Vec::new();
        for alteration in Alteration::ALL {
            rows.push(with_copies(manifest, &originals, &pictures, &chosen, &found, *alteration)?);
            meter.add(1);
        }
        meter.finish();
        Ok(Self {
            scans: filled.len(),
            slices: manifest.slices.len(),
            copied,
            before: [right.len(), wrong.len()],
            rows,
            doubtful: wrong.into_iter().map(|pair| named(manifest, pair)).collect(),
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::new(
            format!("Altered copies of {} of {} scans", self.copied, thousands(self.scans as u64)),
            &["Alteration", "Found", "Further pairs of different patients"],
        );
        for (name, missed, wrong) in &self.rows {
            let found = self.copied - missed.len();
            table.row([(*name).to_owned(), format!("{found} of {}", self.copied), wrong.len().to_string()]);
        }
        let [right, wrong] = self.before;
        table.note(format!(
            "{} slices. Without copies: {right} pairs of scans of one patient by the truth, {wrong} of different patients.",
            thousands(self.slices as u64)
        ))
    }
}

shown_as_table!(Recognition);

type Measured = Option<Box<PixelMeasure>>;

/// Scans whose copies were not found, and pairs of different patients.
fn with_copies(
    manifest: &Manifest,
    originals: &[Measured],
    pictures: &[Option<GreyImage>],
    chosen: &BTreeSet<usize>,
    before: &[(usize, usize)],
    alteration: Alteration,
) -> Result<(&'static str, Vec<String>, Vec<String>)> {
    let mut with = manifest.clone();
    let copy_of: BTreeMap<usize, usize> = chosen.iter().copied().zip(manifest.scans.len()..).collect();
    for (&scan, copy) in &copy_of {
        let of = &manifest.scans[scan];
        let patient = Some(patient_of(of).to_owned());
        with.scans.push(Scan { folder: format!("{}-copy-{copy}", of.folder), patient, ..of.clone() });
    }
    let copies: Vec<usize> = (0..pictures.len()).filter(|&slice| pictures[slice].is_some()).collect();
    for &slice in &copies {
        let of = &manifest.slices[slice];
        with.slices.push(Slice { scan: copy_of[&of.scan], ..of.clone() });
    }
    let altered = |&slice: &usize| -> Result<Measured> {
        let Some(picture) = &pictures[slice] else { return Ok(None) };
        let image = saved_again(&alteration.of(picture))?;
        Ok(Some(Box::new(PixelMeasure::of(&image, &Levels::none()))))
    };
    let measured = copies.par_iter().map(altered).collect::<Result<Vec<_>>>()?;
    let all: Vec<Measured> = originals.iter().cloned().chain(measured).collect();
    let found = pairs(&with, &all)?;
    let group = groups(&found);
    let is_found = |(scan, copy): (&usize, &usize)| group.get(scan).is_some_and(|of| Some(of) == group.get(copy));
    let wrong = found.iter().filter(|pair| !before.contains(pair) && !is_one_patient(&with, pair));
    let wrong = wrong.map(|pair| named(&with, pair)).collect();
    let missed = copy_of.iter().filter(|pair| !is_found(*pair));
    Ok((alteration.name, missed.map(|(scan, _)| manifest.scans[*scan].folder.clone()).collect(), wrong))
}

fn saved_again(image: &GreyImage) -> Result<GreyImage> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(&image.pixels, image.width, image.height, ExtendedColorType::L8)
        .context("writing a JPEG")?;
    decode_grey(&bytes).context("reading a JPEG again")
}

/// The pairs of scans that the audit takes for one patient.
fn pairs(manifest: &Manifest, measured: &[Measured]) -> Result<Vec<(usize, usize)>> {
    let samples = ScanSamples::default();
    let places = SamplePlace::of_all(manifest.slices.iter().map(|of| (of.scan, of.number.is_some())));
    let look = |((index, slice), measure): ((usize, &Slice), &Measured)| {
        let mut look = Inspection::default();
        // A wide window is no reason to leave a slice out.
        let is_out = |measure: &PixelMeasure| {
            brightness_finding(measure).is_some_and(|(check, _)| check.severity() == Severity::Exclude)
        };
        if let Some(measure) = measure.clone().filter(|measure| !is_out(measure)) {
            look.picture = Some(measure.picture);
            look.thumbnail = Some(measure.thumbnail);
        }
        samples.offer(index, places[index], slice, &mut look);
        look
    };
    let looked: Vec<Inspection> = manifest.slices.iter().enumerate().zip(measured).map(look).collect();
    let scan_of: BTreeMap<&str, usize> = manifest.scans.iter().map(|scan| scan.folder.as_str()).zip(0..).collect();
    let pair = |finding: &Finding| {
        let with = finding.with.as_deref().context("a pair of one scan")?;
        Ok((scan_of[finding.path.as_str()], scan_of[with]))
    };
    let found = same_patients(manifest, &looked, samples);
    found.iter().filter(|of| matches!(of.check, Check::SamePatient | Check::ConflictingLabel)).map(pair).collect()
}

fn is_one_patient(manifest: &Manifest, &(a, b): &(usize, usize)) -> bool {
    patient_of(&manifest.scans[a]) == patient_of(&manifest.scans[b])
}

fn named(manifest: &Manifest, &(a, b): &(usize, usize)) -> String {
    format!("{} and {}", manifest.scans[a].folder, manifest.scans[b].folder)
}

/// A scan of nobody known is one of its own patient.
fn patient_of(scan: &Scan) -> &str {
    scan.patient.as_deref().unwrap_or(&scan.folder)
}

/// Of each scan in a pair the number of its group.
fn groups(pairs: &[(usize, usize)]) -> BTreeMap<usize, usize> {
    let mut group: BTreeMap<usize, usize> = BTreeMap::new();
    for &(a, b) in pairs {
        let (of_a, of_b) = (*group.entry(a).or_insert(a), *group.entry(b).or_insert(b));
        group.values_mut().filter(|of| **of == of_b).for_each(|of| *of = of_a);
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::phantom::{PhantomConfig, draw_phantom};
    use std::path::Path;

    /// Every copy is found but for a third of the cropped ones, and no two patients are taken for one.
    fn all_are_found(root: &Path, copied: usize, at_least: usize) {
        let manifest = Manifest::scan(root, |_| ()).expect("scans");
        let found = Recognition::measure(&manifest, copied, 1, |_| ()).expect("measures");
        assert_eq!(found.rows.len(), Alteration::ALL.len());
        for (name, missed, wrong) in &found.rows {
            // A placement that is a little off is taken for one that is stretched.
            let at_least = if name.contains("cropped") { 2 * at_least / 3 } else { at_least };
            assert!(
                copied - missed.len() >= at_least && wrong.is_empty(),
                "{name}: {missed:?}, {wrong:?} wrong\n{found}"
            );
        }
        assert!(1000 * found.before[1] <= found.scans, "{:?}", found.doubtful);
    }

    #[test]
    fn altered_copies_of_a_phantoms_scans_are_found_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("data");
        let config = PhantomConfig {
            size: 160,
            train_scans: 8,
            val_scans: 4,
            prediction_scans: 0,
            slices: 4,
            defects: false,
            ..PhantomConfig::default()
        };
        draw_phantom(&root, &config, |_| ()).expect("draws");
        all_are_found(&root, 6, 6);
    }
}
