//! The command line: one subcommand a stage.

use anyhow::Result;
use clap::Parser;
use cli::bar::Bar;
use cli::{Cli, Command, PhantomArgs, RunArgs, Trained};
use covid_ct::{
    Architecture, Artifact, Comparison, Doctor, Experiment, LeakProbe, PhantomConfig, Preprocess, Published, Report,
    RunConfig, Shortcuts, SliceCache, Subset, Weights, Workspace, draw_phantom,
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
        Command::Audit(args) => return cli::audit_command::run(args, &workspace),
        Command::Split(args) => {
            let run = opened(&workspace, args.config()?)?;
            println!("{}\n\n{}", run.split(), run.split().overlap_table(20));
        }
        Command::Cache(args) => println!("{}", opened(&workspace, args.config()?)?.cache()),
        Command::Train(args) => {
            let run = opened(&workspace, args.config()?)?;
            println!("{}\n", run.settings().table());
            println!("\n{}\n\nNext: covid-ct evaluate --name {}", run.train()?, run.settings().name);
        }
        Command::Evaluate(Trained { name }) => {
            let evaluation = Experiment::reopen_in(&workspace, name, Bar::new().show())?.evaluate()?;
            println!("\n{evaluation}\n");
            for subset in evaluation.subsets.iter().map(|s| s.subset) {
                println!("{subset}, by slice\n{}", evaluation.slice_report(subset)?);
                println!("{subset}, by scan\n{}", evaluation.scan_report(subset)?);
            }
        }
        Command::Predict(Trained { name }) => {
            let run = Experiment::reopen_in(&workspace, name, Bar::new().show())?;
            let inference = run.predict()?;
            run.heat_by_scan()?;
            let predictions = run.predictions(Subset::Prediction)?;
            println!("\n{}\n\n{inference}\n\nWritten to {}", predictions.summary(), run.folder().path().display());
        }
        Command::Explain { run: Trained { name }, subset } => {
            let run = Experiment::reopen_in(&workspace, name, Bar::new().show())?;
            let subset = subset.unwrap_or(Subset::Test);
            let explanations = run.explain(subset)?;
            for (number, gallery) in (1..).zip(&explanations.galleries) {
                let file = run.folder().path_of(Artifact::Gallery(subset, number));
                println!("{}: {}", gallery.figure.title(), file.display());
            }
            println!("\n{explanations}");
        }
        Command::Leakage { run, repeats } => leakage(&workspace, run, *repeats)?,
        Command::Shortcuts => {
            let preprocess = RunConfig::default().small().preprocess;
            let cache = cache(&workspace, &preprocess)?;
            println!("{}", Shortcuts::run(workspace.manifest_folder(), &cache)?);
        }
        Command::Report { runs, published, out } => report(&workspace, runs, published.as_deref(), out.clone())?,
        Command::Export { run, file } => {
            let classifier = workspace.run(&run.name).classifier()?;
            let card = classifier.export(file)?;
            println!("{}\n{}", file.display(), card.display());
        }
        Command::Cloud(args) => cli::cloud_command::cloud(args, workspace.home())?,
        Command::Stage(args) => cli::stage_command::run(args)?,
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
    let phantom = draw_phantom(&args.dir, &config, Bar::new().progress())?;
    println!(
        "{} scans, {} slices and {} planted defects in {}; the defects are listed in phantom.json.",
        phantom.scans,
        phantom.slices,
        phantom.defects.len(),
        args.dir.display()
    );
    Ok(())
}

fn opened(workspace: &Workspace, settings: RunConfig) -> Result<Experiment> {
    Experiment::open_in(workspace, settings, Bar::new().show())
}

fn cache(workspace: &Workspace, preprocess: &Preprocess) -> Result<SliceCache> {
    let accepted = workspace.audit()?.accepted();
    SliceCache::open_or_build(workspace.cache_folder(), &accepted, preprocess, Bar::new().progress())
}

fn leakage(workspace: &Workspace, args: &RunArgs, repeats: usize) -> Result<()> {
    let preset = if args.network.is_none() && args.config.is_none() && !args.published {
        // A head over frozen features learns in seconds; of the four this one keeps most of its input in them.
        let weights = Weights::imagenet_or_random(Architecture::DenseNet161, Bar::new().progress());
        let preset = RunConfig::of(Architecture::DenseNet161).with_weights(&weights);
        let preset = if args.fine_tune { preset.fine_tune() } else { preset };
        if args.small { preset.small() } else { preset }
    } else {
        args.config()?
    };
    let run = args.set_on(preset.leak_probe())?;
    let cache = cache(workspace, &run.preprocess)?;
    let probe = LeakProbe::run(workspace.manifest_folder(), &cache, &run, repeats, Bar::new().progress())?;
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
    let runs = match runs {
        [] => workspace.evaluated_runs().unwrap_or_default(),
        names => names.iter().map(|name| workspace.run(name)).collect(),
    };
    let published = published.map(Published::read).transpose()?;
    // What cannot be compared the report leaves out, and says why.
    if let Ok(comparison) = Comparison::of(&runs) {
        println!("{comparison}\n");
    }
    let report = Report::new(workspace, &runs, published.as_ref())?;
    let page = report.write(out.unwrap_or_else(|| workspace.home().to_owned()))?;
    println!("{}", page.display());
    Ok(())
}
