//! Ctrl-C and SIGTERM, as a machine sends that is shut down: the running call keeps what it has done, and ends.

use anyhow::{Context, Result};
use covid_ct::{ask_to_end, complain};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

/// The first signal that came; 0: none.
static CAME: AtomicI32 = AtomicI32::new(0);

/// Waits for both signals on a thread of its own: the first one asks the running call to end, the second ends the program
/// at once.
///
/// # Errors
/// The system gives no way to wait.
pub fn end_calls_at_signals() -> Result<()> {
    let ignored = fs::read_to_string("/proc/self/status").map(|status| ignored(&status)).unwrap_or_default();
    // What `nohup` and shells have a program ignore stays ignored.
    let heard = [SIGINT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = Signals::new(heard).context("preparing for Ctrl-C")?;
    thread::spawn(move || {
        for signal in &mut signals {
            if CAME.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                // Without what libtorch does at an ordinary end, while its threads work.
                signal_hook::low_level::exit(128 + signal);
            }
            ask_to_end();
            let what = if signal == SIGINT { "Ctrl-C" } else { "SIGTERM" };
            complain(format_args!("{what}: ends when what is done is written; once more ends at once"));
        }
    });
    Ok(())
}

/// The exit code of a program that a signal has ended, as shells count them; `None` where none came.
pub fn exit_code_of_signal() -> Option<u8> {
    u8::try_from(CAME.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0).map(|signal| 128 + signal)
}

/// The signals that a process ignores, one bit each, by what Linux says of its state.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_ignores_is_read_from_its_state() {
        assert_eq!(ignored("Name:\tcovid-ct\nSigIgn:\t0000000000001002\nSigCgt:\t0000000000000440\n"), 0x1002);
        assert_eq!(ignored("Name:\tcovid-ct\n"), 0);
    }
}
