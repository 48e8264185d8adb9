//! Sketch of the command line's part.
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use covid_ct::cloud::{Bucket, StageOptions, stage};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a data set from a bucket (gs://, s3://, file://) to a folder; goes on by itself after a kill
    Stage(StageArgs),
}

/// What to bring, and where to.
#[derive(Args)]
struct StageArgs {
    /// gs://bucket/path, s3://bucket/path or file:///path: an object, or all below a path
    url: String,
    /// Folder to fill
    #[arg(required_unless_present = "list")]
    dir: Option<PathBuf>,
    /// Unpack zip archives while they arrive: archive and contents never lie on the disk together
    #[arg(long)]
    stream: bool,
    /// Only list what is there
    #[arg(long)]
    list: bool,
    /// Write no more than this
    #[arg(long, value_name = "BYTES")]
    max_disk: Option<u64>,
    /// How long to wait for a network that brings nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

fn main() -> std::process::ExitCode {
    let Command::Stage(args) = Cli::parse().command;
    match work(&args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("covid-ct: {error:#}");
            std::process::ExitCode::from(1)
        }
    }
}

fn work(args: &StageArgs) -> Result<()> {
    let patience = Duration::from_secs(args.patience);
    let options = StageOptions { stream: args.stream, max_disk: args.max_disk, patience, ..StageOptions::default() };
    match &args.dir {
        Some(dir) if !args.list => println!("{}", stage(&args.url, dir, &options, |progress| eprintln!("{progress}"))?),
        _ => println!("{}", Bucket::open(&args.url)?.list()?),
    }
    Ok(())
}
