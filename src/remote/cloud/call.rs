//! Starting gcloud and reading both its streams while it runs.

use super::command::{Command, CommandOutput};
use crate::base::errors::{Context, Result, bail};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// How many of the last lines of standard error an error message repeats.
const LAST_LINES: usize = 12;
/// How much of standard output is kept; the callback gets every line.
const MOST_OUTPUT: usize = 1 << 20;

/// Which stream a line came from.
enum Line {
    Out(String),
    Error(String),
}

/// Runs `command` with `gcloud` as its program, in `folder`; lines go to `log` as they come.
pub(super) fn call(
    command: &Command,
    gcloud: &Path,
    folder: &Path,
    log: &mut dyn FnMut(&str),
) -> Result<CommandOutput> {
    let arguments = command.argv.get(1..).unwrap_or_default();
    // gcloud never asks on the terminal: `run_step` has asked before.
    let started = Process::new(gcloud)
        .args(arguments)
        .current_dir(folder)
        .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut process = match started {
        Ok(process) => process,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "expected the program {} in PATH and the folder {}, found one of them missing: install the Google Cloud \
             CLI (https://cloud.google.com/sdk/docs/install), then `gcloud auth login`; the plan works without it",
            gcloud.display(),
            folder.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("starting {}", gcloud.display())),
    };
    let (sender, lines) = channel();
    let (out, error) = (process.stdout.take(), process.stderr.take());
    let readers = [
        thread::spawn({
            let sender = sender.clone();
            move || out.map(|stream| send_lines(stream, &sender, Line::Out))
        }),
        thread::spawn(move || error.map(|stream| send_lines(stream, &sender, Line::Error))),
    ];
    let mut answer = CommandOutput::default();
    // Ends when both readers have dropped their senders, that is, when both streams are closed.
    for line in lines {
        match line {
            Line::Out(text) => {
                log(&text);
                if answer.out.len() < MOST_OUTPUT {
                    answer.out.push_str(&text);
                    answer.out.push('\n');
                }
            }
            Line::Error(text) => {
                log(&text);
                answer.errors.push(text);
                if answer.errors.len() > LAST_LINES {
                    answer.errors.remove(0);
                }
            }
        }
    }
    answer.code = process.wait().context("waiting for gcloud")?.code();
    for reader in readers {
        // A reader cannot panic; if it did, the lines it had read would still be there.
        let _ = reader.join();
    }
    Ok(answer)
}

/// The line without names of accounts (`name@example.org`, as in gcloud's own messages): they belong neither in a
/// notebook nor in a log that is passed on.
fn without_accounts(line: &str) -> String {
    let is_name = |c: char| c.is_alphanumeric() || "@._%+-".contains(c);
    let mut shown = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_name) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_name(c)).unwrap_or(from.len()));
        let is_account = word.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        shown.push_str(before);
        shown.push_str(if is_account { "(account)" } else { word });
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Sends a stream line by line. Progress bars end their lines with a carriage return, which counts as an end too.
fn send_lines(mut stream: impl Read, sender: &Sender<Line>, wrap: fn(String) -> Line) {
    let (mut buffer, mut line) = ([0; 4096], Vec::new());
    let send = |line: &mut Vec<u8>| {
        let text = without_accounts(String::from_utf8_lossy(line).trim_end());
        line.clear();
        // The receiver outlives the streams, so sending cannot fail.
        if !text.is_empty() {
            let _ = sender.send(wrap(text));
        }
    };
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.iter().take(read).for_each(|byte| match byte {
                b'\n' | b'\r' => send(&mut line),
                byte => line.push(*byte),
            }),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    send(&mut line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_not_shown() {
        let line = "ERROR: [some.one@example.org] may not do it (user:x-1@p.iam.gserviceaccount.com), a@b stays";
        assert_eq!(without_accounts(line), "ERROR: [(account)] may not do it (user:(account)), a@b stays");
        assert_eq!(without_accounts(" ä 580.82\t1 "), " ä 580.82\t1 ");
    }
}
