//! Standard output and standard error, whoever reads them: a reader that has gone ends nothing, and a terminal or a notebook
//! is told nothing but text.

use crate::base::escape::{visible_json, visible_lines};
use crate::base::ranks::speaks;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI32, Ordering};

/// The first error of standard output other than a reader that has gone, as the system numbers it; 0: none.
static LOST: AtomicI32 = AtomicI32::new(0);

/// Writes a line, or several, to standard output, in the process that [`speaks`]; what cannot be seen is shown as an escape
/// ([`visible`](crate::visible)).
///
/// Where `println!` panics, this goes on: what reads the lines may have ended (`covid-ct train | head`), and the work counts
/// more than its lines. What was lost otherwise, for example to a full disk, [`lost_output`] tells at the end.
pub fn say(line: impl Display) {
    if !speaks() {
        return;
    }
    say_as_it_is(&visible_lines(&line.to_string()));
}

/// The columns of the terminal that standard output is; `None` where it is none, or does not say.
pub(crate) fn terminal_columns() -> Option<usize> {
    // SAFETY: a `winsize` is numbers alone, and the call fills the one it is given.
    #[allow(unsafe_code)]
    let (code, size) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size), size)
    };
    Some(usize::from(size.ws_col)).filter(|columns| code == 0 && *columns > 0)
}

/// A line for what the notebook is to understand: as it is.
pub(crate) fn say_as_it_is(text: &str) {
    tell(&mut io::stdout().lock(), &format!("{text}\n"));
}

/// True in a notebook whose kernel has a relay (`scripts/evcxr_relay`): what is shown can be changed in its place.
pub(crate) fn is_relayed() -> bool {
    static IS_RELAYED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("EVCXR_RELAY").is_some());
    *IS_RELAYED
}

/// Shows something at once in the running cell of a notebook, in the place of what this cell has shown under the same name.
/// To be called where [`is_relayed`].
pub(crate) fn show_in_place(name: &str, html: &str, text: &str) {
    say_as_it_is(&in_place(name, html, text));
}

fn in_place(name: &str, html: &str, text: &str) -> String {
    let data = serde_json::json!({"text/html": html, "text/plain": visible_lines(text)});
    let line = serde_json::json!({"id": name, "data": data});
    format!("\u{1}EVCXR_RELAY_SHOW {}", visible_json(line.to_string()))
}

/// Writes a line to standard error, as far as somebody reads it; what cannot be seen is shown as an escape.
pub fn complain(line: impl Display) {
    // There is nobody left to tell.
    writeln!(io::stderr().lock(), "{}", visible_lines(&line.to_string())).ok();
}

/// Why lines of [`say`] did not reach standard output; `None` where all did, or where their reader had seen enough.
pub fn lost_output() -> Option<io::Error> {
    tell(&mut io::stdout().lock(), "");
    Some(LOST.load(Ordering::Relaxed)).filter(|code| *code != 0).map(io::Error::from_raw_os_error)
}

/// For programs to call first. Beyond the limit of `ulimit -f` a write is then an error, which is reported with the file's name;
/// otherwise the signal would end the program without a word.
pub fn keep_going_at_file_size_limit() {
    // SAFETY: nothing of ours runs when the signal comes, and it is set before there are other threads.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

fn tell(output: &mut dyn Write, text: &str) {
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        LOST.compare_exchange(0, error.raw_os_error().unwrap_or(libc::EIO), Ordering::Relaxed, Ordering::Relaxed).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_in_place_is_one_line_of_json() {
        let line = in_place("audit", "<b>\n</b>", "ct\nEVCXR_END_CONTENT");
        let json = line.strip_prefix("\u{1}EVCXR_RELAY_SHOW ").expect("the mark");
        assert!(!json.contains('\n'), "{json}");
        let read: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!((&read["id"], &read["data"]["text/html"]), (&"audit".into(), &"<b>\n</b>".into()));
        assert_eq!(read["data"]["text/plain"], "ct\nEVCXR\\u{5f}END_CONTENT");
    }
}
