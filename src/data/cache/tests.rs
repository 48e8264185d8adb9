use super::*;
use crate::data::decode::encode_png;
use crate::data::phantom::{PhantomConfig, draw_phantom};
use crate::data::preprocess::WithoutLungs;
use std::fs;

/// Neck, chest or abdomen: an ellipse of tissue, with lungs, with a trachea only, or with nothing in it.
#[derive(Clone, Copy)]
enum Part {
    Neck,
    Chest,
    Abdomen,
}

const SIDE: u32 = 160;

/// `look` makes slices differ.
fn drawn(part: Part, look: u32) -> Vec<u8> {
    let holds = |[cx, cy, rx, ry]: [f64; 4], x: f64, y: f64| ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) <= 1.0;
    let level = |x: f64, y: f64| {
        let air: &[[f64; 4]] = match part {
            Part::Neck => &[[0.5, 0.42, 0.04, 0.04]],
            Part::Chest => &[[0.31, 0.48, 0.13, 0.24], [0.69, 0.48, 0.13, 0.24]],
            Part::Abdomen => &[],
        };
        match (holds([0.5, 0.5, 0.46, 0.36], x, y), air.iter().any(|air| holds(*air, x, y))) {
            (false, _) => 10,
            (true, true) => 55,
            (true, false) => 180 + look as u8,
        }
    };
    let place = |at: u32| (f64::from(at) + 0.5) / f64::from(SIDE);
    (0..SIDE * SIDE).map(|at| level(place(at % SIDE), place(at / SIDE))).collect()
}

/// Two scans: one of the whole trunk, one of an abdomen.
fn trunk(folder: &Path) -> Manifest {
    let scans = [vec![Part::Neck, Part::Chest, Part::Chest, Part::Abdomen], vec![Part::Abdomen, Part::Abdomen]];
    for (number, parts) in scans.iter().enumerate() {
        let scan = folder.join(format!("train/covid/ct_scan_{number}"));
        fs::create_dir_all(&scan).expect("a folder");
        for (slice, part) in parts.iter().enumerate() {
            let png = encode_png(SIDE, &drawn(*part, (10 * number + slice) as u32)).expect("encodes");
            fs::write(scan.join(format!("{slice}.png")), png).expect("writes");
        }
    }
    Manifest::scan(folder, |_| ()).expect("scans")
}

fn cropped(storage: Storage) -> Preprocess {
    Preprocess { size: 48, storage, crop: Crop::LUNGS, stretch: Stretch::LungToTissue, ..Preprocess::default() }
}

fn built(folder: &Path, manifest: &Manifest, preprocess: &Preprocess) -> SliceCache {
    SliceCache::open_or_build(folder, manifest, preprocess, |_| ()).expect("builds")
}

#[test]
fn slices_of_neck_and_abdomen_have_no_lungs_and_no_scan_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = trunk(&folder.path().join("data"));
    let all: Vec<usize> = (0..6).collect();
    let [packed, raw] = [Storage::Packed, Storage::Raw].map(|storage| {
        let cache = built(folder.path(), &manifest, &cropped(storage));
        let found: Vec<_> = all.iter().map(|slice| cache.has_lungs(*slice).expect("a row")).collect();
        assert_eq!(found, [false, true, true, false, false, false].map(Some));
        assert_eq!(cache.with_lungs(&all).expect("rows"), [1, 2, 4, 5]);
        // In the order that is asked for; of slices that are all without lungs none is left out.
        assert_eq!(cache.with_lungs(&[5, 3, 2, 0, 1]).expect("rows"), [5, 2, 1]);
        assert_eq!(cache.with_lungs(&[3, 0]).expect("rows"), [3, 0]);
        assert_eq!(cache.used(&all).expect("rows"), all, "kept unless the settings say otherwise");
        assert!(cache.has_lungs(6).is_err() && cache.with_lungs(&[6]).is_err());
        cache
    });
    for slice in all.clone() {
        assert_eq!(packed.pixels(slice).expect("a row"), raw.pixels(slice).expect("a row"));
    }
    // Tissue between the lungs is where it is stretched to; the lungs take 160 / 113 of the place in each direction.
    assert_eq!(packed.pixels(1).expect("chest")[24 * 48 + 24], 220);
    let stretched = Preprocess { crop: Crop::Whole, ..cropped(Storage::Raw) };
    let stretched = built(folder.path(), &manifest, &stretched);
    let lung = |of: &SliceCache| of.pixels(1).expect("chest").iter().filter(|level| **level == 20).count() as f64;
    let times = lung(&packed) / lung(&stretched);
    assert!((1.7..2.3).contains(&times), "{times}");
    let left_out = Preprocess { without_lungs: WithoutLungs::LeaveOut, ..cropped(Storage::Raw) };
    let found = SliceCache::open_or_build(folder.path(), &manifest, &left_out, |_| panic!("built again"));
    assert_eq!(found.expect("opens").used(&all).expect("rows"), [1, 2, 4, 5]);
    let whole = built(folder.path(), &manifest, &Preprocess { size: 48, ..Preprocess::default() });
    assert_eq!((whole.has_lungs(1).expect("a row"), whole.with_lungs(&all).expect("rows")), (None, all));
}

fn equal(a: &SliceCache, b: &SliceCache) {
    for slice in 0..b.manifest().slices.len() {
        assert_eq!(a.pixels(slice).expect("a row"), b.pixels(slice).expect("a row"), "slice {slice}");
        assert_eq!(a.has_lungs(slice).expect("a row"), b.has_lungs(slice).expect("a row"), "slice {slice}");
    }
}

#[test]
fn cropped_slices_are_the_same_after_a_kill_and_with_one_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = PhantomConfig {
        size: 96,
        train_scans: 7,
        val_scans: 3,
        prediction_scans: 2,
        defects: false,
        ..PhantomConfig::default()
    };
    let root = folder.path().join("data");
    draw_phantom(&root, &config, |_| ()).expect("draws");
    let (accepted, preprocess) = (Manifest::scan(&root, |_| ()).expect("scans"), cropped(Storage::Packed));
    let whole = built(&folder.path().join("whole"), &accepted, &preprocess);
    let lungs = (0..accepted.slices.len()).filter(|slice| whole.has_lungs(*slice).expect("a row") == Some(true));
    assert!(lungs.count() * 2 > accepted.slices.len(), "phantoms have lungs");
    // A kill after the first block: the others are made by the same rule.
    let killed = folder.path().join("killed");
    let (place, index) = planned(&killed, &accepted, &preprocess);
    let building = crate::data::rows::Building::begin(&place, |_| ()).expect("begins").expect("rows to build");
    let block = building.missing()[0].clone();
    assert!(block.len() < accepted.slices.len(), "more than one block");
    let of_whole = |slice: usize| {
        let mut bytes = Vec::new();
        whole.rows().read(&[slice], &mut bytes).expect("a row");
        (bytes, whole.rows().mark(slice).expect("a row"))
    };
    let rows: Vec<(Vec<u8>, u8)> = block.clone().map(of_whole).collect();
    building.put(&block, rows.iter().map(|(bytes, mark)| (bytes.as_slice(), *mark))).expect("puts");
    drop(building);
    assert!(!place.is_built());
    equal(&built(&killed, &accepted, &preprocess), &whole);
    assert_eq!(index.crop, Crop::LUNGS);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    equal(&pool.install(|| built(&folder.path().join("slow"), &accepted, &preprocess)), &whole);
}

#[test]
fn a_sheet_says_how_slices_were_cropped_and_where_no_lungs_were_found() {
    use crate::data::split::SplitConfig;
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = trunk(&folder.path().join("data"));
    let cache = built(folder.path(), &manifest, &cropped(Storage::Raw));
    let split = Split::new(&manifest, &SplitConfig { test_fraction: 0.0, ..SplitConfig::default() }).expect("splits");
    let subset = Subset::ALL.into_iter().find(|of| !split.slices(*of).is_empty()).expect("slices");
    let sheet = cache.contact_sheet(&split, subset, 6).expect("a sheet");
    let of_subset = split.slices(subset);
    let without = of_subset.iter().filter(|slice| cache.has_lungs(**slice).expect("a row") == Some(false)).count();
    assert!(without > 0);
    assert_eq!(sheet.svg().matches("no lungs found:").count(), without);
    let caption = sheet.caption();
    assert!(
        caption.contains("square around the lungs, margin 5 %") && caption.contains("soft tissue to 220"),
        "{caption}"
    );
}
