//! Progress of long stages: units done, rate and time left.

use crate::base::parallel::locked;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The progress of a long stage. `Display` gives one line for a notebook.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The name of the stage, for example `"audit"`.
    pub stage: String,
    /// Units finished, those of an earlier, interrupted run included.
    pub done: usize,
    /// Units in all.
    pub total: usize,
    /// What a unit is, for example `"slices"`.
    pub unit: &'static str,
    /// Units per second in this run, 0 while unknown.
    pub rate: f64,
    /// A further note, such as the loss so far.
    pub note: String,
}

impl Progress {
    /// A stage of which nothing is done yet, and why that is so.
    pub(crate) fn noted(stage: &str, unit: &'static str, total: usize, note: &str) -> Self {
        Self { stage: stage.to_owned(), done: 0, total, unit, rate: 0.0, note: note.to_owned() }
    }

    /// Prints the line; the default callback.
    #[allow(clippy::print_stdout, reason = "callers choose it by name")]
    pub fn print(&self) {
        println!("{self}");
    }

    /// Time left at the present rate; `None` while the rate is unknown.
    pub fn left(&self) -> Option<Duration> {
        (self.rate > 0.0).then(|| Duration::from_secs_f64(self.total.saturating_sub(self.done) as f64 / self.rate))
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}/{} {}", self.stage, self.done, self.total, self.unit)?;
        if self.rate > 0.0 {
            write!(f, ", {:.*} {}/s", if self.rate < 10.0 { 1 } else { 0 }, self.rate, self.unit)?;
        }
        if !self.note.is_empty() {
            write!(f, ", {}", self.note)?;
        }
        match self.left() {
            Some(left) if self.done < self.total => write!(f, ", {} left", human_duration(left)),
            _ => Ok(()),
        }
    }
}

/// `"45 s"`, `"3 min 20 s"`, `"2 h 05 min"`.
pub(crate) fn human_duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `"12 B"`, `"96.5 KB"`, `"32.4 GB"` (powers of 1,000, as disks are sold).
pub(crate) fn human_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// `1234567` as `"1,234,567"`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Images a second: `"46.1"`, `"23,842"`.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second < 99.95 { format!("{per_second:.1}") } else { thousands(per_second.round() as u64) }
}

/// `"1 scan"`, `"1,234 scans"`.
pub(crate) fn counted(number: u64, unit: &str) -> String {
    format!("{} {unit}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Counts finished units from many threads and calls back at intervals: after two seconds, then every four, later less
/// often (a thirtieth of the elapsed time, 15 s at most), so that long runs do not fill a notebook with lines.
pub(crate) struct Meter<'a> {
    show: &'a (dyn Fn(&Progress) + Sync),
    begun: Instant,
    state: Mutex<MeterState>,
}

struct MeterState {
    progress: Progress,
    already_done: usize,
    next: Duration,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(
        stage: &str,
        unit: &'static str,
        total: usize,
        already_done: usize,
        show: &'a (dyn Fn(&Progress) + Sync),
    ) -> Self {
        let progress = Progress { done: already_done, ..Progress::noted(stage, unit, total, "") };
        let state = MeterState { progress, already_done, next: Duration::from_secs(2) };
        Self { show, begun: Instant::now(), state: Mutex::new(state) }
    }

    /// Adds `units`; shows a line when one is due.
    pub(crate) fn add(&self, units: usize) {
        self.add_with(units, String::new);
    }

    /// The same, with a note that is made only when a line is due.
    pub(crate) fn add_with(&self, units: usize, note: impl FnOnce() -> String) {
        // The counts stay valid when a callback panics, so a poisoned lock may be used.
        let mut state = locked(&self.state);
        state.progress.done += units;
        let passed = self.begun.elapsed();
        if passed >= state.next {
            state.next = passed + (passed / 30).clamp(Duration::from_secs(4), Duration::from_secs(15));
            state.progress.note = note();
            self.call(&mut state, passed);
        }
    }

    /// Shows the last line: everything done.
    pub(crate) fn finish(&self) {
        let mut state = locked(&self.state);
        state.progress.done = state.progress.total;
        state.progress.note = format!("done in {}", human_duration(self.begun.elapsed()));
        self.call(&mut state, self.begun.elapsed());
    }

    fn call(&self, state: &mut MeterState, passed: Duration) {
        let fresh = state.progress.done.saturating_sub(state.already_done) as f64;
        state.progress.rate = fresh / passed.as_secs_f64().max(1e-3);
        (self.show)(&state.progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let progress = Progress {
            stage: "audit".into(),
            done: 250,
            total: 1000,
            unit: "slices",
            rate: 2.5,
            note: "1 unreadable".into(),
        };
        assert_eq!(progress.to_string(), "audit: 250/1000 slices, 2.5 slices/s, 1 unreadable, 5 min 00 s left");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(153_680), "153,680");
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(32_400_000_000), "32.4 GB");
        assert_eq!(human_duration(Duration::from_secs(7500)), "2 h 05 min");
    }
}
