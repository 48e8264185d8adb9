//! The cache has Pillow's pixels, survives a kill, and is refused for other data.

use crate::support::{fixture, folder, prepared, program, run_python, silent, tiny_run};
use covid_ct::tch::{Device, Tensor};
use covid_ct::{Audit, ColourMode, Preprocess, RunConfig, SliceCache, decode_grey, resize_grey};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pillow's grey levels for these files, resized.
fn pillow(folder: &Path, files: &[PathBuf], size: u32) -> Vec<u8> {
    let out = folder.join("pillow");
    let (size, out_text) = (size.to_string(), out.display().to_string());
    let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let arguments: Vec<&str> = [size.as_str(), &out_text].into_iter().chain(files.iter().map(String::as_str)).collect();
    run_python("reference_resize.py", &arguments);
    fs::read(&out).expect("reads")
}

fn differences(ours: &[u8], theirs: &[u8]) -> (u8, f64) {
    assert_eq!(ours.len(), theirs.len());
    let off: Vec<u8> = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).collect();
    (off.iter().copied().max().unwrap_or(0), off.iter().map(|o| f64::from(*o)).sum::<f64>() / off.len() as f64)
}

#[test]
fn the_filter_is_pillows() {
    let folder = folder();
    let accepted = fixture().audit.accepted();
    let images: Vec<_> = accepted
        .slices
        .iter()
        .step_by(7)
        .map(|s| decode_grey(&fs::read(accepted.root.join(accepted.path(s))).expect("reads")).expect("decodes"))
        .collect();
    // The very same pixels for both: as PNG, which loses nothing.
    let files: Vec<PathBuf> = (0..images.len()).map(|i| folder.path().join(format!("{i}.png"))).collect();
    for (image, file) in images.iter().zip(&files) {
        let grey = image::GrayImage::from_raw(image.width, image.height, image.pixels.clone()).expect("an image");
        grey.save(file).expect("writes");
    }
    for size in [32, 100, 224, 300] {
        let theirs = pillow(folder.path(), &files, size);
        for (image, theirs) in images.iter().zip(theirs.chunks_exact((size * size) as usize)) {
            let (worst, _) = differences(&resize_grey(image, size).expect("resizes"), theirs);
            assert_eq!(worst, 0, "{worst} grey levels off at {size}");
        }
    }
}

#[test]
fn the_cache_equals_pillow_but_for_the_jpeg_decoders_rounding() {
    let folder = folder();
    let accepted = fixture().audit.accepted();
    let files: Vec<PathBuf> = accepted.slices.iter().map(|s| accepted.root.join(accepted.path(s))).collect();
    for size in [64, 224] {
        let preprocess = Preprocess { size, ..Preprocess::default() };
        let cache = SliceCache::open_or_build(folder.path(), &accepted, &preprocess, silent).expect("builds");
        let theirs = pillow(folder.path(), &files, size);
        for (index, theirs) in theirs.chunks_exact((size * size) as usize).enumerate() {
            let (worst, mean) = differences(&cache.pixels(index).expect("pixels"), theirs);
            // Of a colour JPEG ours is the Y channel; Pillow's goes through RGB, which clips where colours are strong.
            let colour = accepted.slices[index].header.is_some_and(|h| h.colour == ColourMode::Colour);
            let fits = (worst <= 2 || colour) && mean < 0.2;
            assert!(fits, "{}: {worst} off at worst, {mean} in the mean", files[index].display());
        }
    }
}

#[test]
fn a_batch_is_normalised_and_has_three_equal_channels() {
    let folder = folder();
    let experiment = prepared(folder.path(), &tiny_run("x"));
    let cache = experiment.cache();
    let batch = cache.batch(&[3, 0], Device::Cpu).expect("a batch");
    assert_eq!(batch.size(), [2, 3, 32, 32]);
    let first: Vec<f32> = Vec::try_from(batch.get(0).get(1).reshape([-1])).expect("floats");
    for (value, pixel) in first.iter().zip(cache.pixels(3).expect("pixels")) {
        assert!((value - (f32::from(pixel) / 255.0 - 0.5) / 0.5).abs() < 1e-6);
    }
    assert!(f64::try_from((batch.select(1, 0) - batch.select(1, 2)).abs().max()).expect("a number") == 0.0);
    let labels: Vec<i64> = Vec::try_from(cache.labels(&[0], Device::Cpu).expect("labels")).expect("integers");
    assert_eq!(labels, [0], "the first slice is of train/covid");
    assert!(cache.pixels(usize::MAX / 1_000_000).is_err());
    let _: Tensor = batch;
}

#[test]
fn a_killed_build_goes_on_and_ends_the_same() {
    let data = &fixture().root;
    let (whole, killed) = (folder(), folder());
    for home in [&whole, &killed] {
        fixture().audit.write(home.path().join("data_manifest/phantom")).expect("writes");
    }
    let build = ["cache", "--size", "512"];
    assert!(program(whole.path(), data).args(build).output().expect("runs").status.success());
    for wait in [30, 60, 90, 120, 200] {
        let mut child = program(killed.path(), data).args(build).spawn().expect("starts");
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().expect("kills");
        child.wait().expect("ends");
    }
    assert!(program(killed.path(), data).args(build).output().expect("runs").status.success());
    let preprocess = Preprocess { size: 512, ..RunConfig::default().preprocess };
    let accepted = fixture().audit.accepted();
    let open = |home: &Path| {
        let built = |_: &covid_ct::Progress| panic!("it is whole");
        SliceCache::open_or_build(home.join("cache"), &accepted, &preprocess, built).expect("opens")
    };
    let (whole, killed) = (open(whole.path()), open(killed.path()));
    for slice in 0..accepted.slices.len() {
        assert!(whole.pixels(slice).expect("a") == killed.pixels(slice).expect("b"), "slice {slice} differs");
    }
}

#[test]
fn two_processes_that_need_the_same_cache_build_it_once() {
    let (data, home) = (&fixture().root, folder());
    fixture().audit.write(home.path().join("data_manifest/phantom")).expect("writes");
    let build = ["cache", "--size", "256"];
    let both = [0, 1].map(|_| program(home.path(), data).args(build).spawn().expect("starts"));
    for process in both {
        let output = process.wait_with_output().expect("ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let folders = fs::read_dir(home.path().join("cache")).expect("lists");
    assert_eq!(folders.count(), 1);
}

#[test]
fn what_a_killed_build_left_is_used_only_where_its_checksum_fits() {
    let folder = folder();
    let accepted = fixture().audit.accepted();
    let preprocess = Preprocess { size: 48, ..Preprocess::default() };
    let whole = SliceCache::open_or_build(folder.path().join("a"), &accepted, &preprocess, silent).expect("builds");
    // As after a kill: a journal with one finished block, and pixels that do not match it.
    let target = folder.path().join("b").join(whole.folder().file_name().expect("a name"));
    fs::create_dir_all(&target).expect("folder");
    fs::write(target.join("slices.bin.partial"), vec![7; accepted.slices.len() * 48 * 48]).expect("writes");
    fs::write(target.join("journal"), [0_u8; 12]).expect("writes");
    let resumed = SliceCache::open_or_build(folder.path().join("b"), &accepted, &preprocess, silent).expect("resumes");
    for slice in 0..accepted.slices.len() {
        assert_eq!(resumed.pixels(slice).expect("b"), whole.pixels(slice).expect("a"));
    }
}

#[test]
fn a_cut_cache_and_an_undecodable_slice_are_errors_that_name_the_file() {
    let folder = folder();
    let accepted = fixture().audit.accepted();
    let preprocess = Preprocess { size: 32, ..Preprocess::default() };
    let cache = SliceCache::open_or_build(folder.path(), &accepted, &preprocess, silent).expect("builds");
    let pixels = cache.folder().join("slices.bin");
    drop(cache);
    let bytes = fs::read(&pixels).expect("reads");
    fs::write(&pixels, &bytes[1..]).expect("writes");
    let error =
        format!("{:#}", SliceCache::open_or_build(folder.path(), &accepted, &preprocess, silent).expect_err("cut"));
    let found = format!("expected {} bytes in {}, found {}", bytes.len(), pixels.display(), bytes.len() - 1);
    assert!(error.contains("which can be deleted to have it built again") && error.ends_with(&found), "{error}");
    // Everything, the broken files included.
    let all = &fixture().manifest;
    let error =
        format!("{:#}", SliceCache::open_or_build(folder.path(), all, &preprocess, silent).expect_err("broken"));
    assert!(error.contains("decoding slice") && error.contains(".jpg"), "{error}");
}

#[test]
fn the_source_data_is_never_changed() {
    let before = covid_ct::Manifest::scan(&fixture().root, silent).expect("scans");
    let folder = folder();
    Audit::run(&before, silent).expect("audits").write(folder.path()).expect("writes");
    prepared(folder.path(), &tiny_run("x"));
    assert_eq!(covid_ct::Manifest::scan(&fixture().root, silent).expect("scans"), before);
}

#[test]
fn a_file_that_changed_after_the_audit_is_refused() {
    let folder = folder();
    let scan = folder.path().join("data/train/covid/ct_scan_0");
    std::fs::create_dir_all(&scan).expect("creates");
    let slice = |from: &str| fs::read(fixture().root.join("train/covid/ct_scan_3").join(from)).expect("reads");
    fs::write(scan.join("0.jpg"), slice("0.jpg")).expect("writes");
    fs::write(scan.join("1.jpg"), slice("1.jpg")).expect("writes");
    let manifest = covid_ct::Manifest::scan(folder.path().join("data"), silent).expect("scans");
    fs::write(scan.join("1.jpg"), slice("2.jpg")).expect("writes");
    let refused = |error: anyhow::Error| {
        let error = format!("{error:#}");
        assert!(error.contains("1.jpg") && error.contains("changed since it was audited"), "{error}");
    };
    refused(Audit::run(&manifest, silent).expect_err("another file"));
    let preprocess = Preprocess { size: 32, ..Preprocess::default() };
    refused(SliceCache::open_or_build(folder.path(), &manifest, &preprocess, silent).expect_err("another file"));
}

#[test]
fn batches_come_in_order_the_last_one_short_and_an_error_ends_them() {
    let folder = folder();
    let accepted = fixture().audit.accepted();
    let preprocess = Preprocess { size: 32, ..Preprocess::default() };
    let cache = SliceCache::open_or_build(folder.path(), &accepted, &preprocess, silent).expect("builds");
    let all: Vec<usize> = (0..10).collect();
    let order = cache.shuffled(&all, 5);
    assert!(order != all && order == cache.shuffled(&all, 5) && order != cache.shuffled(&all, 6));
    let mut seen = Vec::new();
    let waited = cache.each_batch(&order, 4, Device::Cpu, |slices, images| {
        assert_eq!(images.size(), [slices.len() as i64, 3, 32, 32]);
        assert_eq!(*images, cache.batch(slices, Device::Cpu).expect("the same batch"));
        let levels = Vec::<f32>::try_from(images.select(1, 2).reshape([-1])).expect("floats");
        let bytes = slices.iter().flat_map(|slice| cache.pixels(*slice).expect("a row"));
        let expected: Vec<f32> = bytes.map(|grey| (f32::from(grey) / 255.0 - 0.5) / 0.5).collect();
        assert_eq!(levels, expected, "to the bit");
        seen.push(slices.to_vec());
        Ok(())
    });
    assert!(waited.expect("batches") >= 0.0);
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(seen.concat(), order);
    let error = cache.each_batch(&order, 4, Device::Cpu, |_, _| anyhow::bail!("enough")).expect_err("ends");
    assert_eq!(error.to_string(), "enough");
    assert!(cache.each_batch(&order, 0, Device::Cpu, |_, _| Ok(())).is_err());
    assert!(cache.each_batch(&[usize::MAX], 1, Device::Cpu, |_, _| Ok(())).is_err());
}
