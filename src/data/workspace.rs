//! The folders of data and results, through which notebooks find each other's results.

use crate::base::progress::Progress;
use crate::base::table::{Table, shown_as_table};
use crate::data::audit::Audit;
use crate::data::phantom::{PhantomConfig, draw_phantom};
use anyhow::{Context, Result, ensure};
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
    /// `COVID_CT_DATA` names no folder.
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
        Ok(Self { home, data })
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

    /// The audit of the data set, as [`Audit::write`] left it.
    ///
    /// # Errors
    /// No audit yet; one of another folder of the same name; one that was changed by hand.
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
