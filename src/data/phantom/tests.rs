use std::collections::BTreeMap;

use image::ImageReader;
use rayon::ThreadPoolBuilder;

use super::*;
use crate::base::progress::Progress;
use std::sync::atomic::{AtomicUsize, Ordering};

const CHECKS: [&str; 18] = [
    "black-slice",
    "colour",
    "coloured",
    "conflicting-label",
    "empty-file",
    "empty-scan",
    "exact-duplicate",
    "junk-file",
    "low-contrast",
    "missing-slice",
    "nearly-black",
    "not-an-image",
    "odd-size",
    "oversized-header",
    "progressive-jpeg",
    "same-patient",
    "truncated",
    "wrong-format",
];

fn small() -> PhantomConfig {
    PhantomConfig { size: 96, train_scans: 3, val_scans: 3, prediction_scans: 2, slices: 4, ..PhantomConfig::default() }
}

/// All files below a folder with their bytes.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut out, mut open) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                out.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    out
}

fn draw(config: &PhantomConfig, threads: usize) -> (Phantom, BTreeMap<String, Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("phantom");
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let phantom = pool.install(|| draw_phantom(&root, config, |_| {})).unwrap();
    (phantom, tree(&root))
}

fn grey(bytes: &[u8]) -> image::GrayImage {
    image::load_from_memory(bytes).unwrap().to_luma8()
}

#[test]
fn same_bytes_whatever_the_threads() {
    let (a, files) = draw(&small(), 1);
    let (b, again) = draw(&small(), 2);
    assert_eq!(a, b);
    assert!(files == again);
    let (_, other) = draw(&PhantomConfig { seed: 2, ..small() }, 2);
    assert!(files != other);
}

#[test]
fn counts_and_truth_agree_with_the_disk() {
    for config in [small(), PhantomConfig { defects: false, slices: 7, ..small() }] {
        let (phantom, files) = draw(&config, 2);
        let data: Vec<&String> = files.keys().filter(|p| !p.starts_with("truth/") && *p != DESCRIPTION).collect();
        let slices: Vec<&&String> = data.iter().filter(|p| !p.contains("/._")).collect();
        assert_eq!((phantom.files, phantom.slices), (data.len(), slices.len()));
        let folders: BTreeSet<_> = slices.iter().map(|p| p.rsplit_once('/').unwrap().0).collect();
        assert_eq!(phantom.scans, folders.len());
        assert_eq!(phantom.scans, 2 * 3 + 2 * 3 + 2);
        let csv = String::from_utf8(files["truth/patients.csv"].clone()).unwrap();
        let named: BTreeSet<&str> = csv.lines().skip(1).map(|l| l.split_once(',').unwrap().0).collect();
        assert!(named.into_iter().eq(slices.iter().map(|p| p.as_str()).collect::<BTreeSet<_>>()));
    }
}

#[test]
fn every_defect_once_and_in_different_places() {
    for seed in 1..6 {
        for slices in [4, 5, 9] {
            let plan = PhantomPlan::new(&PhantomConfig { seed, slices, ..small() });
            let mut checks: Vec<&str> = plan.defects.iter().map(|d| d.check.as_str()).collect();
            checks.sort_unstable();
            assert_eq!(checks, CHECKS);
            let pairs: Vec<&String> = plan
                .defects
                .iter()
                .filter(|d| matches!(&*d.check, "same-patient" | "conflicting-label"))
                .flat_map(|d| &d.paths)
                .collect();
            // The red arrow is what the colours show.
            let others = plan.defects.iter().filter(|d| !pairs.contains(&&d.paths[0]) && d.check != "coloured");
            let mut seen = BTreeSet::new();
            for path in others.flat_map(|d| &d.paths) {
                assert!(seen.insert(path), "{path} twice");
                assert!(!pairs.iter().any(|p| path.starts_with(&format!("{p}/"))), "{path} lies in a pair");
                assert!(!path.starts_with("prediction/"));
            }
            for class in &scan_plan::FOLDERS[..4] {
                let all = plan.files.iter().filter(|f| f.path.starts_with(&format!("{class}/"))).count();
                let bad = seen.iter().filter(|p| p.starts_with(&format!("{class}/"))).count();
                assert!(2 * bad <= all, "{class}: {bad} of {all}");
            }
        }
    }
}

#[test]
fn defects_are_as_described() {
    let (phantom, files) = draw(&small(), 2);
    let paths = |check: &str| phantom.defects.iter().find(|d| d.check == check).unwrap().paths.clone();
    let first = |check: &str| files[&paths(check)[0]].as_slice();
    assert!(grey(first("black-slice")).pixels().all(|p| p.0[0] == 0));
    assert!(first("junk-file").starts_with(&[0, 5, 0x16, 7]) && first("junk-file").len() == 4096);
    assert!(paths("junk-file")[0].starts_with("val/non-covid/") && paths("black-slice")[0].starts_with("val/covid/"));
    assert!(first("empty-file").is_empty());
    assert!(first("truncated").starts_with(&[0xff, 0xd8]) && !first("truncated").ends_with(&[0xff, 0xd9]));
    assert!(image::load_from_memory(first("not-an-image")).is_err());
    assert!(first("wrong-format").starts_with(b"\x89PNG"));
    assert_eq!(image::load_from_memory(first("colour")).unwrap().color(), image::ColorType::Rgb8);
    assert_eq!(grey(first("odd-size")).dimensions(), (75, 96));
    assert!(!files.contains_key(&paths("missing-slice")[0]));
    assert_eq!(first("exact-duplicate"), files[&paths("exact-duplicate")[1]].as_slice());
    assert!(files.keys().all(|p| !p.starts_with(&paths("empty-scan")[0])));
    let size = ImageReader::new(std::io::Cursor::new(first("oversized-header")))
        .with_guessed_format()
        .unwrap()
        .into_dimensions();
    assert!(size.map_or(true, |s| s == (65_000, 65_000)));
    let levels = |check: &str| {
        let image = grey(first(check));
        let mean = image.pixels().map(|p| f32::from(p.0[0])).sum::<f32>() / (96.0 * 96.0);
        (image.pixels().map(|p| p.0[0]).min().unwrap(), image.pixels().map(|p| p.0[0]).max().unwrap(), mean)
    };
    let (low, high, _) = levels("low-contrast");
    assert!(low >= 97 && high <= 115, "{low}..{high}");
    let (_, high, mean) = levels("nearly-black");
    assert!((5..=22).contains(&high) && mean < 4.0, "{high}, {mean}");
}

#[test]
fn pairs_show_the_same_patient_with_other_pixels() {
    let (phantom, files) = draw(&small(), 2);
    for check in ["same-patient", "conflicting-label"] {
        let d = phantom.defects.iter().find(|d| d.check == check).unwrap();
        let [a, b] = [0, 1].map(|i| grey(&files[&format!("{}/1.jpg", d.paths[i])]));
        let mean = a.iter().zip(b.iter()).map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>() / (96.0 * 96.0);
        assert!(mean > 0.5 && mean < 20.0, "{check}: {mean}");
    }
}

#[test]
fn progressive_file_decodes_to_the_slice() {
    for (width, height) in [(64, 48), (75, 61)] {
        let source: Vec<u8> = (0..width * height)
            .map(|i| (128.0 + 90.0 * ((i % width) as f32 / 9.0).sin() * ((i / width) as f32 / 7.0).cos()) as u8)
            .collect();
        let bytes = defects::progressive_jpeg(&source, width, height, 90).unwrap();
        assert!(bytes.windows(2).any(|w| w == [0xff, 0xc2]));
        let back = grey(&bytes);
        assert_eq!(back.dimensions(), (width as u32, height as u32));
        let worst = source.iter().zip(back.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 12, "{worst}");
    }
}

#[test]
fn refuses_foreign_folders_and_bad_configurations() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine.txt"), "x").unwrap();
    let refused = |config: &PhantomConfig, root: &Path| draw_phantom(root, config, |_| {}).unwrap_err().to_string();
    let message = refused(&small(), dir.path());
    assert!(message.contains("mine.txt") && message.contains(dir.path().to_str().unwrap()), "{message}");
    let root = dir.path().join("new");
    for (bad, word) in [
        (PhantomConfig { size: 63, ..small() }, "size"),
        (PhantomConfig { slices: 3, ..small() }, "slices"),
        (PhantomConfig { quality: 0, ..small() }, "quality"),
        (PhantomConfig { train_scans: 2, ..small() }, "train_scans"),
        (PhantomConfig { val_scans: 2, ..small() }, "val_scans"),
        (PhantomConfig { slices: usize::MAX, ..small() }, "1,000,000 slices in all at most"),
        (PhantomConfig { train_scans: usize::MAX, ..small() }, "1,000,000 slices in all at most"),
        (PhantomConfig { prediction_scans: usize::MAX, ..small() }, "1,000,000 slices in all at most"),
    ] {
        assert!(refused(&bad, &root).contains(word));
    }
    assert!(!root.exists());
}

#[test]
fn a_second_run_returns_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("phantom");
    fs::create_dir_all(dir.path().join("phantom.partial/stale")).unwrap();
    fs::create_dir(&root).unwrap();
    let calls = AtomicUsize::new(0);
    let count = |progress: &Progress| {
        assert!(progress.done <= progress.total);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    let first = draw_phantom(&root, &small(), count).unwrap();
    let drawn = calls.load(Ordering::Relaxed);
    assert!(drawn > 0);
    assert_eq!(draw_phantom(&root, &small(), count).unwrap(), first);
    assert_eq!(calls.load(Ordering::Relaxed), drawn, "the second call drew again");
    assert!(!dir.path().join("phantom.partial").exists());
    let other = PhantomConfig { seed: 9, ..small() };
    assert!(draw_phantom(&root, &other, count).unwrap_err().to_string().contains("another configuration"));
}
