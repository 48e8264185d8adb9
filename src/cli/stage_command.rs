//! `covid-ct stage`: a data set from a bucket.

use anyhow::{Context, Result};
use clap::Args;
use covid_ct::staging::{ArchiveLimits, Bucket, StageOptions, stage};
use covid_ct::{say, shell_word};
use std::path::PathBuf;
use std::time::Duration;

use super::bar::TerminalProgress;

/// Options of `covid-ct stage`.
#[derive(Args)]
pub struct StageArgs {
    /// gs://bucket/path, s3://bucket/path or file:///path: an object, or everything below a path
    pub url: String,
    /// Folder to fill
    #[arg(required_unless_present = "list")]
    pub dir: Option<PathBuf>,
    /// Unpack zip archives while they arrive, without storing the archives
    #[arg(long)]
    pub stream: bool,
    /// Only list the objects
    #[arg(long)]
    pub list: bool,
    /// Write no more than this; files that exist already do not count
    #[arg(long, value_name = "BYTES")]
    pub max_disk: Option<u64>,
    /// How long to wait without receiving data
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,
    /// Refuse archives with an entry of a megabyte or more that expands to more times its compressed size
    #[arg(long, value_name = "TIMES", default_value_t = ArchiveLimits::default().ratio)]
    pub max_ratio: u64,
    /// Refuse archives whose contents together exceed this
    #[arg(long, value_name = "BYTES", default_value_t = ArchiveLimits::default().bytes)]
    pub max_unpacked: u64,
    /// Refuse archives that together have more entries, parent folders included
    #[arg(long, value_name = "NUMBER", default_value_t = ArchiveLimits::default().entries)]
    pub max_entries: u64,
    /// Refuse an archive whose directory is larger than this
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

/// Lists or fetches the objects.
pub fn run(args: &StageArgs) -> Result<()> {
    if args.list {
        say(Bucket::open(&args.url)?.list()?);
        return Ok(());
    }
    let dir = args.dir.as_ref().context("staging: expected a folder to fill")?;
    let staged = stage(&args.url, dir, &args.options(), TerminalProgress::new().progress())?;
    say(format_args!("{staged}\n\nNext: COVID_CT_DATA={} covid-ct audit", shell_word(dir)));
    Ok(())
}
