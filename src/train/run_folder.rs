//! The folder of a run, and the files in it.

use crate::base::checksums::Sha256Sums;
use crate::base::errors::{Context, Result, ensure};
use crate::base::files::Digest;
use crate::base::progress::human_bytes;
use crate::base::ranks::speaks;
use crate::base::table::{Table, shown_as_table};
use crate::data::manifest::Manifest;
use crate::data::split::{Split, SplitUnit, Subset};
use crate::data::workspace::Workspace;
use crate::nn::model::Architecture;
use crate::train::checkpoint::CheckpointInfo;
use crate::train::config::RunConfig;
use crate::train::history::History;
use crate::train::provenance::Provenance;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};

mod artifact;

pub use artifact::Artifact;

/// The folder of a run, `runs/<data set>/<run>/`, with methods that read its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder at `path`, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's name, which is the folder's.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The path of a file in it.
    pub fn path_of(&self, artifact: Artifact) -> PathBuf {
        self.path.join(artifact.file_name())
    }

    /// The folder in it for new scans that are judged under this name.
    pub fn judged(&self, name: &str) -> Self {
        Self { path: self.path.join("judged").join(name) }
    }

    /// The folder in it for an external validation of this name.
    pub fn external(&self, name: &str) -> Self {
        Self { path: self.path.join("external").join(name) }
    }

    /// The folders of its external validations, in the order of their names.
    pub fn externals(&self) -> Vec<Self> {
        let entries = fs::read_dir(self.path.join("external")).into_iter().flatten().flatten();
        let mut folders: Vec<Self> = entries.map(|entry| Self { path: entry.path() }).collect();
        folders.retain(|folder| folder.has(Artifact::External));
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        folders
    }

    /// Whether a file exists.
    pub fn has(&self, artifact: Artifact) -> bool {
        self.path_of(artifact).is_file()
    }

    /// One row for each existing file.
    pub fn table(&self) -> Table {
        let mut table = Table::new(format!("Files of {}", self.path.display()), &["File", "Holds", "Size"]);
        let every = Subset::ALL.into_iter().flat_map(Artifact::of_subset).chain(Artifact::ONCE);
        for artifact in every {
            if let Ok(file) = fs::metadata(self.path_of(artifact)) {
                table.row([artifact.file_name(), artifact.holds().0.to_owned(), human_bytes(file.len())]);
            }
        }
        table
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// A missing or damaged file, or one that this run did not write; the message names it, what it should hold, and the
    /// command that writes it.
    pub(crate) fn read<T: DeserializeOwned>(&self, artifact: Artifact) -> Result<T> {
        let (what, command) = artifact.holds();
        Sha256Sums::of(&self.path).read_json(&artifact.file_name(), what, command)
    }

    /// The path of a file as this run wrote it, by its [`Sha256Sums`].
    ///
    /// # Errors
    /// A missing file, one that was changed, or one of another run.
    pub(crate) fn checked(&self, artifact: Artifact) -> Result<PathBuf> {
        let (what, command) = artifact.holds();
        let reading = || format!("reading {what} (`covid-ct {command}` writes it again)");
        Sha256Sums::of(&self.path).checked(&artifact.file_name()).with_context(reading)
    }

    /// Compares the SHA-256 of a file with that of the file which this run wrote.
    ///
    /// # Errors
    /// Those of [`checked`](Self::checked).
    pub(crate) fn check(&self, artifact: Artifact, found: Digest) -> Result<()> {
        Sha256Sums::of(&self.path).check(&artifact.file_name(), found)
    }

    /// Writes JSON, atomically. As all of the run's files it is written by the first rank alone.
    pub(crate) fn write<T: Serialize>(&self, artifact: Artifact, value: &T) -> Result<()> {
        if !speaks() {
            return Ok(());
        }
        Sha256Sums::of(&self.path).write_json(&artifact.file_name(), value)
    }

    /// Writes a file by a function that is given the path of a sibling, and records its SHA-256.
    pub(crate) fn write_by(&self, artifact: Artifact, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        if !speaks() {
            return Ok(());
        }
        Sha256Sums::of(&self.path).write(&artifact.file_name(), write)
    }

    /// The settings it was trained with.
    ///
    /// # Errors
    /// No run in this folder, or settings that cannot work.
    pub fn config(&self) -> Result<RunConfig> {
        let path = self.path_of(Artifact::Config);
        ensure!(
            path.is_file(),
            "no run {:?}: {} is missing; run `covid-ct train` first, or name a run that is there (--name): {}",
            self.name(),
            path.display(),
            self.beside()
        );
        RunConfig::read(path)
    }

    /// The names of the runs in the same folder, for a message.
    fn beside(&self) -> String {
        let folders = self.path.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        let runs = folders.map(|entry| Self::at(entry.path())).filter(|run| run.has(Artifact::Config));
        let mut names: Vec<String> = runs.map(|run| run.name()).collect();
        names.sort();
        if names.is_empty() { "there is none of this data set".to_owned() } else { names.join(", ") }
    }

    pub(crate) fn write_config(&self, run: &RunConfig) -> Result<()> {
        if speaks() { run.write(self.path_of(Artifact::Config)) } else { Ok(()) }
    }

    /// The split it was trained with.
    ///
    /// # Errors
    /// A file that is no split, or one of another manifest (both hashes are named).
    pub fn split(&self, manifest: &Manifest) -> Result<Split> {
        Split::read(self.path_of(Artifact::Split), manifest)
    }

    pub(crate) fn write_split(&self, split: &Split, manifest: &Manifest) -> Result<()> {
        if speaks() { split.write(self.path_of(Artifact::Split), manifest) } else { Ok(()) }
    }

    /// The description in the last checkpoint, or else in the best one; `None` before the first.
    pub fn checkpoint(&self) -> Result<Option<CheckpointInfo>> {
        let existing = [Artifact::LastCheckpoint, Artifact::BestCheckpoint].into_iter().find(|of| self.has(*of));
        existing.map(|of| CheckpointInfo::read(&self.path_of(of))).transpose()
    }

    /// Loss and accuracy of each epoch.
    pub fn history(&self) -> Result<History> {
        self.read(Artifact::History)
    }

    /// The machines and versions it was trained with: the first, and each other one on which it was resumed.
    pub fn provenance(&self) -> Result<Vec<Provenance>> {
        self.read(Artifact::Provenance)
    }

    /// Records this machine and its versions. If a training is `resumed` on another machine or with another version, an
    /// entry is added; earlier ones are never overwritten.
    pub(crate) fn record_provenance(&self, here: Provenance, resumed: bool) -> Result<()> {
        if !speaks() {
            return Ok(());
        }
        let mut all = if resumed && self.has(Artifact::Provenance) { self.provenance()? } else { Vec::new() };
        if all.last().is_some_and(|last: &Provenance| last.same_machine(&here)) {
            return Ok(());
        }
        all.push(here);
        self.write(Artifact::Provenance, &all)
    }
}

shown_as_table!(RunFolder);

impl Workspace {
    /// The folder of a run, which need not exist yet.
    pub fn run(&self, name: &str) -> RunFolder {
        RunFolder::at(self.runs_folder().join(name))
    }

    /// The evaluated runs, those split by patient first; without the single runs of a cross-validation, an average of seeds or
    /// an ablation. Runs whose settings cannot be read are the last, so that those who read them say why.
    ///
    /// # Errors
    /// A folder of runs that cannot be listed.
    pub fn evaluated_runs(&self) -> Result<Vec<RunFolder>> {
        let mut found = self.runs()?;
        found.retain(|folder| folder.has(Artifact::Evaluation));
        Ok(found)
    }

    /// The runs that were begun, in the order of [`evaluated_runs`](Self::evaluated_runs).
    pub(crate) fn runs(&self) -> Result<Vec<RunFolder>> {
        let runs = self.runs_folder();
        let listing = || format!("listing the runs in {}", runs.display());
        if !runs.exists() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&runs).with_context(listing)? {
            let folder = RunFolder::at(entry.with_context(listing)?.path());
            let order = match folder.config() {
                _ if !folder.has(Artifact::Config) && !folder.has(Artifact::Evaluation) => continue,
                Ok(run) if run.part_of.is_some() => continue,
                // Networks of the user's come after those that are built in.
                Ok(run) => {
                    let network = Architecture::ALL.iter().position(|a| *a == run.architecture);
                    (run.split.unit == SplitUnit::Slice, network.unwrap_or(Architecture::ALL.len()))
                }
                Err(_) => (true, usize::MAX),
            };
            found.push((order, folder));
        }
        found.sort_by_key(|(order, folder)| (*order, folder.name()));
        Ok(found.into_iter().map(|(_, folder)| folder).collect())
    }
}

#[cfg(test)]
mod tests;
