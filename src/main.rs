//! The command line: one subcommand a stage.

use anyhow::{Result, ensure};
use clap::Parser;
use cli::bar::Bar;
use cli::{Cli, Command, PhantomArgs, RunArgs, Trained};
use covid_ct::{
    Architecture, Classifier, Comparison, Doctor, Evaluation, Explanations, Inference, LeakProbe, Manifest,
    PhantomConfig, Published, Report, RunConfig, ScanRule, Shortcuts, SliceCache, Split, Subset, Weights, Workspace,
    draw_phantom, train,
};
use std::path::PathBuf;
use std::process::ExitCode;

mod cli;

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
        Command::Audit(args) => return cli::audit::run(args, &workspace),
        Command::Split(args) => {
            let (_, split) = split(&workspace, &args.config()?)?;
            println!("{split}\n\n{}", split.overlap_table(20));
        }
        Command::Cache(args) => {
            let run = args.config()?;
            println!("{}", cache(&workspace, &accepted(&workspace)?, &run)?);
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
            predictions.by_scan(&rule).write(&folder)?;
            let inference = Inference::of(&folder, &cache, &split, &predictions)?;
            inference.heat_figure(&classifier, &cache, &predictions)?.save(folder.join("heat-by-scan.svg"))?;
            let folder = folder.display();
            println!("\n{}\n\n{inference}\n\nWritten to {folder}/predictions-prediction.*", predictions.summary());
        }
        Command::Explain { run, subset } => {
            let (run, cache, split) = finished(&workspace, run)?;
            let (folder, subset) = (workspace.run_folder(&run.name), subset.unwrap_or(Subset::Test));
            let explanations = Explanations::run(&folder, &cache, &split, subset, Bar::new().show())?;
            for (number, figure) in (1..).zip(&explanations.galleries) {
                let file = folder.join(format!("heat-{subset}-{number}.svg"));
                figure.save(&file)?;
                println!("{}: {}", figure.title(), file.display());
            }
            println!("\n{explanations}");
        }
        Command::Leakage { run, repeats } => leakage(&workspace, run, *repeats)?,
        Command::Shortcuts => {
            let accepted = accepted(&workspace)?;
            let run = RunConfig::default().small();
            let cache = cache(&workspace, &accepted, &run)?;
            println!("{}", Shortcuts::run(workspace.manifest_folder(), &cache)?);
        }
        Command::Report { runs, published, out } => report(&workspace, runs, published.as_deref(), out.clone())?,
        Command::Export { run, file } => {
            let classifier = Classifier::load(workspace.run_folder(&run.name).join("best.safetensors"))?;
            let card = classifier.export(file)?;
            println!("{}\n{}", file.display(), card.display());
        }
        Command::Cloud(args) => cli::cloud::cloud(args, workspace.home())?,
        Command::Stage(args) => cli::stage::run(args)?,
        Command::Bench(args) => cli::bench::run(args, &workspace)?,
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

/// The split of a run, which follows from its settings; written down beside the manifest.
fn split(workspace: &Workspace, run: &RunConfig) -> Result<(Manifest, Split)> {
    let accepted = accepted(workspace)?;
    let split = Split::new(&accepted, &run.split)?;
    split.write(workspace.split_file(run.split.unit), &accepted)?;
    Ok((accepted, split))
}

fn accepted(workspace: &Workspace) -> Result<Manifest> {
    Ok(workspace.audit()?.accepted())
}

fn cache(workspace: &Workspace, accepted: &Manifest, run: &RunConfig) -> Result<SliceCache> {
    SliceCache::open_or_build(workspace.cache_folder(), accepted, &run.preprocess, Bar::new().show())
}

/// What a trained run needs to be judged.
fn finished(workspace: &Workspace, Trained { name }: &Trained) -> Result<(RunConfig, SliceCache, Split)> {
    let settings = workspace.run_folder(name).join("config.json");
    ensure!(
        settings.is_file(),
        "no run {name:?} in {}: run `covid-ct train` first, or name a run that is there (--name)",
        workspace.runs_folder().display()
    );
    let run = RunConfig::read(settings)?;
    let accepted = accepted(workspace)?;
    let split = Split::new(&accepted, &run.split)?;
    let cache = cache(workspace, &accepted, &run)?;
    Ok((run, cache, split))
}

fn leakage(workspace: &Workspace, args: &RunArgs, repeats: usize) -> Result<()> {
    let preset = if args.network.is_none() && args.config.is_none() && !args.published {
        // A head over frozen features learns in seconds; of the four this one keeps most of its input in them.
        let pretrained = Weights::imagenet_or_random(Architecture::DenseNet161, Bar::new().show()).setting();
        let preset = RunConfig { pretrained, ..RunConfig::of(Architecture::DenseNet161) };
        let preset = if args.fine_tune { preset.fine_tune() } else { preset };
        if args.small { preset.small() } else { preset }
    } else {
        args.config()?
    };
    let run = args.set_on(preset.leak_probe())?;
    let accepted = accepted(workspace)?;
    let cache = cache(workspace, &accepted, &run)?;
    let probe = LeakProbe::run(workspace.manifest_folder(), &cache, &run, repeats, Bar::new().show())?;
    probe.figure()?.save(workspace.manifest_folder().join("leakage.svg"))?;
    probe.gap_figure()?.save(workspace.manifest_folder().join("leakage-gap.svg"))?;
    println!("\n{probe}\n\nFigure: {}", workspace.manifest_folder().join("leakage.svg").display());
    Ok(())
}

fn report(
    workspace: &Workspace,
    runs: &[String],
    published: Option<&std::path::Path>,
    out: Option<PathBuf>,
) -> Result<()> {
    let names = if runs.is_empty() { workspace.evaluated_runs().unwrap_or_default() } else { runs.to_vec() };
    let published = published.map(Published::read).transpose()?;
    // What cannot be compared the report leaves out, and says why.
    if let Ok(comparison) = Comparison::of(workspace.runs_folder(), &names) {
        println!("{comparison}\n");
    }
    let report = Report::new(workspace, &names, published.as_ref())?;
    let page = report.write(out.unwrap_or_else(|| workspace.home().to_owned()))?;
    println!("{}", page.display());
    Ok(())
}
