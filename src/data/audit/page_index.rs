//! The pages of an audit's scans, and the index that leads to them.

use super::{Audit, Check, Severity};
use crate::base::errors::{Context, Result};
use crate::base::escape::visible;
use crate::base::files::write_text;
use crate::base::progress::{Meter, Progress, counted, thousands};
use crate::base::table::{Page, Show, document};
use maud::{PreEscaped, html};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Findings of each check on the index of pages.
const ON_INDEX: usize = 6;

/// What is looked at first: what leaves slices out, then what is rare in the data set.
type Urgency = (Severity, usize, Check);

impl Audit {
    /// The folders of scans in which, or in slices of which, something was found; those with the most severe finding first, of
    /// equally severe ones those with the rarest.
    pub fn scans_with_findings(&self) -> Vec<String> {
        let folders: HashMap<&str, usize> =
            (0..).zip(&self.manifest.scans).map(|(n, s)| (s.folder.as_str(), n)).collect();
        let of_slice: HashMap<String, usize> =
            self.manifest.slices.iter().map(|slice| (self.manifest.path(slice), slice.scan)).collect();
        let counts = self.counts_by_check();
        let mut found: BTreeMap<&str, Urgency> = BTreeMap::new();
        for finding in &self.findings {
            let urgency = urgency(finding.check, &counts);
            for path in [Some(&finding.path), finding.with.as_ref()].into_iter().flatten() {
                let scan = folders.get(path.as_str()).or_else(|| of_slice.get(path));
                let Some(scan) = scan.and_then(|scan| self.manifest.scans.get(*scan)) else { continue };
                let most = found.entry(&scan.folder).or_insert(urgency);
                *most = urgency.min(*most);
            }
        }
        let mut scans: Vec<(&str, Urgency)> = found.into_iter().collect();
        scans.sort_by_key(|(_, urgency)| *urgency);
        scans.into_iter().map(|(folder, _)| folder.to_owned()).collect()
    }

    /// How often each check found something.
    fn counts_by_check(&self) -> BTreeMap<Check, usize> {
        let mut counts = BTreeMap::new();
        self.findings.iter().for_each(|of| *counts.entry(of.check).or_default() += 1);
        counts
    }

    /// Writes the [pages](Self::scan_page) of these scans into a folder, and `index.html` with a link to each and the
    /// [contact sheet](Self::contact_sheet) of every check that found something. Returns the path of the index.
    ///
    /// # Errors
    /// No scan in one of the folders, and failures to write.
    pub fn write_pages(
        &self,
        scans: &[String],
        folder: impl AsRef<Path>,
        progress: impl Fn(&Progress) + Sync,
    ) -> Result<PathBuf> {
        self.write_pages_in(scans, folder.as_ref(), &progress)
    }

    fn write_pages_in(
        &self,
        scans: &[String],
        folder: &Path,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<PathBuf> {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let meter = Meter::new("pages", "scans", scans.len(), 0, progress);
        let name = &self.manifest.name;
        let counts = self.counts_by_check();
        let link = |at: Option<usize>, text: &str| {
            let scan = at.and_then(|at| scans.get(at));
            html! { @if let Some(scan) = scan { " · " a href=(page_file(scan)) { (text) } } }
        };
        let mut rows = Vec::new();
        for (at, scan) in scans.iter().enumerate() {
            let title = format!("Scan {}, audit of {name}", visible(scan));
            let body = html! {
                p { a href="index.html" { "All pages" } (link(at.checked_sub(1), "previous scan")) (link(Some(at + 1), "next scan")) }
                h1 { (title) }
                (PreEscaped(self.scan_page(scan)?.html()))
            };
            write_text(&folder.join(page_file(scan)), &document(&title, Page::STYLE, &body))?;
            rows.push((page_file(scan), scan, self.kinds(scan, &counts)?));
            meter.add(1);
        }
        meter.finish();
        let mut checks: Vec<Check> = counts.keys().copied().collect();
        checks.sort_by_key(|check| urgency(*check, &counts));
        let sheets = checks.iter().map(|check| Ok(self.contact_sheet(*check, ON_INDEX)?.html()));
        let sheets = sheets.collect::<Result<Vec<_>>>()?;
        let title = format!("Audit of {name}");
        let all = self.scans_with_findings().len();
        let body = html! {
            h1 { (title) }
            p { (visible(&self.manifest.root)) ": " (counted(self.manifest.slices.len() as u64, "slice")) ", "
                (thousands(self.left_out() as u64)) " of them left out." }
            h2 { "Scans" }
            p { (counted(scans.len() as u64, "scan")) " here; something was found in " (all) " of " (self.manifest.scans.len())
                ". The most severe finding first, of equally severe ones the rarest." }
            table {
                tr { th style="text-align:left" { "Scan" } th style="text-align:left" { "Severity" } th style="text-align:left" { "Found" } }
                @for (file, scan, (severity, kinds)) in &rows { tr {
                    td style="padding:2px 14px 2px 0" { a href=(file) { (visible(scan)) } }
                    td style="padding:2px 14px 2px 0" { (severity.map_or("–".to_owned(), |severity| severity.to_string())) }
                    td { (kinds) }
                } }
            }
            h2 { "What was found" }
            @for sheet in &sheets { (PreEscaped(sheet)) }
        };
        let index = folder.join("index.html");
        write_text(&index, &document(&title, Page::STYLE, &body))?;
        Ok(index)
    }

    /// The most severe of what was found in a scan, and all of it, such as `2 truncated, 1 same-patient`.
    fn kinds(&self, scan: &str, all: &BTreeMap<Check, usize>) -> Result<(Option<Severity>, String)> {
        let mut counts: BTreeMap<Urgency, u64> = BTreeMap::new();
        let of = self.page_scan(scan)?;
        of.findings.iter().for_each(|of| *counts.entry(urgency(of.check, all)).or_default() += 1);
        let most = counts.keys().next().map(|(severity, ..)| *severity);
        let shown = counts.iter().map(|((.., check), count)| format!("{} {check}", thousands(*count)));
        Ok((most, shown.collect::<Vec<_>>().join(", ")))
    }
}

fn urgency(check: Check, counts: &BTreeMap<Check, usize>) -> Urgency {
    (check.severity(), counts.get(&check).copied().unwrap_or(0), check)
}

/// A name for a scan's page that no other scan's has, and that any file system takes.
fn page_file(folder: &str) -> String {
    let plain: String =
        folder.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let start: String = plain.trim_start_matches('.').chars().take(100).collect();
    let hash = crate::base::files::Digest::of(folder.as_bytes()).short();
    format!("{start}-{}.html", &hash[..6])
}
