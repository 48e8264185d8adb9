//! The folders of data and results, through which notebooks find each other's results.

use crate::base::errors::{Context, Result, ensure};
use crate::base::progress::Progress;
use crate::base::table::{Table, shown_as_table};
use crate::data::audit::{Audit, EarlierAudit, Incremental};
use crate::data::phantom::{PhantomConfig, draw_phantom};
use std::env;
use std::path::{Path, PathBuf};

/// The folders of a project.
#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    home: PathBuf,
    data: Option<PathBuf>,
}

impl Workspace {
    /// Results are written under `COVID_CT_WORKSPACE`, by default the nearest parent folder that holds
    /// `data_manifest/`, or else the current folder. The data is the folder that `COVID_CT_DATA` names, by default the
    /// phantom, `data/phantom` in the workspace.
    ///
    /// # Errors
    /// `COVID_CT_DATA` names no folder, or the data's path is not UTF-8.
    pub fn open() -> Result<Self> {
        Self::at(env::var_os("COVID_CT_WORKSPACE").map(PathBuf::from), env::var_os("COVID_CT_DATA").map(PathBuf::from))
    }

    /// The same with both folders given; `None` as in [`open`](Self::open) when nothing is set.
    pub fn at(home: Option<PathBuf>, data: Option<PathBuf>) -> Result<Self> {
        let here = env::current_dir().context("finding the present folder")?;
        let home = match home {
            Some(home) => here.join(home),
            None => here.ancestors().find(|f| f.join("data_manifest").is_dir()).unwrap_or(&here).to_owned(),
        };
        let data = data.filter(|d| !d.as_os_str().is_empty()).map(|d| here.join(d));
        if let Some(data) = &data {
            let name = data.display();
            ensure!(data.is_dir(), "opening the data set {name} (--data or COVID_CT_DATA): there is no such folder");
        }
        let workspace = Self { home, data };
        // Files of results name it, and are text.
        let data = workspace.dataset_folder();
        for path in [&data, &data.canonicalize().unwrap_or_else(|_| data.clone())] {
            ensure!(path.to_str().is_some(), "opening the data set: expected a path in UTF-8, found {path:?}");
        }
        Ok(workspace)
    }

    /// The root of the data set. Without one of the user's own the phantom is drawn, once.
    pub fn dataset(&self, progress: impl Fn(&Progress) + Sync) -> Result<PathBuf> {
        let root = self.dataset_folder();
        if self.data.is_none() {
            draw_phantom(&root, &PhantomConfig::default(), progress)?;
        }
        Ok(root)
    }

    /// Where the data set lies or will be drawn.
    pub fn dataset_folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.home.join("data/phantom"))
    }

    /// The user's own data set; `None` where it is the phantom.
    pub fn own_data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// Where results go.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Manifest, audit, leak probe and shortcut probe of the data set: `data_manifest/<data set>`.
    pub fn manifest_folder(&self) -> PathBuf {
        self.home.join("data_manifest").join(self.dataset_name())
    }

    /// Audits the data set ([`Audit::incremental`]), the phantom if there is none of the user's own, and writes the audit for
    /// all that follows. Only scans of which something has changed since the last audit are read; the result says how many
    /// slices that are.
    ///
    /// # Errors
    /// As [`Audit::incremental`].
    pub fn run_audit(&self, progress: impl Fn(&Progress) + Sync) -> Result<Incremental> {
        let (folder, root) = (self.manifest_folder(), self.dataset(&progress)?);
        let audit = Audit::incremental(root, &EarlierAudit::beside(&folder), None, &progress)?;
        audit.write(folder)?;
        Ok(audit)
    }

    /// The audit of the data set, as [`run_audit`](Self::run_audit) or [`Audit::write`] left it.
    ///
    /// # Errors
    /// No audit yet; one of another folder of the same name; one that was changed by hand; a `patients.csv` or `labels.csv`
    /// that was added, changed or removed after it.
    pub fn audit(&self) -> Result<Audit> {
        let (folder, data) = (self.manifest_folder(), self.dataset_folder());
        ensure!(
            folder.join("audit.json").is_file(),
            "no audit in {}: run `covid-ct audit` first (notebook 01 does)",
            folder.display()
        );
        let audit = Audit::read(&folder)?;
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let audited = &audit.manifest().root;
        ensure!(
            real(audited) == real(&data),
            "the audit in {} is of {}, the data set lies in {}: run `covid-ct audit` again; to keep both, give one folder \
             another name",
            folder.display(),
            audited.display(),
            data.display()
        );
        audit.manifest().tables_must_be_unchanged()?;
        Ok(audit)
    }

    fn dataset_name(&self) -> PathBuf {
        let data = self.dataset_folder();
        let data = data.canonicalize().unwrap_or(data);
        data.file_name().unwrap_or("dataset".as_ref()).into()
    }

    /// Slice caches.
    pub fn cache_folder(&self) -> PathBuf {
        self.home.join("cache")
    }

    /// Runs on this data set, one folder each: `runs/<data set>/<run>/`. Those of another data set lie elsewhere, and are
    /// never compared with these.
    pub fn runs_folder(&self) -> PathBuf {
        self.home.join("runs").join(self.dataset_name())
    }

    fn table(&self) -> Table {
        let mut table = Table::new("Workspace", &["What", "Where"]);
        let data = match &self.data {
            Some(data) => data.display().to_string(),
            None => format!("{} (the phantom; set COVID_CT_DATA to use your own)", self.dataset_folder().display()),
        };
        table.row(["Data set", &data]);
        table.row(["Manifest, audit, probes", &self.manifest_folder().display().to_string()]);
        table.row(["Slice caches", &self.cache_folder().display().to_string()]);
        table.row(["Runs", &self.runs_folder().display().to_string()]);
        table.note(format!("Networks run on {}.", crate::nn::device::device_name(tch::Device::cuda_if_available())))
    }
}

shown_as_table!(Workspace);

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_table_that_came_changed_or_went_after_the_audit_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        draw_phantom(&data, &PhantomConfig::tiny(), |_| ()).expect("draws");
        let workspace = Workspace::at(Some(folder.path().to_owned()), Some(data.clone())).expect("opens");
        let audit = || {
            let (audit, _) = Audit::in_one_pass(&data, None, |_| ()).expect("audits");
            audit.write(workspace.manifest_folder()).expect("writes");
            assert_eq!(workspace.audit().expect("fits"), audit);
        };
        let error = || workspace.audit().expect_err("another table").to_string();
        for (name, [first, second]) in [
            ("patients.csv", ["train/covid/ct_scan_0,a", "train/covid/ct_scan_0,b"]),
            ("labels.csv", ["train/covid/ct_scan_0,covid", "train/covid/ct_scan_0,non-covid"]),
        ] {
            let path = data.join(name);
            let write =
                |row: &str| fs::write(&path, format!("path,{}\n{row}\n", &name[..name.len() - 5])).expect("writes");
            let said = |how: &str| format!("{} was {how} after the audit: run `covid-ct audit` again", path.display());
            audit();
            write(first);
            assert_eq!(error(), said("added"));
            audit();
            write(second);
            assert_eq!(error(), said("changed"));
            fs::remove_file(&path).expect("removes");
            assert_eq!(error(), said("removed"));
            fs::create_dir(&path).expect("a folder");
            assert_eq!(error(), format!("reading {}: expected a regular file, found a folder", path.display()));
            fs::remove_dir(&path).expect("removes");
        }
    }

    #[test]
    fn a_folder_whose_path_is_no_text_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join(OsStr::from_bytes(b"scans-\xff"));
        fs::create_dir(&data).expect("a folder");
        let error =
            Workspace::at(Some(folder.path().to_owned()), Some(data.clone())).expect_err("no UTF-8").to_string();
        assert_eq!(error, format!("opening the data set: expected a path in UTF-8, found {data:?}"));
        let link = folder.path().join("scans");
        std::os::unix::fs::symlink(&data, &link).expect("links");
        let error = Workspace::at(None, Some(link)).expect_err("no UTF-8 behind a link").to_string();
        assert!(error.starts_with("opening the data set: expected a path in UTF-8, found"), "{error}");
    }
}
