//! `covid-ct stage`: a data set from a bucket.

use anyhow::{Context, Result};
use clap::Args;
use covid_ct::staging::{Bucket, StageOptions, stage};
use std::path::PathBuf;
use std::time::Duration;

use super::bar::Bar;

/// What to bring, and where to.
#[derive(Args)]
pub struct StageArgs {
    /// gs://bucket/path, s3://bucket/path or file:///path: an object, or all below a path
    pub url: String,
    /// Folder to fill
    #[arg(required_unless_present = "list")]
    pub dir: Option<PathBuf>,
    /// Unpack zip archives while they arrive: archive and contents never lie on the disk together
    #[arg(long)]
    pub stream: bool,
    /// Only list what is there
    #[arg(long)]
    pub list: bool,
    /// Print what was brought as JSON
    #[arg(long)]
    pub json: bool,
    /// Write no more than this
    #[arg(long, value_name = "BYTES")]
    pub max_disk: Option<u64>,
    /// How long to wait for a network that brings nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,
}

/// Lists or brings what is asked for.
pub fn run(args: &StageArgs) -> Result<()> {
    if args.list {
        println!("{}", Bucket::open(&args.url)?.list()?);
        return Ok(());
    }
    let dir = args.dir.as_ref().context("staging: expected a folder to fill")?;
    let patience = Duration::from_secs(args.patience);
    let options = StageOptions { stream: args.stream, max_disk: args.max_disk, patience, ..StageOptions::default() };
    let staged = stage(&args.url, dir, &options, Bar::new().show())?;
    if args.json {
        println!("{}", serde_json::to_string(&staged.rows())?);
        return Ok(());
    }
    println!("{staged}\n\nNext: COVID_CT_DATA={} covid-ct audit", dir.display());
    Ok(())
}
