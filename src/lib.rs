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
//! | list | [`Manifest::scan`] | [`Manifest`] | `data_manifest/<data set>/manifest.parquet` |
//! | audit | [`Audit::run`], or both and the cache [in one pass](Audit::in_one_pass) | [`Audit`], [`Audit::accepted`] | `…/audit.json` |
//! | split | [`Split::new`] | [`Split`] | `…/split-patient.json` |
//! | cache | [`SliceCache::open_or_build`] | [`SliceCache`] | `cache/<key>/slices.bin` |
//! | weights | [`Weights::find`] | [`Weights`] | PyTorch's own folder of downloads |
//! | train | [`train()`] | [`History`], checkpoints | `runs/<data set>/<run>/` |
//! | evaluate | [`Evaluation::run`] | [`Evaluation`] | `runs/<data set>/<run>/evaluation.json` |
//! | predict | [`Classifier::predict`] | [`Predictions`], [`ScanPredictions`] | `runs/<data set>/<run>/predictions-*.parquet` |
//! | export | [`Classifier::export`] | | `model.pt` or `model.safetensors`, and its card `….json`, `….md` |
//! | compare | [`Comparison::of`] | [`Comparison`] | |
//! | report | [`Report::new`] | [`Report`] | `report.html`, `report.json` |
//!
//! Four rules hold everywhere:
//!
//! - **Hashes bind the chain.** Split, cache, checkpoint and predictions carry the hash of the manifest they were made
//!   from; what does not belong together is an error that names both.
//! - **A leak is never silent.** [`RunConfig::published`] repeats the slides' slice-level split; wherever it is shown it
//!   says so, and [`Split`] lists what subsets share. [`RunConfig::default`] keeps patients apart.
//! - **A frozen network is run once.** Its features of every slice are kept beside the slice cache; see
//!   [`Learn`] for what learns and `docs/networks.md` for when this is exact.
//! - **Source data is never changed**, bad files are findings and not aborts, and an undefined ratio is `None` (shown as
//!   –), never 0 or NaN.
//!
//! Values show themselves: as the last line of a notebook cell ([`Show`]) and with `Display` in a terminal. The library
//! prints nothing of its own; long stages call back with [`Progress`].

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod ahead;
mod assess;
mod audit;
mod cache;
mod calibration;
mod checklist;
mod checkpoint;
pub mod cloud;
mod compare;
mod config;
mod cuda;
mod decode;
mod doctor;
mod evaluation;
mod explain;
mod export;
mod features;
mod feed;
mod figure;
mod files;
mod history;
mod inference;
mod leak;
mod lungs;
mod manifest;
mod metrics;
mod model;
mod optimizer;
mod order;
mod pack;
mod paired;
mod parallel;
mod phantom;
mod predict;
mod progress;
mod provenance;
mod published;
mod report;
mod resize;
mod rows;
mod rules;
mod scan;
mod script;
mod shortcuts;
mod split;
pub mod staging;
mod table;
mod train;
mod typical;
mod weights;
mod workspace;

pub use assess::{Assessed, Assessment, Calibrated, Recalibrated, RocCurves, RuleResult};
pub use audit::{Audit, Check, Expectation, Finding, Scale, Severity};
pub use cache::SliceCache;
pub use calibration::{Calibration, CalibrationLine, ReliabilityBin, ScanCalibrator, Temperature, logit};
pub use checklist::{Answer, Checklist, Facts, Item};
pub use checkpoint::{CheckpointInfo, Position, Sums};
pub use cloud::{CloudConfig, Plan, SetupState};
pub use compare::{Comparison, ComparisonRow};
pub use config::{AccuracyRule, Learn, Precision, Preprocess, RunConfig, SplitConfig, SplitUnit, Storage};
pub use decode::{ColourMode, DecodeError, Format, GreyImage, Header, MAX_SIDE, decode_grey};
pub use doctor::Doctor;
pub use evaluation::{Block, Evaluation, NetworkSummary, SubsetCount, SubsetEvaluation};
pub use explain::{Explained, Explanations, HeatMap, LungsFrom};
pub use figure::Figure;
pub use files::Digest;
pub use history::{EpochRecord, History, Score};
pub use inference::{Inference, InferredScan};
pub use leak::{LeakArm, LeakGap, LeakProbe};
pub use lungs::LungMask;
pub use manifest::{Label, Manifest, Scan, Set, Slice};
pub use metrics::{
    ClassScores, ClassificationReport, ConfusionMatrix, Difference, Estimate, Interval, Judged, McNemar, Measure,
    Paired, Performance, Predicted, RocCurve, Scores, Truth, average_precision, holm,
};
pub use model::{Architecture, Network};
pub use optimizer::{Adam, LossScale, Scaling, gradient};
pub use paired::{PairedRun, PairedRuns};
pub use phantom::{Phantom, PhantomConfig, PlantedDefect, draw_phantom};
pub use predict::{About, Classifier, Predictions, SlicePrediction};
pub use progress::Progress;
pub use provenance::Provenance;
pub use published::{Misprint, Published, PublishedEpoch, PublishedModel};
pub use report::Report;
pub use resize::resize_grey;
pub use rules::{Choice, JudgedScan, Rule, RuleKind};
pub use scan::{ScanPrediction, ScanPredictions, ScanRule};
pub use shortcuts::{BesideCues, BesideRow, CueRow, Cues, Probe, ProbeRow, Shortcuts};
pub use split::{LeftOut, Overlap, Split, Subset};
pub use table::{Page, Show, Shown, Table};
pub use train::{TrainEvent, train};
pub use typical::Typical;
pub use weights::{Weights, WeightsAtHand, WeightsFile};
pub use workspace::Workspace;

// For cells that go further: the same versions the library uses.
pub use polars;
pub use tch;

/// The README's examples are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
