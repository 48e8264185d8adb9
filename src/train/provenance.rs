//! The machine, the versions and the time of a computation.

use crate::base::progress::counted;
use crate::base::ranks::ranks;
use crate::base::table::{Table, shown_as_table};
use crate::nn::device::{gpu_names, gpus_in_words};
use serde::{Deserialize, Serialize};
use std::process::Command;

/// `2026-11-24 09:30`.
const DATE: &str = "%Y-%m-%d %H:%M";

/// What is needed to reproduce a result, as far as a machine can record it. Names of people, hosts and folders are left
/// out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Version of this library.
    pub version: String,
    /// Commit that the program was built from, followed by `+` if files differed from it; `None` if the build knew
    /// none.
    #[serde(default)]
    pub built_from: Option<String>,
    /// Commit of the repository at run time, followed by `+` if files differed from it; `None` outside of git.
    pub commit: Option<String>,
    /// Version of libtorch.
    pub libtorch: String,
    /// The processor's name.
    pub processor: String,
    /// Threads that libtorch uses, in each rank.
    pub threads: i32,
    /// Processes that worked together (MPI's ranks).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub ranks: usize,
    /// GPUs that libtorch sees.
    pub gpus: i64,
    /// Their names and the driver's version, from `nvidia-smi`; empty without a GPU or without that program.
    #[serde(default)]
    pub gpu_names: Vec<String>,
    /// Memory of the machine in bytes.
    pub memory: Option<u64>,
    /// Kernel of the operating system.
    pub system: String,
    /// Date and time in UTC: `2026-11-24 09:30`.
    pub when: String,
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

impl Provenance {
    /// This machine, now.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            built_from: option_env!("COVID_CT_COMMIT").filter(|text| !text.is_empty()).map(str::to_owned),
            commit: commit(),
            libtorch: crate::nn::device::libtorch_version(),
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            threads: tch::get_num_threads(),
            ranks: ranks().count(),
            gpus: tch::Cuda::device_count(),
            gpu_names: gpu_names(),
            memory: memory.map(|kilobytes: u64| kilobytes * 1024),
            system: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            when: chrono::Utc::now().format(DATE).to_string(),
        }
    }

    /// Whether it is the same machine, with the same versions.
    pub(crate) fn same_machine(&self, other: &Self) -> bool {
        Self { when: String::new(), ..self.clone() } == Self { when: String::new(), ..other.clone() }
    }

    /// One row for each property.
    pub fn table(&self) -> Table {
        let mut table = Table::new("How it was computed", &["Property", "Value"]);
        let memory = self.memory.map_or("unknown".to_owned(), crate::base::progress::human_bytes);
        for (property, value) in [
            ("covid-ct", self.version.clone()),
            ("Built from commit", self.built_from.clone().unwrap_or_else(|| "not recorded by the build".to_owned())),
            ("Repository at run time", self.commit.clone().unwrap_or_else(|| "unknown (no git)".to_owned())),
            ("libtorch", self.libtorch.clone()),
            ("Processor", format!("{}, {}", self.processor, counted(self.threads.max(0) as u64, "thread"))),
            ("GPUs", gpus_in_words(self.gpus, &self.gpu_names)),
            ("Memory", memory),
            ("System", self.system.clone()),
            ("Begun (UTC)", self.when.clone()),
        ] {
            table.row([property.to_owned(), value]);
        }
        table
    }
}

shown_as_table!(Provenance);

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { head + "+" } else { head })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let here = Provenance::here();
        assert!(here.libtorch.starts_with("2.11.0") && here.threads > 0, "{here}");
        let when = chrono::NaiveDateTime::parse_from_str(&here.when, DATE).expect("a date");
        assert!((chrono::Utc::now().naive_utc() - when).num_minutes().abs() <= 1, "{}", here.when);
    }
}
