//! What was found by a check, as pictures.

use super::shown_slice::{DrawnSlice, Looked};
use super::{Audit, Check, Finding};
use crate::base::errors::Result;
use crate::base::figure::Figure;
use crate::base::progress::counted;
use crate::data::cache::spread;
use crate::data::contact_sheet::{ContactSheet, Strip, StripPart, Tile, TileMark, TilePicture};
use crate::data::manifest::{Slice, missing_numbers};
use std::collections::BTreeSet;

/// Pictures of a scan that was found alone, and of each of two scans.
const OF_SCAN: usize = 6;
const OF_EACH: usize = 3;

impl Audit {
    /// What a check found, as pictures, of the first `count` findings: a slice; two slices, or three of each of two scans, side
    /// by side; of a scan six slices in their order, those around a gap where some are missing. What was found stands below.
    /// Slices in colour are shown in colour, and 16-bit ones from their lowest to their highest value. What cannot be seen
    /// (no picture, no pixels) is an empty frame that says so.
    pub fn contact_sheet(&self, check: Check, count: usize) -> Result<Figure> {
        Ok(self.sheet(check, count)?.figure(check.meaning()))
    }

    /// The same; `None` where there would be nothing but empty frames.
    pub(crate) fn pictures_of(&self, check: Check, count: usize) -> Result<Option<Figure>> {
        let sheet = self.sheet(check, count)?;
        Ok(sheet.has_pictures().then(|| sheet.figure(check.meaning())))
    }

    fn sheet(&self, check: Check, count: usize) -> Result<ContactSheet> {
        let found: Vec<&Finding> = self.findings.iter().filter(|finding| finding.check == check).collect();
        let shown = found.len().min(count);
        let title = match found.len() {
            all if all > shown => format!("{check}: the first {shown} of {}", counted(all as u64, "finding")),
            all => format!("{check}: {}", counted(all as u64, "finding")),
        };
        let mut sheet = ContactSheet::new(title);
        for finding in &found[..shown] {
            sheet.add_strip(self.strip(finding, sheet.pixels())?);
        }
        Ok(sheet)
    }

    fn strip(&self, finding: &Finding, side: u32) -> Result<Strip> {
        let count = if finding.with.is_some() { OF_EACH } else { OF_SCAN };
        let part = |path: &String| match self.slices_of(path) {
            Some(slices) => self.part_of_scan(path, slices, finding, count, side),
            None => self.part_of_file(path, side),
        };
        let paths = [Some(&finding.path), finding.with.as_ref()].into_iter().flatten();
        let mut parts = paths.map(part).collect::<Result<Vec<_>>>()?;
        // Beside an original of three pictures, a twin that has none still takes their room.
        let widest = parts.iter().map(|part| part.tiles.len()).max().unwrap_or(1);
        for part in parts.iter_mut().filter(|part| part.tiles.is_empty()) {
            part.tiles.extend((0..widest.max(1)).map(|_| empty("no slices")));
        }
        Ok(Strip { parts, found: finding.detail.clone() })
    }

    /// Slices of a scan in their order.
    fn part_of_scan(
        &self,
        folder: &str,
        slices: &[Slice],
        finding: &Finding,
        count: usize,
        side: u32,
    ) -> Result<StripPart> {
        let numbered: Vec<&Slice> = slices.iter().filter(|slice| slice.number.is_some()).collect();
        let gap = (finding.check == Check::MissingSlice).then(|| self.around_gap(&numbered)).flatten();
        let named = named(&finding.detail, &numbered);
        let (chosen, gap) = match (gap, named.as_slice()) {
            (Some((chosen, gap)), _) => (chosen, Some(gap)),
            (None, []) => (spread(&(0..numbered.len()).collect::<Vec<_>>(), count), None),
            // Of two scans each has one that is named; by its place among the others the same part of the body is seen.
            (None, [first, .., last]) if finding.with.is_some() => {
                let own = if folder == finding.path { first } else { last };
                (around(&[*own], numbered.len(), count, (numbered.len() / 4).max(1)), None)
            }
            (None, named) => (around(&named[..named.len().min(2)], numbered.len(), count, 1), None),
        };
        let is_marked = |at: &usize| finding.with.is_none() && gap.is_none() && named.contains(at);
        let marks: Vec<bool> = chosen.iter().map(is_marked).collect();
        let chosen: Vec<&Slice> = chosen.into_iter().map(|at| numbered[at]).collect();
        let mut tiles = self.tiles(&chosen, side)?;
        for (tile, _) in tiles.iter_mut().zip(&marks).filter(|(_, is_marked)| **is_marked) {
            tile.mark = Some(TileMark::Doubtful(String::new()));
        }
        let all = counted(numbered.len() as u64, "slice");
        let line = match tiles.len() {
            few if few < numbered.len() => format!("{folder}: {few} of {all}"),
            _ => format!("{folder}: {all}"),
        };
        if let Some((place, missing)) = gap {
            tiles.insert(place, empty(&missing));
        }
        Ok(StripPart { tiles, lines: vec![line] })
    }

    /// The places of the slices before and after the first gap of a scan in the numbers, and the gap with its place among them.
    fn around_gap(&self, numbered: &[&Slice]) -> Option<(Vec<usize>, (usize, String))> {
        let scan = numbered.first()?.scan;
        let of_scan: Vec<bool> = self.manifest.slices.iter().map(|slice| slice.scan == scan).collect();
        let gaps = missing_numbers(&self.manifest.filtered(&of_scan));
        let &(first, last) = gaps.get(&scan)?.first()?;
        let behind = numbered.iter().position(|slice| slice.number > Some(last))?;
        let chosen = behind.saturating_sub(OF_SCAN / 2)..numbered.len().min(behind + OF_SCAN / 2 - 1);
        let missing =
            if first == last { format!("{first} is missing") } else { format!("{first} to {last} are missing") };
        Some((chosen.collect(), (behind.min(OF_SCAN / 2), missing)))
    }

    fn tiles(&self, slices: &[&Slice], side: u32) -> Result<Vec<Tile>> {
        let seen = self.manifest.look_at(slices, |_, seen| seen.drawn(side));
        let tile = |(slice, seen): (&&Slice, Looked<DrawnSlice>)| {
            let (picture, values) = or_frame(seen)?;
            let name = if values.is_empty() { slice.file.clone() } else { format!("{}: {values}", slice.file) };
            Ok(Tile { picture, name, mark: None })
        };
        slices.iter().zip(seen).map(tile).collect()
    }

    /// A slice, or another file.
    fn part_of_file(&self, path: &str, side: u32) -> Result<StripPart> {
        let seen = match self.manifest.slice_at(path) {
            Ok(slice) => self.manifest.look_at_one(slice),
            Err(_) => self.manifest.look_at_file(path),
        };
        let (picture, values) = or_frame(seen.map(|seen| seen.drawn(side)))?;
        let tile = Tile { picture, name: String::new(), mark: None };
        let lines = [path.to_owned(), values].into_iter().filter(|line| !line.is_empty()).collect();
        Ok(StripPart { tiles: vec![tile], lines })
    }
}

/// The picture, or a frame with the reason why there is none.
fn or_frame(seen: Looked<DrawnSlice>) -> DrawnSlice {
    seen.unwrap_or_else(|why| Ok((TilePicture::Missing(format!("no pixels: {why}")), String::new())))
}

/// The places of the slices that a finding names, in its order.
fn named(detail: &str, slices: &[&Slice]) -> Vec<usize> {
    let words = detail.split_whitespace().map(|word| word.trim_matches(|c: char| "(),;:'\"".contains(c)));
    words.filter_map(|word| slices.iter().position(|slice| slice.frame.is_none() && slice.file == word)).collect()
}

/// `count` places of `all`, in order: these, and others at multiples of `step` from them.
fn around(places: &[usize], all: usize, count: usize, step: usize) -> Vec<usize> {
    let mut chosen: BTreeSet<usize> = places.iter().copied().collect();
    for times in 1..=all {
        for at in places {
            let others = [at.checked_sub(times * step), Some(at + times * step).filter(|at| *at < all)];
            for other in others.into_iter().flatten() {
                if chosen.len() < count {
                    chosen.insert(other);
                }
            }
        }
    }
    chosen.into_iter().collect()
}

fn empty(why: &str) -> Tile {
    Tile { picture: TilePicture::Missing(why.to_owned()), name: String::new(), mark: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::table::Show;
    use crate::data::audit::Severity;
    use crate::data::phantom::{PhantomConfig, draw_phantom};
    use std::fs;
    use std::path::Path;

    fn audited(root: &Path, config: &PhantomConfig, change: impl Fn()) -> Audit {
        draw_phantom(root, config, |_| ()).expect("draws");
        change();
        Audit::in_one_pass(root, None, |_| ()).expect("audits").0
    }

    /// The text of an SVG, its lines joined.
    fn words(svg: &str) -> String {
        svg.split('<')
            .filter_map(|tag| Some(tag.split_once('>')?.1))
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn count(svg: &str, of: &str) -> usize {
        svg.matches(of).count()
    }

    #[test]
    fn each_kind_of_finding_is_shown_as_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("data");
        let config = PhantomConfig {
            size: 128,
            train_scans: 4,
            val_scans: 3,
            prediction_scans: 1,
            slices: 5,
            ..PhantomConfig::default()
        };
        let audit = audited(&root, &config, || ());
        let svg = |check| audit.contact_sheet(check, 6).expect("draws").svg().to_owned();
        // Three slices of each of two scans, two slices, a slice, five around a gap.
        let pictures = [Check::SamePatient, Check::ExactDuplicate, Check::OddSize, Check::MissingSlice]
            .map(|check| (check.name(), count(&svg(check), "<image ")));
        let gap = audit.manifest().slices_by_scan()[0].len().min(5);
        let expected = [("same-patient", 6), ("exact-duplicate", 2), ("odd-size", 1), ("missing-slice", gap)];
        assert_eq!(pictures, expected);
        assert!(svg(Check::MissingSlice).contains(" is missing</text>"), "the gap is a frame");
        // What has no pixels is a frame with the reason.
        for (check, why) in [
            (Check::EmptyFile, "an empty"),
            (Check::NotAnImage, "not a"),
            (Check::Truncated, "the file"),
            (Check::EmptyScan, "no slices"),
        ] {
            let svg = svg(check);
            assert!(count(&svg, "<image ") == 0 && words(&svg).contains(why), "{check}: {svg}");
            assert!(audit.pictures_of(check, 6).expect("draws").is_none(), "{check}");
        }
        let shown =
            |check| audit.findings.iter().find(|of| of.check == check).map(|of| of.detail.clone()).expect("found");
        assert!(words(&svg(Check::OddSize)).contains(&shown(Check::OddSize)), "what was found stands below");
        assert_eq!(audit.contact_sheet(Check::Corrupt, 6).expect("draws").title(), "corrupt: 0 findings");
    }

    #[test]
    fn slices_that_a_finding_names_are_shown_with_those_around_them() {
        let files: Vec<Slice> = (0..9).map(|at| Slice::of_bytes(0, format!("{at}.jpg"), b"")).collect();
        let slices: Vec<&Slice> = files.iter().collect();
        assert_eq!(named("a gap between 3.jpg and 4.jpg: 2.1 times (for example 7.jpg)", &slices), [3, 4, 7]);
        assert_eq!(named("2 missing: 3, 4", &slices), [0; 0]);
        assert_eq!(around(&[3, 4], 9, 6, 1), [1, 2, 3, 4, 5, 6]);
        assert_eq!(around(&[0, 8], 9, 6, 1), [0, 1, 2, 6, 7, 8]);
        assert_eq!(around(&[5], 9, 3, 2), [3, 5, 7]);
        assert_eq!(around(&[1], 2, 6, 1), [0, 1]);
    }

    #[test]
    fn a_page_shows_every_slice_its_marks_and_the_findings() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("data");
        let scan = root.join("train/covid/ct_scan_0");
        let audit = audited(&root, &PhantomConfig { slices: 8, ..PhantomConfig::tiny() }, || {
            fs::write(scan.join("1.jpg"), "text").expect("writes");
            let slice = image::open(scan.join("2.jpg")).expect("opens");
            slice.to_rgb8().save(scan.join("2.jpg")).expect("writes");
            image::DynamicImage::from(slice.to_luma16()).save(scan.join("90.png")).expect("writes");
        });
        let of_scan = audit.manifest().slices_by_scan()[0].len();
        let page = audit.scan_page("train/covid/ct_scan_0").expect("a page");
        let (html, text) = (page.html().replace("<wbr>", ""), page.text());
        for said in ["not-an-image", "colour", "unknown-values", "exclude", "warning", "16 bit"] {
            assert!(html.contains(said) && text.contains(said), "{said}: {text}");
        }
        assert!(
            html.contains(&format!("{of_scan}: {} used, 2 left out (1 not-an-image, 1 unknown-values)", of_scan - 2)),
            "{text}"
        );
        assert!(html.contains(&format!("All {of_scan} slices.")) && html.contains("area of the lungs"), "{text}");
        let scans = audit.scans_with_findings();
        assert_eq!(scans.first().map(String::as_str), Some("train/covid/ct_scan_0"));
        let index = audit.write_pages(&scans, folder.path().join("pages"), |_| ()).expect("writes");
        let listed = fs::read_to_string(index).expect("reads");
        assert_eq!(count(&listed, "<a href="), scans.len());
        let sheets = Check::ALL.iter().filter(|check| audit.count(**check) > 0).count();
        assert_eq!(count(&listed, "<figure"), sheets);
        assert!(Check::Colour.severity() == Severity::Warning, "an orange frame");
        let error = audit.scan_page("train/covid/nowhere").expect_err("no scan").to_string();
        assert!(
            error.starts_with("a page of a scan: expected the folder of a scan, such as train/covid/ct_scan_0"),
            "{error}"
        );
    }
}
