//! An experiment: settings, slices, split, cache and run folder.

use crate::base::errors::{Context, Result, ensure};
use crate::base::progress::{Progress, counted, thousands};
use crate::base::ranks::{ranks, speaks};
use crate::base::table::{Table, shown_as_table};
use crate::data::cache::SliceCache;
use crate::data::manifest::{Label, Manifest};
use crate::data::split::{Split, Subset};
use crate::data::workspace::Workspace;
use crate::train::checkpoint::{CheckpointInfo, must_continue, same_run};
use crate::train::config::RunConfig;
use crate::train::event::RunEvent;
use crate::train::position::Position;
use crate::train::run_folder::{Artifact, RunFolder};
use std::fmt;
use std::sync::Arc;

/// Called with every event of a run.
type Reporter = Arc<dyn Fn(&RunEvent) + Send + Sync>;

/// Settings, accepted slices, split, slice cache and run folder of one run. That they belong together is checked when
/// the experiment is opened; training, evaluation, prediction and explanation are its methods.
#[derive(Clone)]
pub struct Experiment {
    settings: RunConfig,
    split: Split,
    cache: Arc<SliceCache>,
    folder: RunFolder,
    reporter: Reporter,
}

impl Experiment {
    /// Opens the experiment with these settings on the audited data set of [`Workspace::open`]; progress is printed.
    /// The split is drawn; a trained run keeps the one in its folder; the slice cache is built if it does not exist.
    ///
    /// # Errors
    /// No audit yet, settings that cannot work, training or validation slices of one label only, or a folder of a run with
    /// other settings, slices or split.
    pub fn open(settings: RunConfig) -> Result<Self> {
        Self::open_in(&Workspace::open()?, settings, RunEvent::print)
    }

    /// Like [`open`](Self::open), in the given workspace; `report` is called with each event instead of printing it.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_in(
        workspace: &Workspace,
        mut settings: RunConfig,
        report: impl Fn(&RunEvent) + Send + Sync + 'static,
    ) -> Result<Self> {
        settings.check()?;
        let folder = workspace.run(&settings.name);
        let opening = || format!("opening the run in {}", folder.path().display());
        let (accepted, begun) = (workspace.audit()?.accepted(), folder.checkpoint().with_context(opening)?);
        // So that new scans are read as these were.
        settings.preprocess.sixteen_bit = accepted.sixteen_bit;
        settings.preprocess.accepts_no_end = accepted.accepts_no_end;
        if let Some(begun) = &begun {
            let advice = || format!("{}; give the new run another name, or delete the folder", opening());
            same_manifest(begun, &accepted).with_context(advice)?;
        }
        let split = split_of(&folder, &accepted, &settings, begun.as_ref()).with_context(opening)?;
        // Before the cache is built, which can take an hour.
        has_both_labels(&split, &accepted).with_context(opening)?;
        if let Some(begun) = begun {
            must_continue(&begun, &before_training(&settings, &split), folder.path())?;
        }
        Self::on(workspace, folder, &accepted, split, settings, Arc::new(report))
    }

    /// Opens a run that was trained before, with the settings and the split in its folder.
    ///
    /// # Errors
    /// No such run, or one that was trained on other slices than the audit accepts now.
    pub fn reopen(name: &str) -> Result<Self> {
        Self::reopen_in(&Workspace::open()?, name, RunEvent::print)
    }

    /// Like [`reopen`](Self::reopen), in the given workspace; `report` is called with each event instead of printing
    /// it.
    ///
    /// # Errors
    /// Those of [`reopen`](Self::reopen).
    pub fn reopen_in(
        workspace: &Workspace,
        name: &str,
        report: impl Fn(&RunEvent) + Send + Sync + 'static,
    ) -> Result<Self> {
        let folder = workspace.run(name);
        let opening = || {
            let advice = "restore its config.json, its split.json and the data, or train under another name";
            format!(
                "opening the trained run in {}; where this is not what it was trained with, {advice}",
                folder.path().display()
            )
        };
        // A copied folder is a separate run, named as the copy.
        let settings = RunConfig { name: name.to_owned(), ..folder.config()? };
        settings.check_values()?;
        let accepted = workspace.audit()?.accepted();
        let begun = folder.checkpoint().with_context(opening)?;
        if let Some(begun) = &begun {
            same_manifest(begun, &accepted).with_context(opening)?;
        }
        let split = split_of(&folder, &accepted, &settings, begun.as_ref()).with_context(opening)?;
        if let Some(begun) = begun {
            same_run(&begun, &before_training(&settings, &split)).with_context(opening)?;
        }
        Self::on(workspace, folder, &accepted, split, settings, Arc::new(report))
    }

    fn on(
        workspace: &Workspace,
        folder: RunFolder,
        accepted: &Manifest,
        split: Split,
        settings: RunConfig,
        reporter: Reporter,
    ) -> Result<Self> {
        same_on_all_ranks(&before_training(&settings, &split))?;
        let show = |progress: &Progress| {
            if speaks() {
                reporter(&RunEvent::Working(progress.clone()));
            }
        };
        let cache = SliceCache::open_or_build(workspace.cache_folder(), accepted, &settings.preprocess, show)?;
        belongs_together(&cache, &split, &settings)
            .with_context(|| format!("opening the run in {}", folder.path().display()))?;
        Ok(Self { settings, split, cache: Arc::new(cache), folder, reporter })
    }

    /// An experiment from existing parts, which reports nothing.
    ///
    /// # Errors
    /// Parts that do not belong together, or a folder of a run with other settings, slices or split.
    pub fn of_parts(
        folder: RunFolder,
        split: Split,
        cache: impl Into<Arc<SliceCache>>,
        settings: RunConfig,
    ) -> Result<Self> {
        let opening = || format!("opening the run in {}", folder.path().display());
        let cache = cache.into();
        settings.check_values().with_context(opening)?;
        belongs_together(&cache, &split, &settings).with_context(opening)?;
        if let Some(begun) = folder.checkpoint().with_context(opening)? {
            must_continue(&begun, &before_training(&settings, &split), folder.path())?;
        }
        Ok(Self { settings, split, cache, folder, reporter: Arc::new(|_| ()) })
    }

    /// The same experiment with another callback for its events.
    pub fn reporting(self, report: impl Fn(&RunEvent) + Send + Sync + 'static) -> Self {
        Self { reporter: Arc::new(report), ..self }
    }

    /// The settings.
    pub fn settings(&self) -> &RunConfig {
        &self.settings
    }

    /// The split of the slices into subsets.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// The slices of a subset that take part in training, scoring and prediction: all, or those with lungs, by
    /// [`Preprocess::without_lungs`](crate::Preprocess::without_lungs).
    pub(crate) fn slices(&self, subset: Subset) -> Result<Vec<usize>> {
        self.cache.used(&self.split.slices(subset))
    }

    /// The preprocessed slices.
    pub fn cache(&self) -> &SliceCache {
        &self.cache
    }

    /// The accepted slices.
    pub fn manifest(&self) -> &Manifest {
        self.cache.manifest()
    }

    /// The folder of its results.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The description of a checkpoint before the first step.
    pub(crate) fn before_training(&self) -> CheckpointInfo {
        before_training(&self.settings, &self.split)
    }

    /// Calls the callback with an event, on the first rank.
    pub(crate) fn report(&self, event: &RunEvent) {
        if speaks() {
            (self.reporter)(event);
        }
    }

    /// Reports progress.
    pub(crate) fn progress(&self, progress: &Progress) {
        self.report(&RunEvent::Working(progress.clone()));
    }

    /// One row for each part.
    pub fn table(&self) -> Table {
        let mut table = Table::new(format!("Experiment {}", self.settings.name), &["Part", "What", "SHA-256"]);
        let (manifest, trained) = (self.manifest(), self.folder.has(Artifact::BestCheckpoint));
        let slices = format!("{} accepted slices of {}", manifest.slices.len(), manifest.name);
        table.row(["Slices", &slices, &self.cache.manifest_hash().short()]);
        let subsets = Subset::ALL.map(|subset| format!("{} {subset}", self.split.slices(subset).len()));
        table.row(["Split", &subsets.join(", "), &self.split.hash().short()]);
        let size = self.settings.preprocess.size;
        let cache = format!("{size}×{size} in {}", self.cache.folder().display());
        table.row(["Cache", &cache, "–"]);
        table.row(["Network", &self.settings.architecture.to_string(), "–"]);
        let state = if trained { "trained" } else { "not trained yet" };
        table.row(["Folder", &format!("{} ({state})", self.folder.path().display()), "–"]);
        // A cache that cannot be read is an error where its slices are used.
        let out = Subset::ALL.map(|subset| Some(self.split.slices(subset).len() - self.slices(subset).ok()?.len()));
        let out: usize = out.into_iter().flatten().sum();
        if out > 0 {
            table = table.note(format!("{} without lungs left out.", counted(out as u64, "slice")));
        }
        match self.split.warning() {
            Some(warning) => table.note(warning),
            None => table,
        }
    }
}

shown_as_table!(Experiment);

impl fmt::Debug for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Experiment").field("settings", &self.settings).field("folder", &self.folder).finish()
    }
}

/// Draws the split that the settings ask for. A run that was trained (`begun`) keeps the one in its folder; one from
/// before splits lay there is drawn again, and compared with the checkpoint like any other.
fn split_of(
    folder: &RunFolder,
    accepted: &Manifest,
    settings: &RunConfig,
    begun: Option<&CheckpointInfo>,
) -> Result<Split> {
    let Some(begun) = begun.filter(|_| folder.has(Artifact::Split)) else {
        return Split::new(accepted, &settings.split);
    };
    let split = folder.split(accepted)?;
    ensure!(
        split.hash() == begun.split,
        "{} holds the split {}, the run was trained with {}: delete the file to have that one drawn again",
        folder.path_of(Artifact::Split).display(),
        split.hash(),
        begun.split
    );
    Ok(split)
}

fn same_manifest(begun: &CheckpointInfo, accepted: &Manifest) -> Result<()> {
    let (trained, found) = (begun.manifest, accepted.hash());
    ensure!(trained == found, "it has the manifest {trained}, the slices that the audit accepts now have {found}");
    Ok(())
}

/// # Errors
/// A rank with other settings, data or split than the first: their gradients would be summed all the same.
fn same_on_all_ranks(own: &CheckpointInfo) -> Result<()> {
    if ranks().is_alone() {
        return Ok(());
    }
    let first = ranks().broadcast(ranks().is_first().then(|| own.clone()))?;
    let doing =
        "comparing this rank's settings and data with rank 0's; all hosts must have the same, or one folder of both";
    ensure!(
        first.run.name == own.run.name,
        "{doing}: it has the run {:?}, this one {:?}",
        first.run.name,
        own.run.name
    );
    same_run(&first, own).context(doing)
}

/// What the first checkpoint of a training contains.
fn before_training(settings: &RunConfig, split: &Split) -> CheckpointInfo {
    CheckpointInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: settings.clone(),
        classes: Label::NAMES.map(str::to_owned).to_vec(),
        manifest: split.manifest_hash(),
        split: split.hash(),
        leaks: split.leaking_subsets(),
        pretrained: None,
        backbone: None,
        feature_seconds: None,
        position: Position::default(),
        epochs: Vec::new(),
    }
}

/// # Errors
/// Training slices of one label only: there is nothing to tell apart. Validation slices may be so; then what needs both is left
/// out, with the reason.
pub(crate) fn has_both_labels(split: &Split, manifest: &Manifest) -> Result<()> {
    let slices = split.slices(Subset::Train);
    let [covid, others] = [Label::Covid, Label::NonCovid].map(|label| {
        let of_label = |slice: &&usize| manifest.scan_of(&manifest.slices[**slice]).label == Some(label);
        thousands(slices.iter().filter(of_label).count() as u64)
    });
    ensure!(
        covid != "0" && others != "0",
        "expected train slices of both labels, found {covid} covid and {others} non-covid"
    );
    Ok(())
}

fn belongs_together(cache: &SliceCache, split: &Split, run: &RunConfig) -> Result<()> {
    ensure!(
        cache.manifest_hash() == split.manifest_hash(),
        "the cache holds the manifest {}, the split divides {}",
        cache.manifest_hash(),
        split.manifest_hash()
    );
    ensure!(
        cache.preprocess() == &run.preprocess,
        "the cache was made with {:?}, the run asks for {:?}",
        cache.preprocess(),
        run.preprocess
    );
    ensure!(
        split.config() == &run.split,
        "the split was made with {:?}, the run asks for {:?}",
        split.config(),
        run.split
    );
    let (size, least) = (run.preprocess.size, run.architecture.smallest_size());
    ensure!(size >= least, "{} needs {least} pixels or more, preprocess.size (--size) is {size}", run.architecture);
    ensure!(!split.slices(Subset::Train).is_empty(), "the split has no training slices");
    ensure!(!split.slices(Subset::Validation).is_empty(), "the split has no validation slices");
    ensure!(
        !run.test_every_epoch || !split.slices(Subset::Test).is_empty(),
        "the split has no test slices, and the run scores them after every epoch (test_every_epoch)"
    );
    Ok(())
}
