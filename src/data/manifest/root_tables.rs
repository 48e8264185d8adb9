//! The tables in a data set's root, `patients.csv` and `labels.csv`: found by their exact names, and compared later with
//! what the audit read.

use super::folder_tree::is_hidden;
use super::label_table::LABELS;
use super::patients::PATIENTS;
use super::{Manifest, Rejected, Rejection};
use crate::base::errors::{Context, Result, anyhow, bail, ensure};
use crate::base::file_kind::{FileKind, FileUse};
use crate::base::files::Digest;
use crate::base::regular_file::{Lies, read_regular};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The longest table that is read, in bytes: a million rows of 250.
const TABLE_AT_MOST: u64 = 250_000_000;
/// Characters of a table's text in a message.
const SHOWN: usize = 80;

/// A table's text in a message.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

/// The table of this name in a data set's root, if there is one: its path, and its bytes.
///
/// # Errors
/// A name in other letters, such as `Patients.csv`; anything but a regular file of at most 250 MB.
pub(super) fn table_in(root: &Path, name: &str) -> Result<Option<(String, Vec<u8>)>> {
    table_under(root, name, TABLE_AT_MOST)
}

fn table_under(root: &Path, name: &str, at_most: u64) -> Result<Option<(String, Vec<u8>)>> {
    let looking = || format!("looking for {name} in {}", root.display());
    if !root.is_dir() {
        return Ok(None);
    }
    for entry in fs::read_dir(root).with_context(looking)? {
        let found = entry.with_context(looking)?.file_name();
        ensure!(
            found == name || !found.eq_ignore_ascii_case(name),
            "{}: expected it in lower case, found {}: rename or remove it",
            looking(),
            found.display()
        );
    }
    let path = root.join(name);
    let reading = || format!("reading {}", path.display());
    match Lies::at(&path) {
        Lies::Nothing => Ok(None),
        Lies::File(_) => Ok(Some((path.display().to_string(), read_regular(&path, at_most).with_context(reading)?))),
        Lies::Folder(_) => bail!("{}: expected a regular file, found a folder", reading()),
        Lies::Neither(what) => bail!("{}: expected a regular file, found {what}", reading()),
    }
}

/// What an audit read of the tables, so that later stages notice where one was added, changed or removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootTables {
    /// Of each `patients.csv`: one in the root, or in archives and beside them.
    pub patients: Vec<Digest>,
    /// Of `labels.csv`.
    pub labels: Option<Digest>,
    /// Whether tables came from archives, so that the root need not hold them.
    #[serde(default)]
    pub in_archives: bool,
}

impl RootTables {
    /// # Errors
    /// A table in the root that is not the one that was read, or none where one was.
    fn must_be_those_in(&self, root: &Path) -> Result<()> {
        for (name, read) in [(PATIENTS, &self.patients[..]), (LABELS, self.labels.as_slice())] {
            let found = table_in(root, name)?.map(|(_, bytes)| Digest::of(&bytes));
            let change = match found {
                Some(found) if read.contains(&found) => continue,
                None if read.is_empty() || self.in_archives => continue,
                Some(_) if read.is_empty() => "added",
                Some(_) => "changed",
                None => "removed",
            };
            bail!("{} was {change} after the audit: run `covid-ct audit` again", root.join(name).display());
        }
        Ok(())
    }
}

/// The delimiter of a table's header, and the table without the mark of its byte order. Spreadsheets in countries with decimal
/// commas write semicolons.
///
/// # Errors
/// Anything but text in UTF-8, with what it probably is and how to save it.
pub(super) fn delimited(bytes: &[u8]) -> Result<(u8, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let found = |what: &str| anyhow!("expected a table in UTF-8, found {what}: save it as “CSV UTF-8”");
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(found("UTF-16 (“Unicode text” of a spreadsheet)"));
    }
    if let Err(error) = str::from_utf8(bytes) {
        let at = error.valid_up_to();
        let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
        let what = match FileKind::of(&bytes[..bytes.len().min(4096)]) {
            Some(kind) if kind.is != FileUse::Picture => format!("{} (a spreadsheet's own file?)", kind.name),
            _ => format!("other letters in line {line} (Windows-1252, as spreadsheets save “CSV”?)"),
        };
        return Err(found(&what));
    }
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| first.iter().filter(|byte| **byte == delimiter).count();
    let delimiter = [b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',');
    Ok((delimiter, bytes))
}

/// Endings of tables, and what makes CSV of them.
const TABLES: [(&str, &str); 7] = [
    (".csv.txt", "rename it"),
    (".csv", "rename it"),
    (".tsv", "export it as CSV"),
    (".xlsx", "export it as CSV"),
    (".xls", "export it as CSV"),
    (".ods", "export it as CSV"),
    (".numbers", "export it as CSV"),
];

/// Whether a file in lower case is named by one of these words; numbers and other signs part them.
fn has_word(path: &str, words: &[&str]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(|c: char| !c.is_ascii_alphabetic()).any(|of| words.contains(&of))
}

/// Words for lists of labels or parts: `train_COVIDx_CT-2A.txt`, `dataset.json`.
const OF_LISTS: [&str; 16] = [
    "train",
    "trainset",
    "training",
    "val",
    "valid",
    "validation",
    "valset",
    "test",
    "testset",
    "label",
    "labels",
    "split",
    "splits",
    "metadata",
    "dataset",
    "classes",
];
/// Words by which a text is none, and BIDS's description of a data set.
const NO_LIST: [&str; 8] = ["log", "logs", "readme", "requirements", "weights", "history", "description", "license"];
/// Words for arrays of slices or of their labels: `X_train.npy`, `images_medseg.npy`.
const OF_ARRAYS: [&str; 8] = ["x", "y", "image", "images", "slices", "scans", "volumes", "data"];

/// What makes use of a text or an array that is named as one of labels, parts or slices.
fn advice_on_list(path: &str) -> Option<&'static str> {
    let ends = |endings: &[&str]| endings.iter().any(|ending| path.ends_with(ending));
    let is_list = has_word(path, &OF_LISTS) && !has_word(path, &NO_LIST);
    if ends(&[".npy", ".npz", ".mat", ".h5", ".hdf5"]) {
        let is_array = is_list || has_word(path, &OF_ARRAYS) && !has_word(path, &NO_LIST);
        return is_array.then_some("write its slices as pictures or NIfTI; of labels make CSV, and name it");
    }
    (is_list && ends(&[".txt", ".json"])).then_some("make CSV of it, and name it")
}

impl Rejected {
    /// A table by its name, which is not one of those that are read; `None` for other files.
    pub(super) fn table(path: &str) -> Option<Self> {
        if [PATIENTS, LABELS].contains(&path) || path.split('/').any(is_hidden) {
            return None;
        }
        let name = path.to_ascii_lowercase();
        let advice = TABLES.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, advice)| *advice);
        let advice = advice.or_else(|| advice_on_list(&name))?;
        let detail = format!(
            "a table or an array that is not read. Where it holds patients, labels or slices, {advice} to {PATIENTS} (columns path and patient) or \
             {LABELS} (path, scan, label, …), in the data set's own folder"
        );
        Some(Self { path: path.to_owned(), reason: Rejection::Table, detail })
    }
}

impl Manifest {
    /// The table of patients in a data set's root, if there is one: its path, and its bytes.
    ///
    /// # Errors
    /// A name in other letters; anything but a regular file of at most 250 MB.
    pub(crate) fn patients_in(root: &Path) -> Result<Option<(String, Vec<u8>)>> {
        table_in(root, PATIENTS)
    }

    /// Compares the tables in the root with those that were read.
    ///
    /// # Errors
    /// One was added, changed or removed.
    pub(crate) fn tables_must_be_unchanged(&self) -> Result<()> {
        match &self.tables {
            // Where the folder is gone, a cache may be left, and there is nothing to compare with.
            Some(tables) if self.root.is_dir() => tables.must_be_those_in(&self.root),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn a_table_that_is_no_file_or_named_in_other_letters_is_an_error() {
        let folder = root();
        let path = folder.path().join(PATIENTS);
        let error = || table_under(folder.path(), PATIENTS, 10).expect_err("no table").to_string();
        let found = |what: &str| format!("reading {}: expected a regular file, found {what}", path.display());
        assert_eq!(table_under(folder.path(), PATIENTS, 10).expect("none"), None);
        symlink("nowhere.csv", &path).expect("links");
        assert_eq!(error(), found("a link to nothing"));
        fs::remove_file(&path).expect("removes");
        symlink(PATIENTS, &path).expect("links");
        assert_eq!(error(), found("a link that leads back to itself"));
        fs::remove_file(&path).expect("removes");
        fs::create_dir(&path).expect("a folder");
        assert_eq!(error(), found("a folder"));
        fs::remove_dir(&path).expect("removes");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).expect("a pipe");
        assert_eq!(error(), found("a named pipe"));
        fs::remove_file(&path).expect("removes");
        fs::write(&path, "path,patient\n").expect("writes");
        let error_of = |name: &str| format!("{:#}", table_under(folder.path(), name, 10).expect_err("refused"));
        let long = "expected a file of at most 10 B, found 13 B";
        assert_eq!(error_of(PATIENTS), format!("reading {}: {long}", path.display()));
        assert_eq!(table_under(folder.path(), PATIENTS, 13).expect("reads").expect("is there").1, b"path,patient\n");
        fs::write(folder.path().join("LABELS.CSV"), "").expect("writes");
        let looking = format!("looking for labels.csv in {}", folder.path().display());
        let expected = "expected it in lower case, found LABELS.CSV: rename or remove it";
        assert_eq!(error_of(LABELS), format!("{looking}: {expected}"));
    }

    #[test]
    fn a_table_as_spreadsheets_save_it_is_called_what_it_is() {
        let error = |bytes: &[u8]| delimited(bytes).expect_err("no UTF-8").to_string();
        let save = "save it as “CSV UTF-8”";
        let utf_16 = "expected a table in UTF-8, found UTF-16 (“Unicode text” of a spreadsheet)";
        assert_eq!(error(b"\xFF\xFEp\0a\0"), format!("{utf_16}: {save}"));
        let other =
            "expected a table in UTF-8, found other letters in line 2 (Windows-1252, as spreadsheets save “CSV”?)";
        assert_eq!(error(b"path,patient\ntrain/covid/\xE4,1\n"), format!("{other}: {save}"));
        let workbook = "expected a table in UTF-8, found a zip archive (a spreadsheet's own file?)";
        assert_eq!(error(b"PK\x03\x04\x14\0\xFF"), format!("{workbook}: {save}"));
        assert_eq!(delimited(b"\xEF\xBB\xBFpath;patient\n").expect("reads"), (b';', &b"path;patient\n"[..]));
    }

    #[test]
    fn long_text_is_cut_in_messages() {
        assert_eq!(cut(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(cut(&"é".repeat(1000)), format!("{}… (2000 bytes)", "é".repeat(80)));
        let folder = root();
        let scan = folder.path().join("train/covid/ct_scan_0");
        fs::create_dir_all(&scan).expect("folders");
        fs::write(folder.path().join(PATIENTS), format!("path,patient\n{},a\n", "x".repeat(10_000))).expect("writes");
        let error = format!("{:#}", Manifest::scan(folder.path(), |_| ()).expect_err("no such scan"));
        assert!(error.ends_with(&format!("found {}… (10000 bytes)", "x".repeat(80))), "{error}");
        let (first, second) = ("a".repeat(10_000), "b".repeat(10_000));
        let rows = format!("path,patient\ntrain/covid/ct_scan_0,{first}\ntrain/covid/ct_scan_0,{second}\n");
        fs::write(folder.path().join(PATIENTS), rows).expect("writes");
        let error = format!("{:#}", Manifest::scan(folder.path(), |_| ()).expect_err("two patients"));
        assert!(error.contains("is given to two patients, aaaa") && error.len() < 500, "{}", error.len());
    }
}
