//! `labels.csv`: labels, sets, patients and sources of scans that lie in any folders.

use super::acquisition::Rejected;
use super::folder_word::FolderWord;
use super::layout::{may_be_a_scan, part_on_the_way, words_on_the_way};
use super::listing::{FolderListing, ListedSlice};
use super::new_scans::is_picture;
use super::patients::hide_numbers;
use super::pseudonym::Pseudonyms;
use super::root_tables::{cut, delimited, table_in};
use super::{Label, Scan, Set};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::Digest;
use crate::base::progress::counted;
use columns::Columns;
pub(super) use columns::columns_shown;
pub(super) use columns::{as_written, normalised};
use row_paths::rows_by_their_paths;
pub(super) use row_paths::ways_without_layout;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

mod columns;
mod rejected_rows;
mod row_paths;
mod template;
#[cfg(test)]
mod tests;

/// The name of the table.
pub(crate) const LABELS: &str = "labels.csv";

/// Fewer folders of pictures than this may be those of many patients each.
const FOLDERS_OF_SCANS: usize = 3;

/// What one row says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LabelRow {
    line: u64,
    path: Option<String>,
    scan: Option<String>,
    patient: Option<String>,
    series: Option<String>,
    label: Option<Label>,
    set: Option<Set>,
    source: Option<String>,
}

/// Whether the column of sets counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sets {
    Read,
    /// As in external validation, where all scans are of one set.
    Ignored,
}

/// The table, read and checked.
#[derive(Debug)]
pub(super) struct LabelTable {
    from: String,
    sha256: Digest,
    sets: Sets,
    rows: Vec<LabelRow>,
}

impl LabelTable {
    /// The table in a data set's root, if there is one.
    ///
    /// # Errors
    /// A name in other letters, anything but a regular file; no column that names scans, no label, a label or set that is
    /// not known, with the line.
    pub(super) fn in_root(root: &Path, sets: Sets) -> Result<Option<Self>> {
        let Some((from, bytes)) = table_in(root, LABELS)? else { return Ok(None) };
        Self::parsed(from.clone(), &bytes, sets).with_context(|| format!("reading labels from {from}")).map(Some)
    }

    fn parsed(from: String, bytes: &[u8], sets: Sets) -> Result<Self> {
        let sha256 = Digest::of(bytes);
        let (delimiter, bytes) = delimited(bytes)?;
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).trim(csv::Trim::All).from_reader(bytes);
        let header = reader.headers().context("reading the header")?.clone();
        let records = reader.records().collect::<Result<Vec<_>, _>>().context("reading the rows")?;
        let columns = Columns::of(&header, &records, sets)?;
        let rows = records.iter().map(|record| columns.row(record)).collect::<Result<Vec<_>>>()?;
        ensure!(!rows.is_empty(), "expected a row for each scan, found none under the header");
        Ok(Self { from, sha256, sets, rows })
    }

    /// Gives the scans their labels; a scan without a row, or without a label, is one to predict. Rows without a scan are
    /// listed.
    ///
    /// # Errors
    /// A scan with two labels, sets or patients; no row that names any scan.
    pub(super) fn apply(&self, listing: FolderListing) -> Result<FolderListing> {
        let rows = rows_by_their_paths(self.rows.clone(), &listing);
        let mut listing = Self::pictures_apart(&rows, listing);
        let found = Finder::of(&listing, rows.iter().any(|row| row.patient.is_some() || row.series.is_some()))?;
        let mut of_scan: BTreeMap<usize, LabelRow> = BTreeMap::new();
        let mut unmatched = Vec::new();
        for row in &rows {
            let named = found.scans_of(row, &listing).with_context(|| format!("reading labels from {}", self.from))?;
            let (scans, is_exact) = named;
            if scans.is_empty() {
                unmatched.push(row);
            }
            // A picture that was not copied here says nothing of those that were.
            for scan in scans.into_iter().filter(|_| is_exact) {
                let known = of_scan.entry(scan).or_insert_with(|| LabelRow { line: row.line, ..LabelRow::default() });
                known
                    .join(row)
                    .with_context(|| format!("reading labels from {}: {}", self.from, listing.scans[scan].folder))?;
            }
        }
        if of_scan.is_empty() {
            let example = listing.scans.first().map_or("scans/ct_scan_1", |scan| &scan.folder);
            bail!(
                "reading labels from {}: of its {} none names a scan here by its {}; expected a column path with paths such \
                 as {example}",
                self.from,
                counted(self.rows.len() as u64, "row"),
                self.rows[0].names_by()
            );
        }
        let words = words_on_the_way(listing.scans.iter().map(|scan| scan.folder.as_str()));
        let is_unread = |index: usize| !of_scan.contains_key(&index) && words[index].iter().any(FolderWord::is_closed);
        let unread: BTreeSet<String> =
            (0..words.len()).filter(|scan| is_unread(*scan)).map(|scan| listing.scans[scan].folder.clone()).collect();
        for (index, scan) in listing.scans.iter_mut().enumerate() {
            // What the table leaves open the folders may say.
            let is_val =
                self.sets == Sets::Read && part_on_the_way(&words[index]).is_some_and(|(_, set)| set == Set::Val);
            of_scan.remove(&index).unwrap_or_default().set_on(scan, if is_val { Set::Val } else { Set::Train });
        }
        hide_numbers(&mut listing.scans)?;
        listing.rejected.extend(unmatched.into_iter().map(Rejected::of_row));
        listing.labels = Some(self.sha256);
        listing.rejected.extend(unread.iter().map(|folder| Rejected::without_row(folder)));
        let is_unread = |path: &str| {
            let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
            ends.into_iter().any(|end| unread.contains(&path[..end]))
        };
        Ok(listing.rearranged(is_unread, Vec::new()))
    }

    /// Pictures of one folder that rows give to several scans, patients or labels are scans of their own: by the column
    /// `scan`, or else each picture. Those of a [scan's own folder](Self::folders_of_scans) stay one patient's all the same.
    /// A DICOM series stays whole.
    fn pictures_apart(rows: &[LabelRow], listing: FolderListing) -> FolderListing {
        let by_path: HashMap<&str, &LabelRow> =
            rows.iter().filter_map(|row| Some((row.path.as_deref()?, row))).collect();
        let row = |file: &ListedSlice| {
            let path = listing.path(file);
            by_path.get(path.as_str()).or_else(|| by_path.get(as_written(&path).as_str())).copied()
        };
        let of_scans = Self::folders_of_scans(&listing, &row);
        let mut parts: BTreeMap<String, (Option<String>, Vec<ListedSlice>)> = BTreeMap::new();
        // Files are listed scan by scan.
        for files in listing.files.chunk_by(|a, b| a.scan == b.scan) {
            let scan = &listing.scans[files[0].scan];
            let who: BTreeSet<_> = files.iter().filter_map(row).map(LabelRow::who).collect();
            let patient = of_scans.contains(&files[0].scan).then(|| scan.folder.clone());
            for file in files.iter().filter(|_| who.len() > 1 && scan.acquisition.is_none()) {
                let path = listing.path(file);
                let name = match row(file).and_then(|row| row.scan.as_ref()) {
                    Some(name) => format!("{}/{name}", scan.folder),
                    None => path.clone(),
                };
                let (_, of_part) = parts.entry(name).or_insert_with(|| (patient.clone(), Vec::new()));
                let number = Some(of_part.len() as u32);
                of_part.push(ListedSlice { at: Some(path.into()), number, ..file.clone() });
            }
        }
        let gone: BTreeSet<String> =
            parts.values().flat_map(|(_, of)| of).filter_map(|file| file.at.as_deref().map(str::to_owned)).collect();
        let scan = |name, patient| Scan { patient, ..Scan::new(name) };
        let added = parts.into_iter().map(|(name, (patient, files))| (scan(name, patient), files)).collect();
        listing.rearranged(|path| gone.contains(path), added)
    }

    /// Folders of pictures that are a scan each, by their number: the rows name neither scan nor patient, the folder is no class's or
    /// part's own, there are several, and most have one label.
    fn folders_of_scans<'r>(
        listing: &FolderListing,
        row: &impl Fn(&ListedSlice) -> Option<&'r LabelRow>,
    ) -> BTreeSet<usize> {
        let words = words_on_the_way(listing.scans.iter().map(|scan| scan.folder.as_str()));
        let with_labels = |files: &[ListedSlice]| {
            let scan = files[0].scan;
            let rows: Vec<&LabelRow> = files.iter().filter_map(row).collect();
            let names_it = rows.iter().any(|row| row.scan.is_some() || row.patient.is_some());
            let is_one = listing.scans[scan].acquisition.is_none() && may_be_a_scan(&words[scan]);
            let labels: BTreeSet<Option<Label>> = rows.iter().map(|row| row.label).collect();
            (is_one && !names_it && !rows.is_empty()).then_some((scan, labels.len()))
        };
        let found: Vec<(usize, usize)> =
            listing.files.chunk_by(|a, b| a.scan == b.scan).filter_map(with_labels).collect();
        let of_one_label = found.iter().filter(|(_, labels)| *labels == 1).count();
        let are_scans = found.len() >= FOLDERS_OF_SCANS && 2 * of_one_label > found.len();
        found.into_iter().filter(|_| are_scans).map(|(scan, _)| scan).collect()
    }
}

impl LabelRow {
    /// Whose picture it is.
    fn who(&self) -> (Option<&String>, Option<&String>, Option<Label>, Option<Set>) {
        (self.scan.as_ref(), self.patient.as_ref(), self.label, self.set)
    }

    /// Adds what another row of the same scan says.
    fn join(&mut self, other: &Self) -> Result<()> {
        fn one<T: PartialEq + Clone + std::fmt::Debug>(
            a: &mut Option<T>,
            b: &Option<T>,
            what: &str,
            lines: (u64, u64),
        ) -> Result<()> {
            let differ = matches!((&*a, b), (Some(a), Some(b)) if a != b);
            ensure!(!differ, "lines {} and {} give it two {what}", lines.0, lines.1);
            *a = a.take().or_else(|| b.clone());
            Ok(())
        }
        let lines = (self.line, other.line);
        one(&mut self.label, &other.label, "labels", lines)?;
        one(&mut self.set, &other.set, "sets", lines)?;
        one(&mut self.patient, &other.patient, "patients", lines)?;
        one(&mut self.source, &other.source, "sources", lines)
    }

    /// By what column it names a scan.
    fn names_by(&self) -> &'static str {
        match self {
            Self { path: Some(_), .. } => "path",
            Self { series: Some(_), .. } => "series",
            Self { scan: Some(_), .. } => "scan",
            _ => "patient",
        }
    }

    /// `set`: where the row says none.
    fn set_on(self, scan: &mut Scan, set: Set) {
        // Without a label there is nothing to learn from or to compare with.
        scan.set = if self.label.is_some() { self.set.unwrap_or(set) } else { Set::Prediction };
        scan.label = self.label.filter(|_| scan.set != Set::Prediction);
        scan.source = self.source;
        let pseudonym = scan.acquisition.as_ref().and_then(|of| of.patient.clone());
        scan.patient = self.patient.or(pseudonym).or(scan.patient.take());
    }
}

/// Finds the scans that a row names.
struct Finder {
    by_name: HashMap<String, Vec<usize>>,
    /// By the names that differ in a table of ours.
    as_written: HashMap<String, Vec<usize>>,
    pseudonyms: Option<Pseudonyms>,
}

impl Finder {
    fn of(listing: &FolderListing, needs_pseudonyms: bool) -> Result<Self> {
        let (mut by_name, mut written) = (HashMap::new(), HashMap::new());
        let insert = |names: &mut HashMap<String, Vec<usize>>, name: String, scan: usize| {
            let scans = names.entry(name).or_default();
            if !scans.contains(&scan) {
                scans.push(scan);
            }
        };
        let mut add = |kind: &str, name: &str, scan: usize| {
            let other = as_written(name);
            if other != name {
                insert(&mut written, format!("{kind}{other}"), scan);
            }
            insert(&mut by_name, format!("{kind}{name}"), scan);
        };
        for (index, scan) in listing.scans.iter().enumerate() {
            add("", &scan.folder, index);
            add("scan ", scan.id(), index);
            let hidden = scan.acquisition.iter().flat_map(|of| [("patient ", &of.patient), ("series ", &of.series)]);
            hidden.for_each(|(kind, value)| value.iter().for_each(|value| add(kind, value, index)));
        }
        for file in &listing.files {
            add("", &listing.path(file), file.scan);
            file.at.iter().for_each(|at| add("", at, file.scan));
        }
        Ok(Self { by_name, as_written: written, pseudonyms: needs_pseudonyms.then(Pseudonyms::open).transpose()? })
    }

    /// The scans of this name, or of a name that is written like this.
    ///
    /// # Errors
    /// Several that are.
    fn named(&self, name: &str, line: u64, listing: &FolderListing) -> Result<Vec<usize>> {
        if let Some(scans) = self.by_name.get(name) {
            return Ok(scans.clone());
        }
        let scans = self.as_written.get(&normalised(name)).map_or(&[][..], Vec::as_slice);
        if let [first, second, ..] = *scans {
            let (first, second) = (&listing.scans[first].folder, &listing.scans[second].folder);
            bail!("line {line}: {} may be {first:?} or {second:?}: rename one of them", cut(name));
        }
        Ok(scans.to_vec())
    }

    /// By path where there is one, or else by series, scan, or patient; and whether it names them, or a picture beside
    /// theirs that is not here.
    ///
    /// # Errors
    /// Several folders of the name in the column `scan`, or that are written like it.
    fn scans_of(&self, row: &LabelRow, listing: &FolderListing) -> Result<(Vec<usize>, bool)> {
        let hidden = |kind: &str, value: &Option<String>| {
            Some(format!("{kind} {}", self.pseudonyms.as_ref()?.of(kind, value.as_deref()?)))
        };
        let named = |name: &str| self.named(name, row.line, listing);
        if let Some(path) = &row.path {
            let exactly = named(path)?;
            // A table may list more pictures of a scan than were copied here.
            let folder = path.rsplit_once('/').filter(|(_, last)| exactly.is_empty() && is_picture(last));
            let of_folder = folder.map_or(Ok(Vec::new()), |(folder, _)| named(folder))?;
            let of_pictures = of_folder.into_iter().filter(|scan| listing.scans[*scan].acquisition.is_none());
            return Ok(match exactly.is_empty() {
                false => (exactly, true),
                true => (of_pictures.collect(), false),
            });
        }
        if let Some(series) = hidden("series", &row.series) {
            return Ok((named(&series)?, true));
        }
        if let Some(scan) = &row.scan {
            let mut found = named(scan)?;
            if found.is_empty() {
                found = named(&format!("scan {scan}"))?;
            }
            if let [first, second, ..] = found[..] {
                let (first, second) = (&listing.scans[first].folder, &listing.scans[second].folder);
                bail!("line {}: the scan {} may be {first} or {second}: name its path", row.line, cut(scan));
            }
            return Ok((found, true));
        }
        let of_patient = hidden("patient", &row.patient).map(|patient| named(&patient)).transpose()?;
        Ok((of_patient.unwrap_or_default(), true))
    }
}
