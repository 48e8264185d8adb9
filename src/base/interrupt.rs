//! Whether a long call was asked to end: by the notebook's reader, or by a program that calls [`ask_to_end`].
//!
//! The kernel's relay (`scripts/evcxr_relay`) names a file in the variable `EVCXR_RELAY_INTERRUPT`, and makes it when Jupyter
//! interrupts. Every long call looks for it where it counts what it has done, and returns an error, so that the variables of
//! the notebook live on. Outside of a notebook the variable is not set, and there is no file to look for.

use crate::base::errors::{Result, bail};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

const VARIABLE: &str = "EVCXR_RELAY_INTERRUPT";
/// Milliseconds between two looks at the file.
const BETWEEN: u64 = 100;

static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// Asks every long call of this process to end, those that begin later too: a training writes a checkpoint, and each call
/// returns an error that says so. The command line calls it at Ctrl-C.
pub fn ask_to_end() {
    IS_ASKED.store(true, Ordering::Relaxed);
}

/// True when the running call was asked to end; looks for the file at most ten times a second.
pub(crate) fn is_asked() -> bool {
    IS_ASKED.load(Ordering::Relaxed) || is_asked_by_file()
}

fn is_asked_by_file() -> bool {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    // The time of the last look, and 1 behind it where the file was there.
    static LAST: AtomicU64 = AtomicU64::new(0);
    FILE.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from)).as_deref().is_some_and(|file| {
        let now = BEGUN.get_or_init(Instant::now).elapsed().as_millis() as u64 + BETWEEN;
        is_there(file, now, &LAST)
    })
}

/// Whether the file was there at the last look, which is now if the last is long ago.
fn is_there(file: &Path, now: u64, last: &AtomicU64) -> bool {
    let before = last.load(Ordering::Relaxed);
    if now.saturating_sub(before >> 1) < BETWEEN {
        return before & 1 == 1;
    }
    let found = file.exists();
    last.store(now << 1 | u64::from(found), Ordering::Relaxed);
    found
}

/// # Errors
/// The running call was asked to end.
pub(crate) fn go_on() -> Result<()> {
    if is_asked() {
        let what = if std::env::var_os(VARIABLE).is_some() { "cell" } else { "command" };
        bail!("interrupted: what was finished and written is kept; run the {what} again to go on");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_looked_for_at_intervals() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, last) = (folder.path().join("interrupt"), AtomicU64::new(0));
        assert!(!is_there(&file, 100, &last));
        std::fs::write(&file, "").expect("writes");
        assert!(!is_there(&file, 199, &last), "not looked at again yet");
        assert!(is_there(&file, 200, &last));
        std::fs::remove_file(&file).expect("removes");
        assert!(is_there(&file, 250, &last), "every thread of the call hears of it");
        assert!(!is_there(&file, 300, &last));
    }

    #[test]
    fn outside_of_a_notebook_nothing_is_asked() {
        assert!(!is_asked());
        go_on().expect("goes on");
    }
}
