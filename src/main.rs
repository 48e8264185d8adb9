//! The command line: one subcommand a stage.

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use covid_ct::{
    Audit, Check, Classifier, Comparison, Doctor, Evaluation, Expectation, Manifest, PhantomConfig, Progress,
    Published, Report, RunConfig, ScanRule, Severity, SliceCache, Split, Subset, TrainEvent, Workspace, draw_phantom,
    train,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Audit, split, train, evaluate and report: COVID-19 classification of chest-CT slices.
///
/// Every stage reads what the one before it wrote, so they can be run one by one, again, and on other days:
///
///   covid-ct audit  →  split  →  cache  →  train  →  evaluate  →  predict  →  report
///
/// The data set is --data (or COVID_CT_DATA), in the layout train/{covid,non-covid}/ct_scan_N/M.jpg, val/… and
/// prediction/ct_scan_N/M.jpg; without one, a synthetic phantom is drawn. Results go to the workspace: data_manifest/,
/// cache/ and runs/. For research, not for diagnosis.
#[derive(Parser)]
#[command(name = "covid-ct", version, verbatim_doc_comment)]
struct Cli {
    /// Root folder of the data set [default: the phantom]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where results go [default: the nearest folder upwards with data_manifest/, else the present one]
    #[arg(long, global = true, value_name = "DIR")]
    workspace: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draw synthetic chest scans with a planted defect of every kind
    Phantom(PhantomArgs),
    /// List every slice, decode it once, and say what is wrong with the data
    ///
    /// Exit code 3 when --expect names a file and something differs from it.
    Audit {
        /// Known counts and defects to hold the data against, such as data_manifest/cov19-ct-db.json
        #[arg(long, value_name = "FILE")]
        expect: Option<PathBuf>,
        /// List every finding of this check
        #[arg(long, value_name = "CHECK")]
        details: Option<String>,
    },
    /// Divide the slices into train, validation and test, and prove that they share nobody
    Split(RunArgs),
    /// Decode and resize every accepted slice once, into one memory-mapped file
    Cache(RunArgs),
    /// Train a network; goes on by itself after a kill
    Train(RunArgs),
    /// Judge train, validation and test with the best checkpoint, per slice and per scan
    Evaluate(RunArgs),
    /// Judge the unlabelled scans
    Predict(RunArgs),
    /// Write report.html and report.json over finished runs
    Report {
        /// Names of the runs [default: every evaluated run]
        runs: Vec<String>,
        /// Published results to stand beside them
        #[arg(long, value_name = "FILE")]
        published: Option<PathBuf>,
        /// Where to write [default: the workspace]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Look at libtorch, CUDA, the kernel, disk and memory, and say what is wrong
    ///
    /// Exit code 3 when something is.
    Doctor,
}

#[derive(Args)]
struct PhantomArgs {
    /// Folder to draw into; must be empty or hold the same phantom
    dir: PathBuf,
    /// Scans of each class in train/
    #[arg(long, default_value_t = PhantomConfig::default().train_scans)]
    train_scans: usize,
    /// Scans of each class in val/
    #[arg(long, default_value_t = PhantomConfig::default().val_scans)]
    val_scans: usize,
    /// Scans in prediction/
    #[arg(long, default_value_t = PhantomConfig::default().prediction_scans)]
    prediction_scans: usize,
    /// Slices in a scan, on average
    #[arg(long, default_value_t = PhantomConfig::default().slices)]
    slices: usize,
    /// Side of a slice in pixels
    #[arg(long, default_value_t = PhantomConfig::default().size)]
    size: u32,
    /// JPEG quality, 1 to 100
    #[arg(long, default_value_t = PhantomConfig::default().quality)]
    quality: u8,
    /// Seed: the same seed draws the same bytes
    #[arg(long, default_value_t = PhantomConfig::default().seed)]
    seed: u64,
    /// Plant no defects
    #[arg(long)]
    no_defects: bool,
}

/// Which experiment. Options given here go before the preset or the file.
#[derive(Args)]
struct RunArgs {
    /// Settings as JSON (a run's own config.json works)
    #[arg(long, value_name = "FILE", conflicts_with = "published")]
    config: Option<PathBuf>,
    /// The slides' procedure to the letter, its leaking slice-level split included
    #[arg(long)]
    published: bool,
    /// 48×48 pixels and few epochs: minutes without a GPU
    #[arg(long)]
    small: bool,
    /// Name of the run's folder
    #[arg(long)]
    name: Option<String>,
    /// auto, cpu or cuda:N
    #[arg(long)]
    device: Option<String>,
    /// Passes over the training set
    #[arg(long)]
    epochs: Option<usize>,
    /// Side of the network's input in pixels
    #[arg(long)]
    size: Option<u32>,
    /// Slices in a batch
    #[arg(long)]
    batch_size: Option<usize>,
    /// Adam's learning rate
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Seed of weights and order
    #[arg(long)]
    seed: Option<u64>,
    /// Minutes between checkpoints; 0 after every batch
    #[arg(long)]
    checkpoint_minutes: Option<f64>,
}

impl RunArgs {
    fn config(&self) -> Result<RunConfig> {
        let mut run = match &self.config {
            Some(path) => RunConfig::read(path)?,
            None if self.published => RunConfig::published(),
            None => RunConfig::default(),
        };
        if self.small {
            run = run.small();
        }
        fn set<T: Clone>(field: &mut T, given: &Option<T>) {
            if let Some(value) = given {
                field.clone_from(value);
            }
        }
        set(&mut run.name, &self.name);
        set(&mut run.device, &self.device);
        set(&mut run.epochs, &self.epochs);
        set(&mut run.preprocess.size, &self.size);
        set(&mut run.batch_size, &self.batch_size);
        set(&mut run.learning_rate, &self.learning_rate);
        set(&mut run.seed, &self.seed);
        set(&mut run.checkpoint_minutes, &self.checkpoint_minutes);
        run.check().context("reading the options of the run")?;
        Ok(run)
    }
}

fn main() -> ExitCode {
    match work(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("covid-ct: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn work(cli: Cli) -> Result<ExitCode> {
    if let Command::Phantom(args) = &cli.command {
        return phantom(args).map(|()| ExitCode::SUCCESS);
    }
    let from_env = |name| std::env::var_os(name).map(PathBuf::from);
    let home = cli.workspace.or_else(|| from_env("COVID_CT_WORKSPACE"));
    let workspace = Workspace::at(home, cli.data.or_else(|| from_env("COVID_CT_DATA")))?;
    match &cli.command {
        Command::Phantom(_) => {}
        Command::Audit { expect, details } => return audit(&workspace, expect.as_deref(), details.as_deref()),
        Command::Split(args) => {
            let (_, split) = split(&workspace, &args.config()?)?;
            println!("{split}\n\n{}", split.overlap_table(20));
        }
        Command::Cache(args) => {
            let run = args.config()?;
            println!("{}", cache(&workspace, &Audit::read(workspace.manifest_folder())?.accepted(), &run)?);
        }
        Command::Train(args) => {
            let run = args.config()?;
            let (accepted, split) = split(&workspace, &run)?;
            let cache = cache(&workspace, &accepted, &run)?;
            println!("{}\n", run.table());
            let bar = Bar::new();
            let history = train(workspace.runs_folder(), &cache, &split, &run, |event| bar.event(event))?;
            println!("\n{history}\n\nNext: covid-ct evaluate --name {}", run.name);
        }
        Command::Evaluate(args) => {
            let (run, cache, split) = finished(&workspace, args)?;
            let evaluation = Evaluation::run(workspace.run_folder(&run.name), &cache, &split, Bar::new().show())?;
            println!("\n{evaluation}\n");
            for subset in evaluation.subsets.iter().map(|s| s.subset) {
                println!("{subset}, by slice\n{}", evaluation.slice_report(subset)?);
                println!("{subset}, by scan\n{}", evaluation.scan_report(subset)?);
            }
        }
        Command::Predict(args) => {
            let (run, cache, split) = finished(&workspace, args)?;
            let folder = workspace.run_folder(&run.name);
            let rule = ScanRule::read(&folder)?;
            let classifier = Classifier::load(folder.join("best.safetensors"))?;
            let predictions = classifier.predict(&cache, &split, Subset::Prediction, Bar::new().show())?;
            predictions.write(&folder)?;
            let scans = predictions.by_scan(&rule);
            scans.write(&folder)?;
            println!(
                "\n{}\n\n{scans}\n\nWritten to {}/predictions-prediction.*",
                predictions.summary(),
                folder.display()
            );
        }
        Command::Report { runs, published, out } => report(&workspace, runs, published.as_deref(), out.clone())?,
        Command::Doctor => {
            let doctor = Doctor::examine(&workspace);
            println!("{doctor}");
            return Ok(if doctor.is_well() { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn phantom(args: &PhantomArgs) -> Result<()> {
    let config = PhantomConfig {
        seed: args.seed,
        size: args.size,
        train_scans: args.train_scans,
        val_scans: args.val_scans,
        prediction_scans: args.prediction_scans,
        slices: args.slices,
        quality: args.quality,
        defects: !args.no_defects,
    };
    let phantom = draw_phantom(&args.dir, &config, Bar::new().show())?;
    println!(
        "{} scans, {} slices and {} planted defects in {}; the defects are listed in phantom.json.",
        phantom.scans,
        phantom.slices,
        phantom.defects.len(),
        args.dir.display()
    );
    Ok(())
}

fn audit(workspace: &Workspace, expect: Option<&std::path::Path>, details: Option<&str>) -> Result<ExitCode> {
    let expected = expect.map(Expectation::read).transpose()?;
    let check = details.map(|name| {
        let known = || Check::ALL.iter().map(|c| c.name()).collect::<Vec<_>>().join(", ");
        let found = Check::ALL.iter().find(|check| check.name() == name);
        found.with_context(|| format!("--details: expected one of {}; found {name:?}", known()))
    });
    let check = check.transpose()?;
    let root = workspace.dataset(Bar::new().show())?;
    let manifest = Manifest::scan(root, Bar::new().show())?;
    let audit = Audit::run(&manifest, Bar::new().show())?;
    audit.write(workspace.manifest_folder())?;
    println!("{}\n\n{audit}", audit.manifest());
    if let Some(check) = check {
        println!("\n{}", audit.details(*check));
    }
    let grave = audit.findings().iter().filter(|f| f.check.severity() == Severity::Exclude).count();
    println!("\n{grave} findings leave files out. Written to {}", workspace.manifest_folder().display());
    if let Some(expected) = expected {
        let (table, fits) = audit.against(&expected);
        println!("\n{table}");
        return Ok(if fits { ExitCode::SUCCESS } else { ExitCode::from(3) });
    }
    Ok(ExitCode::SUCCESS)
}

/// The split of a run: read where it was made before with the same settings, made and written otherwise.
fn split(workspace: &Workspace, run: &RunConfig) -> Result<(Manifest, Split)> {
    let folder = workspace.manifest_folder();
    ensure!(folder.join("audit.json").is_file(), "no audit in {}: run `covid-ct audit` first", folder.display());
    let accepted = Audit::read(folder)?.accepted();
    let split = Split::new(&accepted, &run.split)?;
    split.write(workspace.split_file(run.split.unit), &accepted)?;
    Ok((accepted, split))
}

fn cache(workspace: &Workspace, accepted: &Manifest, run: &RunConfig) -> Result<SliceCache> {
    SliceCache::open_or_build(workspace.cache_folder(), accepted, &run.preprocess, Bar::new().show())
}

/// What a trained run needs to be judged: its own settings, not those of the options.
fn finished(workspace: &Workspace, args: &RunArgs) -> Result<(RunConfig, SliceCache, Split)> {
    let name = args.config()?.name;
    let settings = workspace.run_folder(&name).join("config.json");
    if !settings.is_file() {
        bail!("no run {name:?} in {}: run `covid-ct train --name {name}` first", workspace.runs_folder().display());
    }
    let run = RunConfig::read(settings)?;
    let (accepted, split) = split(workspace, &run)?;
    let cache = cache(workspace, &accepted, &run)?;
    Ok((run, cache, split))
}

fn report(
    workspace: &Workspace,
    runs: &[String],
    published: Option<&std::path::Path>,
    out: Option<PathBuf>,
) -> Result<()> {
    let names = if runs.is_empty() { evaluated(workspace)? } else { runs.to_vec() };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let published = published.map(Published::read).transpose()?;
    println!("{}\n", Comparison::of(workspace.runs_folder(), &names)?);
    let report = Report::new(workspace, &names, published.as_ref())?;
    let page = report.write(out.unwrap_or_else(|| workspace.home().to_owned()))?;
    println!("{}", page.display());
    Ok(())
}

fn evaluated(workspace: &Workspace) -> Result<Vec<String>> {
    let runs = workspace.runs_folder();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&runs).with_context(|| format!("listing the runs in {}", runs.display()))? {
        let entry = entry?;
        if entry.path().join("evaluation.json").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(!names.is_empty(), "no evaluated run in {}: run `covid-ct train` and `covid-ct evaluate`", runs.display());
    names.sort();
    Ok(names)
}

/// A bar on a terminal; plain lines where there is none.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar }
    }

    fn show(self) -> impl Fn(&Progress) + Sync {
        move |progress| self.progress(progress)
    }

    fn progress(&self, progress: &Progress) {
        if self.bar.is_hidden() {
            eprintln!("{progress}");
            return;
        }
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.bar.set_length(progress.total as u64);
        self.bar.set_position(progress.done as u64);
        self.bar.set_prefix(progress.stage.clone());
        let left = progress.left().map_or(String::new(), |left| format!(", {} s left", left.as_secs()));
        let note = if progress.note.is_empty() { String::new() } else { format!(", {}", progress.note) };
        self.bar.set_message(format!("{:.0} {}/s{note}{left}", progress.rate, progress.unit));
        if progress.done == progress.total {
            self.bar.finish();
        }
    }

    fn event(&self, event: &TrainEvent) {
        match event {
            TrainEvent::Working(progress) => self.progress(progress),
            other if self.bar.is_hidden() => eprintln!("{other}"),
            other => self.bar.println(other.to_string()),
        }
    }
}
