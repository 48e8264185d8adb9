//! From a folder of chest-CT slices to a comparison of networks that can be trusted.
//!
//! The nouns are those of the field. A **patient** has one or more **scans** (a CT series, a folder `ct_scan_N`); a scan
//! has **slices** (images). A **subset** is train, validation, test or prediction; a **split** is the whole assignment.
//! Each stage is one call that turns one value into the next, and each value has a file it is written to and read from:
//!
//! | stage | call | value | file |
//! |---|---|---|---|
//! | rent | [`Plan::new`] | [`Plan`] | `cloud.json` |
//! | fetch | [`staging::stage`], [`cloud::stage`] | | the data's root folder |
//! | find | [`Workspace::open`], [`Workspace::dataset`] | the data's root folder | |
//! | list and audit | [`Workspace::run_audit`], which reads what has changed since the last audit; of other folders [`Audit::incremental`], without an earlier audit [`Audit::in_one_pass`] or [`Manifest::scan`] and [`Audit::run`] | [`Audit`] with its [`Manifest`], [`Audit::accepted`] | `data_manifest/<data set>/audit.json`, `…/manifest.parquet` |
//! | label | [`Manifest::write_label_table`] | | `labels.csv` |
//! | measure the leak | [`LeakProbe::measure`] | [`LeakProbe`] | `data_manifest/<data set>/leakage.json` |
//! | look for shortcuts | [`Shortcuts::measure`] | [`Shortcuts`] | `data_manifest/<data set>/shortcuts.json` |
//! | open a run | [`Experiment::open`] | [`Experiment`]: [`RunConfig`], [`Split`], [`SliceCache`], [`RunFolder`] | `cache/<key>/slices.bin` |
//! | train | [`Experiment::train`] | [`History`], checkpoints | `runs/<data set>/<run>/split.json`, `…/history.json`, `…/best.safetensors` |
//! | evaluate | [`Experiment::evaluate`] | [`Evaluation`], [`Assessment`], [`Predictions`] | `…/evaluation.json`, `…/predictions-*.parquet` |
//! | predict | [`Experiment::predict`] | [`Inference`] | `…/inference.json` |
//! | judge new scans | [`Experiment::judge`], [`RunFolder::judge`] | [`NewScans`], [`NewScans::write`] | `…/judged/<name>-<hash>/` |
//! | validate | [`RunFolder::validate`] | [`Validated`], [`Validated::write`] | `…/external/<name>-<hash>/` |
//! | explain | [`Experiment::explain`] | [`Explanations`] | `…/explanations-*.json` |
//! | export | [`Classifier::export`] | | `model.pt` or `model.safetensors`, and its card `….json`, `….md` |
//! | judge whole scans | [`Experiment::scan_model`] | [`ScanModel`] | `…/scan-model.json` |
//! | compare | [`Comparison::of`], [`Ablation::run`], [`CrossValidation::run`], [`SeedAverage::run`] | [`Comparison`] and others | |
//! | report | [`Report::new`] | [`Report`] | `report.html`, `report.json` |
//!
//! An [`Experiment`] owns its run: settings, slices, split, cache and folder are compared with each other once, when it is
//! opened; its folder ([`RunFolder`]) reads and writes every file of the run. The rooms of the source, and where to change
//! what, are in `docs/architecture.md`.
//!
//! Four rules hold everywhere:
//!
//! - **Hashes bind the chain.** Split, cache, checkpoint and predictions carry the hash of the manifest they were made
//!   from; what does not belong together is an error that names both.
//! - **A leak is never silent.** [`RunConfig::published`] repeats the slides' slice-level split; wherever it is shown it
//!   says so, and [`Split`] lists what subsets share. [`RunConfig::of`] keeps patients apart.
//! - **A frozen network is run once.** Its features of every slice are kept next to the slice cache; see
//!   [`Learn`] for what learns and `docs/networks.md` for when this is exact.
//! - **Source data is never changed**, bad files are findings and not aborts, and an undefined ratio is `None` (shown as
//!   –), never 0 or NaN.
//!
//! A network of your own is a [`SliceNetwork`] on tch's modules: [`register_network`] gives it a name, and from then on it is
//! an [`Architecture`] that is trained, evaluated and compared by the same calls.
//!
//! Values show themselves: as the last line of a notebook cell ([`Show`]) and with `Display` in a terminal. Long stages call
//! back with [`Progress`]; an [`Experiment`] prints its own ([`RunEvent`]) unless it is given a callback.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod base;
mod data;
mod evaluate;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod nn;
mod remote;
mod report;
mod stats;
mod train;

pub use base::escape::{shell_word, visible};
pub use base::figure::Figure;
pub use base::files::Digest;
pub use base::interrupt::ask_to_end;
pub use base::output::{complain, keep_going_at_file_size_limit, lost_output, say};
pub use base::progress::Progress;
pub use base::ranks::{is_alone, rank_by_launcher, seconds_reducing, speaks};
pub use base::table::{Page, Show, ShowInNotebook, Table};
pub use data::audit::{Audit, Check, EarlierAudit, Expectation, Finding, Incremental, Recognition, Scale, Severity};
pub use data::augment::Augmentation;
pub use data::cache::SliceCache;
pub use data::decode::{ColourMode, DecodeError, Format, Header, MAX_SIDE, decode_grey};
pub use data::lungs::LungMask;
pub use data::manifest::{
    Acquisition, Irregular, IrregularKind, Label, Manifest, MappedFolder, Rejected, Rejection, RootTables, Scan, Set,
    Slice,
};
pub use data::phantom::{Phantom, PhantomConfig, PlantedDefect, draw_phantom};
pub use data::pixels::{GreyImage, SixteenBit, StoredRange};
pub use data::preprocess::{Crop, Preprocess, Storage, Stretch, WithoutLungs};
pub use data::resize::resize_grey;
pub use data::split::{ExcludedScan, Fold, Overlap, Split, SplitConfig, SplitUnit, Subset};
pub use data::window::Window;
pub use data::workspace::Workspace;
pub use evaluate::ablation::{Ablation, AblationRow};
pub use evaluate::assessment::{Assessed, Assessment, Calibrated, Omitted, Part, Recalibrated, RocCurves, RuleResult};
pub use evaluate::compare::{Comparison, ComparisonRow, ScanFigures};
pub use evaluate::cross_validation::{CrossValidation, FoldResult};
pub use evaluate::decision_rules::{Choice, LabelledScan, Rule, RuleKind};
pub use evaluate::evaluation::{Block, Evaluation, NetworkSummary, SubsetCount, SubsetEvaluation};
pub use evaluate::explain::{Explained, Explanations, Gallery, GalleryKind, HeatMap, LungsFrom};
pub use evaluate::external::{ExternalValidation, Validated};
pub use evaluate::incomplete::IncompleteScan;
pub use evaluate::inference::{Inference, InferredScan};
pub use evaluate::judge::NewScans;
pub use evaluate::leak::{LeakArm, LeakGap, LeakProbe};
pub use evaluate::out_of_distribution::{GreyLevels, OutOfDistribution};
pub use evaluate::paired_runs::{PairedRun, PairedRuns};
pub use evaluate::predict::{About, Classifier, Predictions, SlicePrediction};
pub use evaluate::published::{Misprint, Published, PublishedEpoch, PublishedModel};
pub use evaluate::scan_decisions::{ScanPrediction, ScanPredictions, ScanRule};
pub use evaluate::scan_model::{
    ModelAndVote, ModelledScan, ModelledSubset, ScanCandidateResult, ScanModel, ScanModelResults, ScanVerdict,
};
pub use evaluate::seed_average::{SeedAverage, SeedResult, SeedSubset};
pub use evaluate::shortcuts::{CueComparison, CueComparisonRow, CueRow, Cues, Probe, ProbeRow, Shortcuts};
pub use nn::learn::{Learn, Precision};
pub use nn::model::{Architecture, Network, SliceNetwork, register_network};
pub use nn::optimizer::{Adam, LossScale, Scaling, clip, gradient};
pub use nn::rank_sums::{JoinedRanks, join_ranks};
pub use nn::scan_pooling::{PooledScans, Pooling, ScanCandidate, ScanNetwork, ScanTraining};
pub use nn::weights::{Weights, WeightsFile, WeightsLookup, WeightsNotice};
pub use remote::cloud::{CloudConfig, Plan, SetupState};
pub use remote::{cloud, staging};
pub use report::Report;
pub use report::checklist::{Answer, Checklist, Facts, Item};
pub use stats::calibration::{Calibration, CalibrationLine, ReliabilityBin, ScanCalibrator, Temperature, logit};
pub use stats::metrics::{
    ClassScores, ClassificationReport, ConfusionMatrix, Difference, Estimate, Interval, McNemar, Measure, Paired,
    Performance, Predicted, RocCurve, ScoredSample, Scores, Truth, average_precision, holm,
};
pub use train::checkpoint::CheckpointInfo;
pub use train::config::{AccuracyRule, RunConfig};
pub use train::doctor::Doctor;
pub use train::epoch::{EpochRecord, Score, SolvedHead, Sums};
pub use train::event::RunEvent;
pub use train::experiment::Experiment;
pub use train::history::History;
pub use train::position::Position;
pub use train::provenance::Provenance;
pub use train::recipe::{Recipe, Schedule, Selection, Weighting};
pub use train::run_folder::{Artifact, RunFolder};

// For cells that go further: the same versions the library uses.
pub use polars;
pub use tch;

/// The examples of README and docs are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/accuracy.md")]
struct Readme;
