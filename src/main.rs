//! The command line: one subcommand a stage.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use anyhow::{Context, Result, ensure};
use clap::Parser;
use cli::{Cli, CliCommand, data_commands, report_commands, run_commands, signals};
use covid_ct::{
    RunFolder, Workspace, complain, is_alone, join_ranks, keep_going_at_file_size_limit, lost_output, rank_by_launcher,
    speaks,
};
use std::path::PathBuf;
use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    keep_going_at_file_size_limit();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // All ranks have mostly read the same, so that the first one says the whole, and the others no more than what differs.
        Err(error) if rank_by_launcher() > 0 => {
            if error.exit_code() != 0 {
                let said = error.to_string();
                let first = said.lines().next().unwrap_or_default();
                complain(format_args!("covid-ct, rank {}: {first}", rank_by_launcher()));
            }
            return ExitCode::from(error.exit_code() as u8);
        }
        Err(error) => error.exit(),
    };
    let ranks = match join_ranks() {
        Ok(ranks) => ranks,
        Err(error) => {
            if speaks() {
                complain(format_args!("covid-ct: {error:#}"));
            }
            return ExitCode::from(1);
        }
    };
    // What asks on the terminal, or is soon done, ends at the first signal; mpirun and srun end the ranks.
    let is_short = matches!(
        cli.command,
        CliCommand::Cloud(_)
            | CliCommand::Doctor
            | CliCommand::Export { .. }
            | CliCommand::Labels { .. }
            | CliCommand::Report(_)
    );
    let is_heard = if is_alone() && !is_short { signals::end_calls_at_signals() } else { Ok(()) };
    let done = is_heard.and_then(|()| work(cli)).and_then(|code| match lost_output() {
        Some(error) => Err(error).context("writing to standard output"),
        None => Ok(code),
    });
    done.unwrap_or_else(|error| {
        ranks.fail(|who| complain(format_args!("{who}: {error:#}")));
        ExitCode::from(signals::exit_code_of_signal().unwrap_or(1))
    })
}

/// # Errors
/// Several processes, and a command that they do not divide among them.
fn is_divided(command: &CliCommand) -> Result<()> {
    let is_divided = match command {
        CliCommand::Train { folds, seeds, .. } => folds.is_none() && seeds.is_none(),
        CliCommand::Audit(_) | CliCommand::Cache(_) | CliCommand::Evaluate(_) => true,
        CliCommand::Bench(args) => args.is_divided(),
        CliCommand::Predict { path, .. } => path.is_none(),
        _ => false,
    };
    ensure!(
        is_divided || is_alone(),
        "several processes divide only audit, cache, train (of one network), evaluate and predict (without a PATH) among them: \
         run this command without mpirun and srun"
    );
    Ok(())
}

/// Does what the command asks for. Exit code 3: it worked, and found something that is not as it should be.
fn work(cli: Cli) -> Result<ExitCode> {
    is_divided(&cli.command)?;
    if let CliCommand::Phantom(args) = &cli.command {
        // Needs no data set, and so no workspace.
        return data_commands::phantom(args).map(|()| ExitCode::SUCCESS);
    }
    // A run's folder given as a path: the data that it was trained on may be gone.
    match &cli.command {
        CliCommand::Predict { run, path: Some(path) } if run.name.contains('/') => {
            return run_commands::judge(&RunFolder::at(run.name.as_str()), path).map(|()| ExitCode::SUCCESS);
        }
        CliCommand::Validate { run, path } if run.name.contains('/') => {
            return run_commands::validate(&RunFolder::at(run.name.as_str()), path).map(|()| ExitCode::SUCCESS);
        }
        CliCommand::Labels { dir, out } => {
            return data_commands::labels(dir, out.as_deref()).map(|()| ExitCode::SUCCESS);
        }
        _ => {}
    }
    let from_env = |name| std::env::var_os(name).map(PathBuf::from);
    let home = cli.workspace.or_else(|| from_env("COVID_CT_WORKSPACE"));
    let workspace = Workspace::at(home, cli.data.or_else(|| from_env("COVID_CT_DATA")))?;
    let is_well = match &cli.command {
        CliCommand::Audit(args) => return cli::audit_command::run(args, &workspace),
        CliCommand::Doctor => data_commands::doctor(&workspace),
        command => act(command, &workspace).map(|()| true)?,
    };
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn act(command: &CliCommand, workspace: &Workspace) -> Result<()> {
    match command {
        // Done before the workspace was opened, and with an exit code of their own.
        CliCommand::Phantom(_) | CliCommand::Audit(_) | CliCommand::Doctor | CliCommand::Labels { .. } => Ok(()),
        CliCommand::Pages(args) => data_commands::pages(workspace, args),
        CliCommand::Split(args) => run_commands::split(workspace, args),
        CliCommand::Cache(args) => data_commands::cache(workspace, args),
        CliCommand::Train { run, folds: Some(folds), .. } => run_commands::cross_validate(workspace, run, *folds),
        CliCommand::Train { run, seeds: Some(seeds), .. } => run_commands::average_seeds(workspace, run, *seeds),
        CliCommand::Train { run, .. } => run_commands::train(workspace, run),
        CliCommand::Evaluate(trained) => run_commands::evaluate(workspace, trained),
        CliCommand::Ablation(run) => run_commands::ablation(workspace, run),
        CliCommand::ScanModel(trained) => run_commands::scan_model(workspace, trained),
        CliCommand::Predict { run, path: None } => run_commands::predict(workspace, run),
        CliCommand::Predict { run, path: Some(path) } => run_commands::judge(&workspace.run(&run.name), path),
        CliCommand::Validate { run, path } => run_commands::validate(&workspace.run(&run.name), path),
        CliCommand::Explain { run, subset } => run_commands::explain(workspace, run, *subset),
        CliCommand::Export { run, file } => run_commands::export(workspace, run, file),
        CliCommand::Leakage { run, repeats } => report_commands::leakage(workspace, run, *repeats),
        CliCommand::Shortcuts => report_commands::shortcuts(workspace),
        CliCommand::Report(args) => report_commands::report(workspace, args),
        CliCommand::Demo => cli::demo_command::demo(workspace),
        CliCommand::Cloud(args) => cli::cloud_command::cloud(args, workspace.home()),
        CliCommand::Stage(args) => cli::stage_command::run(args),
        CliCommand::Bench(args) => cli::bench::run(args, workspace),
    }
}
