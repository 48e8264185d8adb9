//! A page about one scan: its slices in order, the lungs along it, what was found and what was left out.

use super::lung_curve::{LungPoint, lung_curve};
use super::{Audit, Finding, Severity};
use crate::base::errors::{Context, Result};
use crate::base::figure::Figure;
use crate::base::natural::numeric_key;
use crate::base::progress::{counted, thousands};
use crate::base::table::{Page, Table};
use crate::data::cache::spread;
use crate::data::contact_sheet::{ContactSheet, Strip, StripPart, Tile, TileMark, TilePicture};
use crate::data::manifest::{Scan, Slice};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Slices on a page at the most, and how many of them may be there because something was found in them.
const MOST: usize = 64;
const MOST_FLAGGED: usize = 24;

/// A scan with its slices, and what was found in each of them.
pub(super) struct PageScan<'a> {
    scan: &'a Scan,
    slices: &'a [Slice],
    /// Of the scan and of its files.
    pub(super) findings: Vec<&'a Finding>,
    /// One for each slice.
    marks: Vec<Option<TileMark>>,
}

impl Audit {
    /// A page about the scan in this folder, such as `train/covid/ct_scan_3`: what it is; its slices in order, at most 64, those
    /// left out in a red frame and those with a warning in an orange one; the area of the lungs along the scan; and what was
    /// found in the scan and its slices. All of its slices are read and decoded for it.
    ///
    /// # Errors
    /// No scan in this folder.
    pub fn scan_page(&self, folder: &str) -> Result<Page> {
        let of = self.page_scan(folder)?;
        let shown = of.shown();
        let slices: Vec<&Slice> = of.slices.iter().collect();
        let mut sheet = ContactSheet::of_small(format!("{folder}: slices in order"));
        let side = sheet.pixels();
        let seen = self.manifest.look_at(&slices, |index, seen| {
            let picture = shown.contains(&index).then(|| seen.picture(side)).transpose();
            picture.map(|picture| (seen.lung_share(), seen.values, picture))
        });
        let (mut points, mut values) = (Vec::new(), BTreeSet::new());
        for (index, (seen, mark)) in seen.into_iter().zip(&of.marks).enumerate() {
            let (share, picture) = match seen {
                Ok(seen) => {
                    let (share, of_words, picture) = seen?;
                    values.insert(of_words);
                    (Some(share), picture)
                }
                Err(why) => (None, Some(TilePicture::Missing(format!("no pixels: {why}")))),
            };
            if let Some(number) = of.slices[index].number {
                points.push(LungPoint { number, share, is_left_out: matches!(mark, Some(TileMark::LeftOut(_))) });
            }
            if let Some(picture) = picture.filter(|_| shown.contains(&index)) {
                sheet.add_strip(of.strip(index, picture));
            }
        }
        let page = Page::new().with(&of.facts(values)).with(&of.montage(&sheet, shown.len()));
        let page = if points.iter().any(|point| point.share.is_some()) {
            page.with(&lung_curve(folder, &points)?)
        } else {
            page
        };
        Ok(page.with(&of.findings_table()))
    }

    pub(super) fn page_scan(&self, folder: &str) -> Result<PageScan<'_>> {
        let scan = self.manifest.scans.iter().find(|scan| scan.folder == folder);
        let scan = scan.with_context(|| {
            let known = self.manifest.scans.iter().take(3).map(|scan| scan.folder.as_str()).collect::<Vec<_>>();
            format!("a page of a scan: expected the folder of a scan, such as {}; found {folder:?}", known.join(", "))
        })?;
        let slices = self.slices_of(folder).unwrap_or_default();
        let paths: Vec<String> = slices.iter().map(|slice| self.manifest.path(slice)).collect();
        let files: HashMap<&str, usize> = (0..).zip(&paths).map(|(index, path)| (path.as_str(), index)).collect();
        let within = format!("{folder}/");
        let concerns = |path: &str| path == folder || files.contains_key(path) || path.starts_with(&within);
        let is_here = |of: &&Finding| concerns(&of.path) || of.with.as_deref().is_some_and(concerns);
        let findings: Vec<&Finding> = self.findings.iter().filter(is_here).collect();
        let mut marks: Vec<Option<TileMark>> = slices.iter().map(|_| None).collect();
        let excluded = self.excluded();
        for (mark, path) in marks.iter_mut().zip(&paths) {
            let warned = || findings.iter().find(|of| of.path == *path && of.check.severity() == Severity::Warning);
            *mark = match excluded.get(path) {
                Some(finding) => Some(TileMark::LeftOut(finding.check.name().to_owned())),
                None => warned().map(|finding| TileMark::Doubtful(finding.check.name().to_owned())),
            };
        }
        Ok(PageScan { scan, slices, findings, marks })
    }
}

impl PageScan<'_> {
    /// Which slices are shown: those at even distances, and all with findings where these are few.
    fn shown(&self) -> BTreeSet<usize> {
        let all: Vec<usize> = (0..self.slices.len()).collect();
        if all.len() <= MOST {
            return all.into_iter().collect();
        }
        let flagged: Vec<usize> = all.iter().copied().filter(|index| self.marks[*index].is_some()).collect();
        match flagged.len() {
            few @ 1..=MOST_FLAGGED => spread(&all, MOST - few).into_iter().chain(flagged).collect(),
            _ => spread(&all, MOST).into_iter().collect(),
        }
    }

    fn strip(&self, index: usize, picture: TilePicture) -> Strip {
        let mark = self.marks[index].clone();
        let tile = Tile { picture, name: self.slices[index].file.clone(), mark };
        Strip { parts: vec![StripPart { tiles: vec![tile], lines: Vec::new() }], found: String::new() }
    }

    fn montage(&self, sheet: &ContactSheet, shown: usize) -> Figure {
        let count = match self.slices.len() {
            all if all > shown => format!(
                "{shown} of {}, at even distances, and all with findings where these are {MOST_FLAGGED} or fewer.",
                counted(all as u64, "slice")
            ),
            all => format!("All {}.", counted(all as u64, "slice")),
        };
        sheet.figure(&format!("{count} In a red frame: left out, and why. In an orange frame: used, with a warning."))
    }

    /// Slices left out, by check.
    fn left_out(&self) -> BTreeMap<&str, u64> {
        let mut reasons = BTreeMap::new();
        for mark in self.marks.iter().flatten() {
            if let TileMark::LeftOut(check) = mark {
                *reasons.entry(check.as_str()).or_default() += 1;
            }
        }
        reasons
    }

    fn facts(&self, values: BTreeSet<String>) -> Table {
        let Scan { folder, set, label, patient, source, acquisition } = self.scan;
        let mut table = Table::new(format!("Scan {folder}"), &["What", "Value"]);
        let label = label.map_or("none".to_owned(), |label| label.to_string());
        table.row(["Set, label".to_owned(), format!("{set}, {label}")]);
        table.row(["Patient", patient.as_deref().unwrap_or("not said")]);
        table.row(["Source", source.as_deref().unwrap_or("not said")]);
        let reasons = self.left_out();
        let out: u64 = reasons.values().sum();
        let of_each: Vec<String> = reasons.iter().map(|(check, n)| format!("{} {check}", thousands(*n))).collect();
        let reasons = if out == 0 { String::new() } else { format!(" ({})", of_each.join(", ")) };
        let all = self.slices.len() as u64;
        table.row([
            "Files".to_owned(),
            format!("{}: {} used, {} left out{reasons}", thousands(all), thousands(all - out), thousands(out)),
        ]);
        let sizes: BTreeSet<String> = self
            .slices
            .iter()
            .filter_map(|s| s.header)
            .map(|h| format!("{}x{} {}", h.width, h.height, h.format))
            .collect();
        table.row(["Pictures".to_owned(), sizes.into_iter().collect::<Vec<_>>().join(", ")]);
        let values: Vec<String> = values.into_iter().filter(|of| !of.is_empty()).collect();
        if let Some(first) = values.first() {
            table.row([
                "Values".to_owned(),
                format!("{first}{}", if values.len() > 1 { ", others differ" } else { "" }),
            ]);
        }
        if let Some(of) = acquisition {
            let millimetres =
                |distance: Option<f64>| distance.map_or("not said".to_owned(), |mm| format!("{mm:.2} mm"));
            table.row(["Distance of slices".to_owned(), millimetres(of.slice_distance)]);
            table.row(["Thickness".to_owned(), millimetres(of.thickness)]);
            table.row(["Kernel", of.kernel.as_deref().unwrap_or("not said")]);
            table.row(["Scanner", of.manufacturer.as_deref().unwrap_or("not said")]);
        }
        table
    }

    /// A row for each finding; of those that say the same of several files one for all.
    fn findings_table(&self) -> Table {
        let mut alike: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for of in &self.findings {
            alike.entry((of.check, &of.detail, &of.with)).or_default().push(&of.path);
        }
        let mut table = Table::new("Found in it", &["Check", "Severity", "Count", "Where", "Found", "With"]);
        for ((check, detail, with), mut paths) in alike {
            paths.sort_by_cached_key(|path| numeric_key(path));
            let place = match paths.as_slice() {
                [one] => (*one).to_owned(),
                [first, ..] => format!("{first}, …"),
                [] => String::new(),
            };
            let with = with.clone().unwrap_or_default();
            let count = thousands(paths.len() as u64);
            table.row([check.name().to_owned(), check.severity().to_string(), count, place, detail.clone(), with]);
        }
        if self.findings.is_empty() { table.note("Nothing.") } else { table }
    }
}
