//! The command line: one subcommand a stage.

use anyhow::Result;
use clap::Parser;
use cli::{Cli, Command, data_commands, report_commands, run_commands};
use covid_ct::Workspace;
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

/// Does what the command asks for. Exit code 3: it worked, and found something that is not as it should be.
fn work(cli: Cli) -> Result<ExitCode> {
    if let Command::Phantom(args) = &cli.command {
        // Needs no data set, and so no workspace.
        return data_commands::phantom(args).map(|()| ExitCode::SUCCESS);
    }
    let from_env = |name| std::env::var_os(name).map(PathBuf::from);
    let home = cli.workspace.or_else(|| from_env("COVID_CT_WORKSPACE"));
    let workspace = Workspace::at(home, cli.data.or_else(|| from_env("COVID_CT_DATA")))?;
    let is_well = match &cli.command {
        Command::Audit(args) => return cli::audit_command::run(args, &workspace),
        Command::Doctor => data_commands::doctor(&workspace),
        command => act(command, &workspace).map(|()| true)?,
    };
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn act(command: &Command, workspace: &Workspace) -> Result<()> {
    match command {
        // Done before the workspace was opened, and with an exit code of their own.
        Command::Phantom(_) | Command::Audit(_) | Command::Doctor => Ok(()),
        Command::Split(args) => run_commands::split(workspace, args),
        Command::Cache(args) => data_commands::cache(workspace, args),
        Command::Train(args) => run_commands::train(workspace, args),
        Command::Evaluate(trained) => run_commands::evaluate(workspace, trained),
        Command::Predict(trained) => run_commands::predict(workspace, trained),
        Command::Explain { run, subset } => run_commands::explain(workspace, run, *subset),
        Command::Export { run, file } => run_commands::export(workspace, run, file),
        Command::Leakage { run, repeats } => report_commands::leakage(workspace, run, *repeats),
        Command::Shortcuts => report_commands::shortcuts(workspace),
        Command::Report { runs, published, out } => {
            report_commands::report(workspace, runs, published.as_deref(), out.as_deref())
        }
        Command::Cloud(args) => cli::cloud_command::cloud(args, workspace.home()),
        Command::Stage(args) => cli::stage_command::run(args),
        Command::Bench(args) => cli::bench::run(args, workspace),
    }
}
