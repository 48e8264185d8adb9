//! The command line.

use anyhow::{Context, Result};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use covid_ct::{
    Architecture, Crop, LeakProbe, PhantomConfig, Precision, RunConfig, SeedAverage, Stretch, Subset, Window,
    WithoutLungs,
};
use std::ops::RangeInclusive;
use std::path::PathBuf;

pub mod audit_command;
pub mod bar;
pub mod bench;
pub mod cloud_command;
pub mod data_commands;
pub mod demo_command;
pub mod report_commands;
pub mod run_commands;
pub mod signals;
pub mod stage_command;

/// Audit, split, train, evaluate and report: COVID-19 classification of chest-CT slices.
///
/// Every stage reads what the one before it wrote, so they can be run one by one, again, and on other days:
///
///   covid-ct audit  →  split  →  cache  →  train  →  evaluate  →  predict  →  explain  →  report
///
/// and to check the data for leaks and shortcuts: leakage, shortcuts.
///
/// The data set is --data (or COVID_CT_DATA), in the layout train/{covid,non-covid}/ct_scan_N/, val/… and
/// prediction/ct_scan_N/, or in any layout with a labels.csv; slices are JPEG, PNG, TIFF, DICOM, NIfTI, NRRD or MetaImage.
/// Without one, a synthetic phantom is drawn. Results go to the workspace: data_manifest/,
/// cache/ and runs/. For research, not for diagnosis.
#[derive(Parser)]
#[command(name = "covid-ct", version, verbatim_doc_comment)]
pub struct Cli {
    /// Root folder of the data set [default: the phantom]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of results [default: the nearest parent folder with data_manifest/, else the current one]
    #[arg(long, global = true, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    #[command(subcommand)]
    pub command: CliCommand,
}

#[derive(Subcommand)]
pub enum CliCommand {
    /// Draw synthetic chest scans with a planted defect of every kind
    Phantom(PhantomArgs),
    /// List every slice, decode it once, and say what is wrong with the data
    ///
    /// Exit code 3 when --expect names a file and something differs from it.
    Audit(audit_command::AuditArgs),
    /// Show audited scans: a page each with its slices in order, the lungs along it, what was found and what was left out
    ///
    /// Written to pages/ beside the audit, with an index that shows what each check found.
    Pages(data_commands::PagesArgs),
    /// Divide the slices into train, validation and test, and prove that no patient is in two of them
    Split(RunArgs),
    /// Decode and resize every accepted slice once, into one file, with checksums
    Cache(RunArgs),
    /// Train a network; resumes after a kill
    ///
    /// With --folds or --seeds several, each evaluated and then judged together.
    Train {
        #[command(flatten)]
        run: RunArgs,
        /// Cross-validate by patient: this many runs, 3 to 20, that test every labelled scan once
        #[arg(long, value_name = "N", conflicts_with = "seeds")]
        folds: Option<usize>,
        /// Average this many runs, 2 to 100, that differ in their seed: --seed and those after it
        #[arg(long, value_name = "N", value_parser = count_within(SeedAverage::SEEDS))]
        seeds: Option<usize>,
    },
    /// Train with each part of the recipe left out in turn, and compare on the same test scans
    Ablation(RunArgs),
    /// Evaluate the best checkpoint on train, validation and test, per slice and per scan
    Evaluate(Trained),
    /// Judge scans by the features of all their slices, and compare with the vote of the slices
    ScanModel(Trained),
    /// Predict the unlabelled scans, or scans from anywhere else
    ///
    /// Without PATH: the scans under prediction/. With it: a picture, a DICOM series, a volume, a folder of scans or a zip
    /// archive; what is written goes to judged/ in the run's folder. The training data is not needed: where it is gone,
    /// --name is the path of the run's folder, such as runs/mydata/fcn.
    Predict {
        #[command(flatten)]
        run: Trained,
        /// New scans to judge
        path: Option<PathBuf>,
    },
    /// Validate a finished network on labelled scans from elsewhere: the tables and intervals of the test set
    ///
    /// PATH is a folder or a zip archive, with scans below folders named covid and non-covid, or with a labels.csv. What is
    /// written goes to external/ in the run's folder, and the report shows it. The training data is not needed.
    Validate {
        #[command(flatten)]
        run: Trained,
        /// Labelled scans
        path: PathBuf,
    },
    /// Compute all that the notebooks show: audit, probes, trainings, report
    ///
    /// Trainings and probes that are there are not done again, so notebooks that are run afterwards, in the same workspace, only show it.
    Demo,
    /// Write a table of the scans in a folder, to be filled in with labels: labels.csv
    Labels {
        /// The folder; the table is written into it, unless --out names another file
        dir: PathBuf,
        /// Where to write
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Draw Grad-CAM heat maps, and measure how much of the heat lies outside the lungs
    Explain {
        #[command(flatten)]
        run: Trained,
        /// validation, test or prediction [default: test]
        #[arg(long)]
        subset: Option<Subset>,
    },
    /// Measure the leak of a slice split by a permutation test: true and shuffled labels, by slice and by patient
    Leakage {
        #[command(flatten)]
        run: RunArgs,
        /// Trainings of each kind
        #[arg(long, default_value_t = LeakProbe::REPEATS, value_parser = count_within(1..=LeakProbe::MOST_REPEATS))]
        repeats: usize,
    },
    /// Predict the label from shallow cues alone: file size, dimensions, colour mode, brightness, number of slices
    Shortcuts,
    /// Write report.html and report.json over finished runs, or the summary report.md
    Report(report_commands::ReportArgs),
    /// Write a trained network for other programs, with a card that says how to use it
    Export {
        #[command(flatten)]
        run: Trained,
        /// model.safetensors (torchvision's state dict) or model.pt (TorchScript)
        file: PathBuf,
    },
    /// The slides' workflow on Google Cloud: plan, costs, one step at a time
    ///
    /// Only `cloud run` calls anything; it asks before a step that changes something.
    Cloud(cloud_command::CloudArgs),
    /// Bring a data set from a bucket (gs://, s3://, file://) to a folder
    ///
    /// Every file is compared with the checksums of store and archive. Resumes after a kill. With --stream archives are
    /// unpacked while they arrive.
    Stage(stage_command::StageArgs),
    /// Measure one piece of work once and print the result as JSON; `make bench` compares it with Python
    Bench(bench::BenchArgs),
    /// Check libtorch, CUDA, the kernel, disk and memory
    ///
    /// Exit code 3 if something is wrong.
    Doctor,
}

#[derive(Args)]
pub struct PhantomArgs {
    /// Folder to draw into; must be empty or hold the same phantom
    pub dir: PathBuf,
    /// Scans of each class in train/
    #[arg(long, default_value_t = PhantomConfig::default().train_scans)]
    pub train_scans: usize,
    /// Scans of each class in val/
    #[arg(long, default_value_t = PhantomConfig::default().val_scans)]
    pub val_scans: usize,
    /// Scans in prediction/
    #[arg(long, default_value_t = PhantomConfig::default().prediction_scans)]
    pub prediction_scans: usize,
    /// Slices in a scan, on average
    #[arg(long, default_value_t = PhantomConfig::default().slices)]
    pub slices: usize,
    /// Side of a slice in pixels
    #[arg(long, default_value_t = PhantomConfig::default().size)]
    pub size: u32,
    /// JPEG quality, 1 to 100
    #[arg(long, default_value_t = PhantomConfig::default().quality)]
    pub quality: u8,
    /// Seed: the same seed draws the same bytes
    #[arg(long, default_value_t = PhantomConfig::default().seed)]
    pub seed: u64,
    /// Plant no defects
    #[arg(long)]
    pub no_defects: bool,
    /// Also draw what real data brings: foreign files, wrong views, patients that come again
    #[arg(long)]
    pub field_cases: bool,
}

/// A trained run; its settings are read from its folder.
#[derive(Args)]
pub struct Trained {
    /// Name of the run's folder, such as fcn-published or compact
    #[arg(long, default_value = "efficientnet_lite0")]
    pub name: String,
}

/// The settings of a run. Single options override the preset or the file.
#[derive(Args)]
pub struct RunArgs {
    /// Settings as JSON (a run's own config.json works)
    #[arg(long, value_name = "FILE", conflicts_with = "published")]
    pub config: Option<PathBuf>,
    /// fcn, vgg19, resnet152, densenet161, compact, efficientnet_lite0, efficientnet_lite2, resnet18 or resnet50
    /// [default: efficientnet_lite0; with --published: fcn; of leakage: densenet161]
    #[arg(long, value_name = "NETWORK", conflicts_with = "config")]
    pub network: Option<Architecture>,
    /// The slides' procedure, including its leaking slice-level split
    #[arg(long)]
    pub published: bool,
    /// Train the whole network, not only the head over a frozen backbone
    #[arg(long)]
    pub fine_tune: bool,
    /// imagenet, imagenet-v2, ct (of resnet152), a file of weights, or none for random ones
    #[arg(long, value_name = "SOURCE")]
    pub pretrained: Option<String>,
    /// Precision: f32, bf16, or f16 (CUDA only)
    #[arg(long, value_parser = precision)]
    pub precision: Option<Precision>,
    /// For a machine without a GPU: small pictures, small batches; minutes
    #[arg(long)]
    pub small: bool,
    /// Name of the run's folder
    #[arg(long)]
    pub name: Option<String>,
    /// auto, cpu or cuda:N
    #[arg(long)]
    pub device: Option<String>,
    /// Passes over the training set
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Side of the network's input in pixels
    #[arg(long)]
    pub size: Option<u32>,
    /// Window of DICOM and volumes: lung, mediastinum, bone, file (each file's own) or CENTRE/WIDTH in HU [default: lung]
    #[arg(long, allow_hyphen_values = true)]
    pub window: Option<Window>,
    /// Part of a picture that is kept: lung-box, lungs (their square), or whole [default: lung-box; with --published: whole]
    #[arg(long)]
    pub crop: Option<Crop>,
    /// Grey levels: lung-to-tissue, one scale for all exports, or as-is [default: lung-to-tissue; with --published: as-is]
    #[arg(long)]
    pub stretch: Option<Stretch>,
    /// Keep slices without lungs in training and prediction
    #[arg(long)]
    pub all_slices: bool,
    /// Slices in a batch
    #[arg(long)]
    pub batch_size: Option<usize>,
    /// Shares of a batch that are added up in a fixed order, a power of two: on CPUs the run has the same bits with any number of
    /// processes that divides it [default: 1, a share for each process]
    #[arg(long)]
    pub shares: Option<usize>,
    /// Adam's learning rate
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Seed of the initial weights and of the sampler
    #[arg(long)]
    pub seed: Option<u64>,
    /// Minutes between checkpoints; 0 after every batch
    #[arg(long)]
    pub checkpoint_minutes: Option<f64>,
}

/// Reads a count within a range; the message names it.
fn count_within(range: RangeInclusive<usize>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(*range.start() as u64..=*range.end() as u64)
}

fn precision(name: &str) -> Result<Precision, String> {
    match name {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        "f16" => Ok(Precision::F16),
        _ => Err("expected f32, bf16 or f16".to_owned()),
    }
}

fn storage(name: &str) -> Result<covid_ct::Storage, String> {
    match name {
        "packed" => Ok(covid_ct::Storage::Packed),
        "raw" => Ok(covid_ct::Storage::Raw),
        _ => Err("expected packed or raw".to_owned()),
    }
}

impl RunArgs {
    /// The settings from these options.
    pub fn config(&self) -> Result<RunConfig> {
        let mut run = match &self.config {
            Some(path) => RunConfig::read(path)?,
            None if self.published => RunConfig::published(self.network.unwrap_or(Architecture::Fcn)),
            None => self.network.map_or_else(RunConfig::default, RunConfig::of),
        };
        if self.fine_tune {
            run = run.fine_tune();
        }
        if self.small {
            run = run.small();
        }
        self.set_on(run)
    }

    /// Overrides settings by the single options.
    pub fn set_on(&self, mut run: RunConfig) -> Result<RunConfig> {
        fn set<T: Clone>(field: &mut T, given: &Option<T>) {
            if let Some(value) = given {
                field.clone_from(value);
            }
        }
        if let Some(source) = &self.pretrained {
            let source = (source != "none").then(|| source.clone());
            // A file of settings names its run itself.
            let named = self.config.is_some().then(|| run.name.clone());
            run = run.with_pretrained(source);
            set(&mut run.name, &named);
        }
        set(&mut run.name, &self.name);
        set(&mut run.precision, &self.precision);
        set(&mut run.device, &self.device);
        set(&mut run.epochs, &self.epochs);
        set(&mut run.preprocess.size, &self.size);
        set(&mut run.preprocess.window, &self.window);
        set(&mut run.preprocess.crop, &self.crop);
        set(&mut run.preprocess.stretch, &self.stretch);
        let looks_for_lungs = run.preprocess.crop != Crop::Whole || run.preprocess.stretch != Stretch::AsIs;
        if self.all_slices || !looks_for_lungs {
            run.preprocess.without_lungs = WithoutLungs::Keep;
        }
        set(&mut run.batch_size, &self.batch_size);
        set(&mut run.shares, &self.shares);
        set(&mut run.learning_rate, &self.learning_rate);
        set(&mut run.seed, &self.seed);
        set(&mut run.checkpoint_minutes, &self.checkpoint_minutes);
        run.check().context("reading the options of the run")?;
        Ok(run)
    }
}
