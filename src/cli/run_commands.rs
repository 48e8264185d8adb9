//! Commands on one run: split, train, evaluate, predict, explain, export.

use super::bar::TerminalProgress;
use super::{RunArgs, Trained};
use anyhow::Result;
use covid_ct::{
    Ablation, Artifact, CrossValidation, Experiment, RunFolder, SeedAverage, Split, Subset, Workspace, say, shell_word,
    speaks, visible,
};
use std::path::Path;

fn opened(workspace: &Workspace, args: &RunArgs) -> Result<Experiment> {
    Experiment::open_in(workspace, args.config()?, TerminalProgress::new().show())
}

fn reopened(workspace: &Workspace, Trained { name }: &Trained) -> Result<Experiment> {
    Experiment::reopen_in(workspace, name, TerminalProgress::new().show())
}

/// Shows the split that a run would be trained with; training writes it into the run's folder.
pub fn split(workspace: &Workspace, args: &RunArgs) -> Result<()> {
    let split = Split::new(&workspace.audit()?.accepted(), &args.config()?.split)?;
    say(format_args!("{split}\n\n{}", split.overlap_table(20)));
    Ok(())
}

pub fn train(workspace: &Workspace, args: &RunArgs) -> Result<()> {
    let run = opened(workspace, args)?;
    say(format_args!("{}\n", run.settings()));
    let next = format!("covid-ct evaluate --name {}{}", shell_word(&run.settings().name), folders(workspace));
    say(format_args!("\n{}\n\nNext: {next}", run.train()?));
    Ok(())
}

/// The options of a further command that has the same data set, and results in the same folder.
fn folders(workspace: &Workspace) -> String {
    let data = workspace.own_data().map_or(String::new(), |data| format!(" --data {}", shell_word(data)));
    let is_found = Workspace::at(None, None).is_ok_and(|found| found.home() == workspace.home());
    data + &if is_found { String::new() } else { format!(" --workspace {}", shell_word(workspace.home())) }
}

/// Trains and evaluates every fold of a cross-validation.
pub fn ablation(workspace: &Workspace, args: &RunArgs) -> Result<()> {
    let complete = args.config()?;
    let found = Ablation::run(workspace, &complete, &complete.without_each_part(), TerminalProgress::new().show())?;
    say(format_args!("\n{found}"));
    Ok(())
}

pub fn cross_validate(workspace: &Workspace, args: &RunArgs, folds: usize) -> Result<()> {
    let found = CrossValidation::run(workspace, &args.config()?, folds, TerminalProgress::new().show())?;
    say(format_args!("\n{}\n", found.table()));
    if !found.total.sources.is_empty() {
        say(format_args!("{}\n", found.sources_table()));
    }
    say(format_args!("Written to {}", visible(workspace.run(&found.about.run).path())));
    Ok(())
}

/// Trains and evaluates `count` seeds, from the run's own on, and averages their predictions.
pub fn average_seeds(workspace: &Workspace, args: &RunArgs, count: usize) -> Result<()> {
    let config = args.config()?;
    let seeds: Vec<u64> = (0..count as u64).map(|index| config.seed.wrapping_add(index)).collect();
    let found = SeedAverage::run(workspace, &config, &seeds, TerminalProgress::new().show())?;
    say(format_args!("\n{}\n\n{}\n", found.table(), found.paired_table()));
    say(format_args!("Written to {}", visible(workspace.run(&found.averaged.run).path())));
    Ok(())
}

pub fn evaluate(workspace: &Workspace, trained: &Trained) -> Result<()> {
    let run = reopened(workspace, trained)?;
    let evaluation = run.evaluate()?;
    say(format_args!("\n{evaluation}\n"));
    if !speaks() {
        return Ok(());
    }
    let assessment = run.folder().assessment()?;
    say(format_args!("{assessment}\n"));
    for subset in evaluation.subsets.iter().map(|of| of.subset) {
        say(format_args!("{subset}, by slice\n{}", evaluation.slice_report(subset)?));
        say(format_args!("{subset}, by scan\n{}", evaluation.scan_report(subset)?));
    }
    if let Some(unfinished) = run.folder().history()?.unfinished() {
        say(format_args!("WARNING: {unfinished}."));
    }
    say(format_args!("{}", assessment.on_new_patients()));
    Ok(())
}

/// Fits the scan model, or reads it, and shows its figures.
pub fn scan_model(workspace: &Workspace, trained: &Trained) -> Result<()> {
    let run = reopened(workspace, trained)?;
    say(format_args!("\n{}\n\nWritten to {}", run.scan_model()?.page()?, visible(run.folder().path())));
    Ok(())
}

pub fn predict(workspace: &Workspace, trained: &Trained) -> Result<()> {
    let run = reopened(workspace, trained)?;
    let inference = run.predict()?;
    if !speaks() {
        return Ok(());
    }
    run.heat_by_scan()?;
    let predictions = run.predictions(Subset::Prediction)?;
    say(format_args!("\n{}\n\n{inference}\n\nWritten to {}", predictions.summary(), visible(run.folder().path())));
    Ok(())
}

/// Judges scans that are not part of the data set; of the workspace only the run's folder is read.
pub fn judge(run: &RunFolder, path: &Path) -> Result<()> {
    run.config()?;
    let scans = run.judge(path, TerminalProgress::new().progress())?;
    say(format_args!("\n{scans}\n\nWritten to {}", visible(scans.write(run)?)));
    Ok(())
}

/// Validates on labelled scans from elsewhere; of the workspace only the run's folder is read.
pub fn validate(run: &RunFolder, path: &Path) -> Result<()> {
    run.config()?;
    let validated = run.validate(path, TerminalProgress::new().progress())?;
    say(format_args!("\n{validated}\n\nWritten to {}", visible(validated.write(run)?)));
    Ok(())
}

pub fn explain(workspace: &Workspace, trained: &Trained, subset: Option<Subset>) -> Result<()> {
    let run = reopened(workspace, trained)?;
    let subset = subset.unwrap_or(Subset::Test);
    let explanations = run.explain(subset)?;
    for (number, gallery) in (1..).zip(&explanations.galleries) {
        let file = run.folder().path_of(Artifact::Gallery(subset, number));
        say(format_args!("{}: {}", gallery.figure.title(), visible(&file)));
    }
    say(format_args!("\n{explanations}"));
    Ok(())
}

pub fn export(workspace: &Workspace, trained: &Trained, file: &Path) -> Result<()> {
    let card = workspace.run(&trained.name).classifier()?.export(file)?;
    say(format_args!("{}\n{}", visible(file), visible(card)));
    Ok(())
}
