//! Measures the stages that only need the manifest, on a synthetic manifest of any size.

use super::inspect::Inspection;
use super::pixel_measures::{DESCRIPTOR, Descriptor, Picture, zigzag};
use super::samples::{SamplePlace, ScanSamples};
use super::thumbnail::Thumbnail;
use super::{Audit, Check};
use crate::base::errors::{Result, ensure};
use crate::base::files::Digest;
use crate::base::progress::thousands;
use crate::base::table::{Show, Table, shown_as_table};
use crate::data::decode::{ColourMode, Format, Header};
use crate::data::manifest::{Label, Manifest, Set, Slice};
use crate::data::preprocess::Preprocess;
use crate::data::split::Split;
use crate::data::split::{SplitConfig, SplitUnit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Slices of a scan: COV19-CT-DB's 425,824 in 1,975.
const PER_SCAN: usize = 216;
/// One scan in this many shows the patient of the scan before it.
const TWINS: usize = 100;

/// Duration of each stage, and how many of the planted pairs of scans were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Number of slices.
    pub slices: usize,
    /// Pairs of scans that show one patient: planted, true positives, and false positives.
    pub pairs: [usize; 3],
    /// Stage, seconds, and the peak growth of memory up to its end in MiB, the synthetic data included.
    pub stages: Vec<(&'static str, f64, Option<u64>)>,
}

impl Scale {
    /// Makes a manifest of `slices` slices with the results of their inspection, and runs duplicate search, split and
    /// tables on it. The data is seeded and therefore the same every time. `grown` returns the peak growth of the
    /// process in MiB.
    ///
    /// # Errors
    /// Fewer slices than a split needs.
    pub fn measure(slices: usize, grown: impl Fn() -> Option<u64>) -> Result<Self> {
        ensure!(slices >= 40 * PER_SCAN, "expected {} slices or more, found {slices}", 40 * PER_SCAN);
        let (manifest, looked, samples, planted) = synthetic(slices);
        let mut stages = Vec::new();
        let mut begun = Instant::now();
        let mut took = |stage, stages: &mut Vec<_>| {
            stages.push((stage, begun.elapsed().as_secs_f64(), grown()));
            begun = Instant::now();
        };
        let audit = Audit::assembled(manifest, looked, vec![0; 256], samples);
        took("audit: duplicates, look-alikes, findings", &mut stages);
        let accepted = audit.accepted();
        took("accepted slices", &mut stages);
        let by_patient = Split::new(&accepted, &SplitConfig::default())?;
        took("split by patient", &mut stages);
        let slides = SplitConfig { unit: SplitUnit::Slice, stratified: false, ..SplitConfig::default() };
        let by_slice = Split::new(&accepted, &slides)?;
        took("split by slice", &mut stages);
        let shown = [accepted.table(), audit.table(), audit.excluded_table(20), by_patient.table(), by_slice.table()];
        let length: usize = shown.iter().map(|table| table.text().len() + table.html().len()).sum();
        ensure!(length > 1000, "the tables are empty");
        let key = Preprocess::default().cache_key(&accepted.hash());
        ensure!(!key.is_empty(), "a cache without a name");
        took("tables and hash", &mut stages);
        let found: Vec<_> = audit.findings().iter().filter(|f| is_pair(f.check)).collect();
        let right = found.iter().filter(|f| planted.iter().any(|(a, b)| *a == f.path && Some(b) == f.with.as_ref()));
        let right = right.count();
        Ok(Self { slices, pairs: [planted.len(), right, found.len() - right], stages })
    }

    fn table(&self) -> Table {
        let mut table = Table::new(
            format!("{} synthetic slices", thousands(self.slices as u64)),
            &["Stage", "Seconds", "Grown by, MiB"],
        );
        for (stage, seconds, grown) in &self.stages {
            let grown = grown.map_or("–".to_owned(), |mebibytes| mebibytes.to_string());
            table.row([(*stage).to_owned(), format!("{seconds:.2}"), grown]);
        }
        let [planted, right, others] = self.pairs;
        table.note(format!("Pairs of scans of one patient: {right} of {planted} found, and {others} that are none."))
    }
}

shown_as_table!(Scale);

fn is_pair(check: Check) -> bool {
    matches!(check, Check::SamePatient | Check::ConflictingLabel)
}

/// Scans in the proportions of COV19-CT-DB: of 1,975 scans 1,552 train, 374 validate, 49 are to be predicted.
fn folder(scan: usize, scans: usize) -> String {
    let (set, label) = match scan * 1975 / scans {
        0..687 => (Set::Train, Some(Label::Covid)),
        687..1552 => (Set::Train, Some(Label::NonCovid)),
        1552..1717 => (Set::Val, Some(Label::Covid)),
        1717..1926 => (Set::Val, Some(Label::NonCovid)),
        _ => (Set::Prediction, None),
    };
    label.map_or(format!("{set}/ct_scan_{scan}"), |label| format!("{set}/{label}/ct_scan_{scan}"))
}

/// A manifest and inspected slices as if read from folders, and the planted pairs of scans of one patient.
fn synthetic(slices: usize) -> (Manifest, Vec<Inspection>, ScanSamples, Vec<(String, String)>) {
    let samples = ScanSamples::default();
    let scans = slices.div_ceil(PER_SCAN);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let header = Header { format: Format::Jpeg, width: 512, height: 512, colour: ColourMode::Grey };
    let folders: Vec<String> = (0..scans).map(|scan| folder(scan, scans)).collect();
    let (mut listed, mut looked) = (Vec::with_capacity(slices), Vec::with_capacity(slices));
    let (mut planted, mut patient) = (Vec::new(), [[0.0; DESCRIPTOR]; 2]);
    for scan in 0..scans {
        let of_scan = PER_SCAN.min(slices - scan * PER_SCAN);
        let is_twin = scan > 0 && scan % TWINS == 0;
        if is_twin {
            planted.push((folders[scan - 1].clone(), folders[scan].clone()));
        } else {
            patient = [frequencies(&mut rng), frequencies(&mut rng)];
        }
        let sampled = sampled(of_scan);
        for number in 0..of_scan {
            let path = format!("{}/{number}.jpg", folders[scan]);
            let sha256 = Digest::of(path.as_bytes());
            let (file, number_) = (format!("{number}.jpg"), Some(number as u32));
            listed.push(Slice {
                scan,
                file,
                at: None,
                frame: None,
                number: number_,
                bytes: 98_816,
                header: Some(header),
                sha256,
            });
            let height = number as f32 / PER_SCAN as f32;
            let mixed: [f32; DESCRIPTOR] = std::array::from_fn(|k| {
                let turn = std::f32::consts::FRAC_PI_2 * height;
                let noise = if is_twin { 0.03 * strength(k) * (rng.r#gen::<f32>() - 0.5) } else { 0.0 };
                patient[0][k] * turn.cos() + patient[1][k] * turn.sin() + noise
            });
            let length = mixed.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            let descriptor = Descriptor::packed(&mixed.map(|v| v / length));
            let pixels = rng.r#gen::<u128>().to_le_bytes();
            let mut look = Inspection {
                picture: Some(Picture { pixels, descriptor }),
                // A sample's alone, since drawing takes time.
                thumbnail: sampled.contains(&number).then(|| Box::new(chest(&mixed, height))),
                ..Inspection::default()
            };
            let place = SamplePlace::of(number, of_scan);
            samples.offer(looked.len(), place, &listed[looked.len()], &mut look);
            looked.push(look);
        }
    }
    (Manifest::of_folders("synthetic", folders, listed), looked, samples, planted)
}

/// The slices of a scan of so many that stay among the samples.
fn sampled(of: usize) -> BTreeSet<usize> {
    let mut best: BTreeMap<usize, (SamplePlace, usize)> = BTreeMap::new();
    for rank in 0..of {
        let place = SamplePlace::of(rank, of);
        let best = best.entry(place.part()).or_insert((place, rank));
        *best = (*best).min((place, rank));
    }
    best.into_values().map(|(_, rank)| rank).collect()
}

/// Bright dots in a drawn slice.
const VESSELS: usize = 40;

/// A body with two lungs, whose shapes and contents the frequencies give.
fn chest(of: &[f32; DESCRIPTOR], height: f32) -> Thumbnail {
    let wave = |k: usize, at: f32| (std::f32::consts::PI * k as f32 * at).cos();
    let side = Thumbnail::SIDE;
    let waves: Vec<Vec<f32>> =
        (0..12).map(|k| (0..side).map(|at| wave(k, (at as f32 + 0.5) / side as f32)).collect()).collect();
    // Across first, then down.
    let mut columns = vec![[0.0_f32; Thumbnail::SIDE]; 12];
    for (k, (value, &(across, down))) in of.iter().zip(zigzag()).enumerate() {
        let level = 25.0 * value / strength(k).sqrt();
        columns[down].iter_mut().zip(&waves[across]).for_each(|(sum, wave)| *sum += level * wave);
    }
    let size = (0.6 + 0.4 * (std::f32::consts::PI * height).sin()) * (1.0 + 0.05 * of[3]);
    let mut chest = Thumbnail(std::array::from_fn(|y| {
        std::array::from_fn(|x| {
            let (across, down) = ((x as f32 + 0.5) / side as f32 - 0.5, (y as f32 + 0.5) / side as f32 - 0.5);
            let inside = |middle: f32, width: f32, height: f32| {
                ((across - middle) / width).powi(2) + (down / height).powi(2) < 1.0
            };
            let texture: f32 = columns.iter().zip(&waves).map(|(column, wave)| column[x] * wave[y]).sum();
            let lungs = [-0.19, 0.19].into_iter().any(|middle| inside(middle, 0.15 * size, 0.22 * size));
            let level = match (lungs, inside(0.0, 0.42 + 0.02 * of[5], 0.33 + 0.02 * of[6])) {
                (true, _) => 40.0 + texture,
                (false, true) => 150.0 + texture,
                (false, false) => 0.0,
            };
            level.clamp(0.0, 255.0)
        })
    }));
    // Vessels, by which real patients differ: where they lie changes slowly along the body.
    let place = |k: usize| {
        let at = 0.5 + 0.3 * (3.0 * of[k % DESCRIPTOR] / strength(k % DESCRIPTOR)).sin();
        (at * side as f32) as usize
    };
    for vessel in 0..VESSELS {
        let (x, y) = (place(2 * vessel), place(2 * vessel + 1));
        chest.0[y..y + 2].iter_mut().for_each(|row| row[x..x + 2].fill(200.0));
    }
    chest
}

/// Low frequencies are strong and high ones weak, as in natural images.
fn strength(frequency: usize) -> f32 {
    1.0 / (1.0 + frequency as f32 / 4.0)
}

fn frequencies(rng: &mut ChaCha8Rng) -> [f32; DESCRIPTOR] {
    // The sum of twelve uniform numbers is close enough to a normal distribution.
    let mut normal = || (0..12).map(|_| rng.r#gen::<f32>()).sum::<f32>() - 6.0;
    std::array::from_fn(|k| strength(k) * normal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_pairs_are_found_and_no_others() {
        let scale = Scale::measure(60_000, || None).expect("measures");
        let [planted, right, others] = scale.pairs;
        assert_eq!((planted, right, others), (2, 2, 0), "{scale}");
        assert_eq!(scale.stages.len(), 5);
    }
}
