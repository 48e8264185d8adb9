//! Progress of long stages: units done, rate and time left.

use crate::base::escape::markup;
use crate::base::output::{is_relayed, say, show_in_place};
use crate::base::parallel::locked;
use serde::de::{Deserialize, Deserializer, Error as _};
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

    /// Prints the line; the default callback. In a notebook that can change what it shows, as one bar for each stage.
    pub fn print(&self) {
        match is_relayed() {
            // A stage of nothing needs no bar.
            true if self.total == 0 => {}
            true => show_in_place(&self.place(), &self.bar(), &self.to_string()),
            false => say(self),
        }
    }

    /// The stage without numbers: those of all epochs have one place.
    fn place(&self) -> String {
        self.stage.chars().filter(|c| !c.is_ascii_digit()).collect()
    }

    fn bar(&self) -> String {
        let (done, total) = (self.done.min(self.total), self.total.max(1));
        format!(
            "<div class=\"covid-ct\" style=\"font-size:13px\"><progress value=\"{done}\" max=\"{total}\" \
             style=\"width:14em;max-width:40%;vertical-align:middle\"></progress> {}</div>",
            markup(&self.to_string())
        )
    }

    /// Time left at the present rate; `None` while the rate is unknown.
    pub fn left(&self) -> Option<Duration> {
        let left = || Duration::try_from_secs_f64(self.total.saturating_sub(self.done) as f64 / self.rate).ok();
        if self.rate > 0.0 { left() } else { None }
    }

    /// `2 min 05 s left`; of an epoch, which is one of several, `2 min 05 s left in this epoch`.
    pub fn left_in_words(&self) -> Option<String> {
        let whose = if self.stage.starts_with("epoch ") { " in this epoch" } else { "" };
        self.left().map(|left| format!("{} left{whose}", human_duration(left)))
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
        match self.left_in_words() {
            Some(left) if self.done < self.total => write!(f, ", {left}"),
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

/// The same for seconds that were measured and kept; what is no time is shown as a dash.
pub(crate) fn human_seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or("–".to_owned(), human_duration)
}

/// The most seconds that a file may say something took: three centuries.
const MOST_SECONDS: f64 = 1e10;

/// Reads seconds that something took.
///
/// # Errors
/// A number that is no such time: below 0 or above three centuries.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    match (0.0..=MOST_SECONDS).contains(&seconds) {
        true => Ok(seconds),
        false => Err(D::Error::custom(format!("expected 0 to {MOST_SECONDS:e} seconds, found {seconds:e}"))),
    }
}

/// The same where there may be none.
pub(crate) fn seconds_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Taken(#[serde(deserialize_with = "seconds")] f64);
    Ok(Option::<Taken>::deserialize(deserializer)?.map(|taken| taken.0))
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

/// `1 of 50 slices is`, `2 of 50 slices are`.
pub(crate) fn counted_of(number: u64, of: u64, unit: &str, [one, many]: [&str; 2]) -> String {
    format!("{} of {} {}", thousands(number), counted(of, unit), if number == 1 { one } else { many })
}

/// Counts finished units from many threads and calls back at intervals: after two seconds, then every four, later less
/// often (a thirtieth of the elapsed time, 15 s at most), so that long runs do not fill a log with lines. Where lines can be
/// changed in their place, twice a second.
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

/// How long it takes until the next line, where this time has passed.
fn pause(passed: Duration) -> Duration {
    match passed {
        _ if is_relayed() => Duration::from_millis(500),
        Duration::ZERO => Duration::from_secs(2),
        _ => (passed / 30).clamp(Duration::from_secs(4), Duration::from_secs(15)),
    }
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
        let state = MeterState { progress, already_done, next: pause(Duration::ZERO) };
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
        // Ranks count for each other what may be a little less.
        state.progress.done = (state.progress.done + units).min(state.progress.total);
        let passed = self.begun.elapsed();
        if passed >= state.next {
            state.next = passed + pause(passed);
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

    fn progress() -> Progress {
        let note = "1 unreadable".into();
        Progress { stage: "audit".into(), done: 250, total: 1000, unit: "slices", rate: 2.5, note }
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        assert_eq!(progress().to_string(), "audit: 250/1000 slices, 2.5 slices/s, 1 unreadable, 5 min 00 s left");
        let epoch = Progress { stage: "epoch 1/4".to_owned(), ..progress() };
        assert!(epoch.to_string().ends_with(", 5 min 00 s left in this epoch"), "{epoch}");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(153_680), "153,680");
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(32_400_000_000), "32.4 GB");
        assert_eq!(human_duration(Duration::from_secs(7500)), "2 h 05 min");
        assert_eq!(human_seconds(45.2), "45 s");
        assert_eq!([-1.0, f64::NAN, 1e300].map(human_seconds), ["–", "–", "–"]);
    }

    #[test]
    fn a_time_left_that_no_duration_holds_is_unknown() {
        let slow = |rate| Progress { total: usize::MAX, rate, ..progress() };
        assert_eq!(slow(1e-9).left(), None);
        assert!(slow(1e-9).to_string().ends_with("1 unreadable"), "{}", slow(1e-9));
        assert_eq!(Progress { rate: 75.0, ..progress() }.left(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn seconds_in_files_are_times() {
        #[derive(Debug, serde::Deserialize)]
        struct Kept {
            #[serde(deserialize_with = "seconds")]
            a: f64,
            #[serde(default, deserialize_with = "seconds_if_any")]
            b: Option<f64>,
        }
        let read = |json: &str| {
            serde_json::from_str::<Kept>(json).map(|kept| (kept.a, kept.b)).map_err(|error| error.to_string())
        };
        assert_eq!(read(r#"{"a": 1.5, "b": 0}"#), Ok((1.5, Some(0.0))));
        assert_eq!(read(r#"{"a": 1e10, "b": null}"#), Ok((1e10, None)));
        assert_eq!(read(r#"{"a": 0}"#), Ok((0.0, None)));
        let said = |json| read(json).expect_err("is no time");
        assert!(said(r#"{"a": -1}"#).starts_with("expected 0 to 1e10 seconds, found -1e0"), "{}", said(r#"{"a": -1}"#));
        assert!(said(r#"{"a": 1e300}"#).starts_with("expected 0 to 1e10 seconds, found 1e300"));
        assert!(said(r#"{"a": 1, "b": -2}"#).starts_with("expected 0 to 1e10 seconds, found -2e0"));
    }
}
