//! `SHA256SUMS`: the SHA-256 of every file that was written into a folder, so that a file that was changed, or comes from
//! elsewhere, is not taken for one that belongs there.

use super::files::{Digest, lock_or_wait, read_json, write_atomic_sealed, write_json, write_text};
use super::regular_file::read_regular;
use crate::base::errors::{Context, Result, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The record's file, in the format of coreutils: `sha256sum --check SHA256SUMS` compares the same.
const RECORD: &str = "SHA256SUMS";
/// A line is of about 100 bytes.
const RECORD_AT_MOST: u64 = 1_000_000;
/// Held while the record is changed: several processes may write into one folder.
const LOCK: &str = ".SHA256SUMS.lock";

/// Files by name, with their SHA-256; two while a file is being replaced.
type Sums = BTreeMap<String, Vec<Digest>>;

/// The record of a folder. It is no protection against forgery, since whoever changes a file can change the record too.
pub(crate) struct Sha256Sums<'a> {
    folder: &'a Path,
}

impl<'a> Sha256Sums<'a> {
    /// That of `folder`, which need not exist yet.
    pub(crate) fn of(folder: &'a Path) -> Self {
        Self { folder }
    }

    /// Writes a file of the folder through `write`, which is given the path of a sibling, renames it into place and records
    /// it. While it is renamed the record holds the former and the new SHA-256, so that file and record agree however
    /// the process ends.
    pub(crate) fn write(&self, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let _lock = self.locked()?;
        let mut new = None;
        write_atomic_sealed(&self.folder.join(name), write, |complete| {
            let sum = Digest::of_file(complete)?;
            let mut sums = self.sums()?;
            let known = sums.entry(name.to_owned()).or_default();
            if !known.contains(&sum) {
                known.push(sum);
                self.record(&sums)?;
            }
            new = Some(sum);
            Ok(())
        })?;
        let mut sums = self.sums()?;
        let only: Vec<Digest> = new.into_iter().collect();
        if sums.insert(name.to_owned(), only.clone()) != Some(only) {
            self.record(&sums)?;
        }
        Ok(())
    }

    /// The same of a value as JSON.
    pub(crate) fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        self.write(name, |path| write_json(path, value))
    }

    /// Reads JSON that is as it was written: `what`, by the command `command`.
    ///
    /// # Errors
    /// A missing or damaged file, or one that is not what was written there; the message names it, what it should hold, and
    /// the command that writes it.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str, what: &str, command: &str) -> Result<T> {
        let path = self.folder.join(name);
        // A missing file is named by the reader of JSON.
        if path.is_file() {
            self.checked(name).with_context(|| format!("reading {what} (`covid-ct {command}` writes it again)"))?;
        }
        read_json(&path, &format!("{what} (written by `covid-ct {command}`)"))
    }

    /// The path of a file that is as it was written.
    ///
    /// # Errors
    /// A file that is not there, that the record does not know, or that hashes to something else.
    pub(crate) fn checked(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        self.check(name, Digest::of_file(&path)?)?;
        Ok(path)
    }

    /// Compares the SHA-256 of a file with the record.
    ///
    /// # Errors
    /// Those of [`checked`](Self::checked).
    pub(crate) fn check(&self, name: &str, found: Digest) -> Result<()> {
        let (path, record) = (self.folder.join(name), self.folder.join(RECORD));
        let sums = self.sums()?;
        let Some(known) = sums.get(name) else {
            bail!(
                "{} is not in {}, which lists what was written there: it comes from elsewhere, or from an older version",
                path.display(),
                record.display()
            );
        };
        ensure!(
            known.contains(&found),
            "{} was changed or comes from elsewhere: it hashes to {found}, {} says {}",
            path.display(),
            record.display(),
            known.iter().map(Digest::to_string).collect::<Vec<_>>().join(" or ")
        );
        Ok(())
    }

    fn locked(&self) -> Result<fs::File> {
        fs::create_dir_all(self.folder).with_context(|| format!("creating folder {}", self.folder.display()))?;
        lock_or_wait(&self.folder.join(LOCK), || ())
    }

    /// Lines of 64 hexadecimal digits, two spaces and a name; no record is an empty one.
    fn sums(&self) -> Result<Sums> {
        let path = self.folder.join(RECORD);
        if !path.exists() {
            return Ok(Sums::new());
        }
        let reading = || format!("reading {}", path.display());
        let bytes = read_regular(&path, RECORD_AT_MOST).with_context(reading)?;
        let text = String::from_utf8(bytes).with_context(reading)?;
        let mut sums = Sums::new();
        for (number, line) in (1..).zip(text.lines()) {
            let parts = line.split_once("  ").and_then(|(sum, name)| Some((Digest::parse(sum)?, name)));
            let (sum, name) = parts.with_context(|| {
                format!("{}, line {number}: expected a SHA-256, two spaces and the name of a file", path.display())
            })?;
            sums.entry(name.to_owned()).or_default().push(sum);
        }
        Ok(sums)
    }

    fn record(&self, sums: &Sums) -> Result<()> {
        let lines = sums.iter().flat_map(|(name, of)| of.iter().map(move |sum| format!("{sum}  {name}\n")));
        write_text(&self.folder.join(RECORD), &lines.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn put(sums: &Sha256Sums<'_>, name: &str, text: &str) {
        sums.write(name, |at| Ok(fs::write(at, text)?)).expect("writes");
    }

    #[test]
    fn changed_and_foreign_files_are_told_from_those_that_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let sums = Sha256Sums::of(folder.path());
        put(&sums, "a.json", "one");
        put(&sums, "b.json", "other");
        put(&sums, "a.json", "two");
        let path = folder.path().join("a.json");
        assert_eq!(sums.checked("a.json").expect("as written"), path);
        assert_eq!(fs::read_to_string(&path).expect("reads"), "two");
        fs::copy(folder.path().join("b.json"), &path).expect("copies");
        let error = sums.checked("a.json").expect_err("another file").to_string();
        let [found, expected] = ["other", "two"].map(|text| Digest::of(text.as_bytes()));
        let record = folder.path().join(RECORD);
        assert_eq!(
            error,
            format!(
                "{} was changed or comes from elsewhere: it hashes to {found}, {} says {expected}",
                path.display(),
                record.display()
            )
        );
        fs::write(folder.path().join("c.json"), "one").expect("writes");
        let error = sums.checked("c.json").expect_err("never written there").to_string();
        assert!(error.contains("c.json is not in"), "{error}");
    }

    /// The state between the new record and the rename, and the one after the rename: a kill leaves one of the two.
    #[test]
    fn a_kill_while_a_file_is_replaced_leaves_one_that_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let sums = Sha256Sums::of(folder.path());
        put(&sums, "a.json", "former");
        let [former, new] = ["former", "new"].map(|text| Digest::of(text.as_bytes()));
        let failed = sums.write("a.json", |at| {
            fs::write(at, "new")?;
            // The record cannot be replaced: the write ends before its rename.
            fs::remove_file(folder.path().join(RECORD))?;
            Ok(fs::create_dir(folder.path().join(RECORD))?)
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(folder.path().join("a.json")).expect("reads"), "former", "nothing is lost");
        fs::remove_dir(folder.path().join(RECORD)).expect("removes");
        sums.record(&Sums::from([("a.json".to_owned(), vec![former, new])])).expect("writes");
        sums.checked("a.json").expect("the former file");
        fs::write(folder.path().join("a.json"), "new").expect("writes");
        sums.checked("a.json").expect("the new file");
        put(&sums, "a.json", "new");
        assert_eq!(sums.sums().expect("reads")["a.json"], [new], "one is left");
    }

    #[test]
    fn the_record_is_one_that_coreutils_check() {
        let folder = tempfile::tempdir().expect("a folder");
        let sums = Sha256Sums::of(folder.path());
        put(&sums, "a.json", "one");
        put(&sums, "b.json", "two");
        let check = || {
            let mut command = Command::new("sha256sum");
            command.args(["--check", "--quiet", RECORD]).current_dir(folder.path()).output().expect("coreutils")
        };
        assert!(check().status.success());
        fs::write(folder.path().join("b.json"), "three").expect("writes");
        assert_eq!(String::from_utf8_lossy(&check().stdout).trim(), "b.json: FAILED");
        fs::write(folder.path().join(RECORD), "nonsense\n").expect("writes");
        let error = sums.checked("a.json").expect_err("damaged").to_string();
        assert!(error.ends_with("line 1: expected a SHA-256, two spaces and the name of a file"), "{error}");
    }
}
