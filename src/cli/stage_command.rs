//! `covid-ct stage`: a data set from a bucket.

use anyhow::{Context, Result};
use clap::Args;
use covid_ct::staging::{ArchiveLimits, Bucket, StageOptions, stage};
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
    /// Write no more than this; what is there already does not count
    #[arg(long, value_name = "BYTES")]
    pub max_disk: Option<u64>,
    /// How long to wait for a connection that brings nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,
    /// Refuse archives with an entry of a megabyte or more that is so many times its compressed bytes
    #[arg(long, value_name = "TIMES", default_value_t = ArchiveLimits::default().ratio)]
    pub max_ratio: u64,
    /// Refuse archives whose contents, all together, are more than this
    #[arg(long, value_name = "BYTES", default_value_t = ArchiveLimits::default().bytes)]
    pub max_unpacked: u64,
    /// Refuse archives with more entries, all together, the folders above them included
    #[arg(long, value_name = "NUMBER", default_value_t = ArchiveLimits::default().entries)]
    pub max_entries: u64,
    /// Refuse an archive whose directory has more than this
    #[arg(long, value_name = "BYTES", default_value_t = ArchiveLimits::default().directory)]
    pub max_directory: u64,
}

impl StageArgs {
    fn options(&self) -> StageOptions {
        let limits = ArchiveLimits {
            ratio: self.max_ratio,
            bytes: self.max_unpacked,
            entries: self.max_entries,
            directory: self.max_directory,
        };
        let patience = Duration::from_secs(self.patience);
        StageOptions { stream: self.stream, max_disk: self.max_disk, patience, limits, ..StageOptions::default() }
    }
}

/// Lists or brings what is asked for.
pub fn run(args: &StageArgs) -> Result<()> {
    if args.list {
        println!("{}", Bucket::open(&args.url)?.list()?);
        return Ok(());
    }
    let dir = args.dir.as_ref().context("staging: expected a folder to fill")?;
    let staged = stage(&args.url, dir, &args.options(), Bar::new().progress())?;
    println!("{staged}\n\nNext: COVID_CT_DATA={} covid-ct audit", dir.display());
    Ok(())
}
