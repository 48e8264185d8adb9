//! Time and memory of this process, from `/proc` and `nvidia-smi`.

use std::time::Instant;

/// A stopwatch of wall-clock time and of processor time.
pub(super) struct Watch {
    begun: Instant,
    cpu: f64,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { begun: Instant::now(), cpu: cpu_seconds() }
    }

    /// Seconds since the start: wall clock, and user and system time of all threads.
    pub(super) fn stop(&self) -> (f64, f64) {
        (self.begun.elapsed().as_secs_f64(), cpu_seconds() - self.cpu)
    }
}

/// User and system time of this process in seconds; Linux counts it in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The largest resident memory so far, in MiB.
pub(super) fn peak_megabytes() -> Option<u64> {
    megabytes("VmHWM:")
}

/// The resident memory, in MiB.
pub(super) fn resident_megabytes() -> Option<u64> {
    megabytes("VmRSS:")
}

fn megabytes(of: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(of))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
}

/// What this process has read from disks, in MB.
pub(super) fn disk_megabytes() -> Option<f64> {
    let io = std::fs::read_to_string("/proc/self/io").ok()?;
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes:"))?;
    Some(line.trim().parse::<f64>().ok()? / 1e6)
}

/// The GPU memory that this process holds, in MiB, by `nvidia-smi`.
pub(super) fn gpu_megabytes() -> Option<u64> {
    let query = ["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"];
    let output = std::process::Command::new("nvidia-smi").args(query).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let own = |line: &str| {
        let (pid, megabytes) = line.split_once(',')?;
        if pid.trim().parse() == Ok(std::process::id()) { megabytes.trim().parse().ok() } else { None }
    };
    text.lines().find_map(own)
}
