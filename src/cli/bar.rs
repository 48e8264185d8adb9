//! A progress bar on a terminal.

use covid_ct::{Progress, RunEvent, complain, speaks, visible};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A progress bar on a terminal; plain lines if standard error is no terminal.
pub struct TerminalProgress {
    bar: ProgressBar,
}

impl TerminalProgress {
    /// A bar that is hidden until there is progress.
    pub fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar }
    }

    /// A callback that shows a run's events.
    pub fn show(self) -> impl Fn(&RunEvent) + Send + Sync + 'static {
        move |event| match event {
            _ if !speaks() => {}
            RunEvent::Working(progress) => self.draw(progress),
            other if self.bar.is_hidden() => complain(other),
            other => self.bar.println(visible(other.to_string())),
        }
    }

    /// A callback that shows progress.
    pub fn progress(self) -> impl Fn(&Progress) + Sync {
        move |progress| self.draw(progress)
    }

    fn draw(&self, progress: &Progress) {
        if !speaks() {
            return;
        }
        if self.bar.is_hidden() {
            complain(progress);
            return;
        }
        // The bar of a finished stage is used again for the next one.
        if self.bar.is_finished() {
            self.bar.reset();
        }
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.bar.set_length(progress.total as u64);
        self.bar.set_position(progress.done as u64);
        self.bar.set_prefix(visible(&progress.stage));
        let left = progress.left_in_words().map_or(String::new(), |left| format!(", {left}"));
        let note = if progress.note.is_empty() { String::new() } else { format!(", {}", progress.note) };
        self.bar.set_message(visible(format!("{:.0} {}/s{note}{left}", progress.rate, progress.unit)));
        if progress.done == progress.total {
            self.bar.finish();
        }
    }
}
