//! An audit, the same again, and again with one scan more.

use super::Measured;
use super::resources::Watch;
use anyhow::{Context, Result, ensure};
use covid_ct::{Audit, EarlierAudit, Manifest};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The data set is put together of links to its scans, at first without the last one. Audits are written, as the command
/// `audit` does.
pub fn audit_again(data: &Path) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let (root, kept) = (folder.path().join("data"), folder.path().join("kept"));
    let data = data.canonicalize()?;
    let manifest = Manifest::scan(&data, |_| ())?;
    let scans: Vec<&str> = manifest.scans.iter().map(|scan| scan.folder.as_str()).collect();
    let (last, others) = scans.split_last().context("there is no scan")?;
    let link = |scan: &str| {
        let at = root.join(scan);
        fs::create_dir_all(at.parent().unwrap_or(&root))?;
        symlink(data.join(scan), at)
    };
    others.iter().try_for_each(|scan| link(scan))?;
    let mut stages = Vec::new();
    let mut audited = |stage: &str, is_first: bool| {
        let watch = Watch::start();
        let earlier = EarlierAudit::beside(&kept);
        let again = Audit::incremental(&root, &earlier, None, |_| ())?;
        again.audit.write(&kept)?;
        let (seconds, cpu) = watch.stop();
        ensure!(is_first || again.taken > 0, "nothing was taken: were the files just written?");
        stages.push(json!({ "stage": stage, "read": again.read(), "seconds": seconds, "cpu_seconds": cpu }));
        anyhow::Ok(again)
    };
    let watch = Watch::start();
    audited("first", true)?;
    audited("again", false)?;
    link(last)?;
    let more = audited("one scan more", false)?;
    audited("again with it", false)?;
    let taken = watch.stop();
    let record = fs::metadata(kept.join("inspected.bin"))?.len();
    let whole = Audit::in_one_pass(&root, None, |_| ())?.0;
    ensure!(more.audit == whole, "the audits differ");
    Ok((whole.manifest().slices.len(), taken, json!({ "stages": stages, "record_bytes": record })))
}
