//! One call of gcloud: its arguments, and the answer that is expected.

use crate::base::escape::shell_word;
use std::fmt;
use std::path::{Path, PathBuf};

/// What an answer must be like for a command to have succeeded, or for a step to be done already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expects {
    /// Exit code 0.
    Success,
    /// Something is printed.
    CommandOutput,
    /// All of these lines are printed, in any order.
    Lines(Vec<String>),
    /// This line is printed first.
    First(String),
    /// One line of these values, separated by tabs: name and value of each. Another line means that the thing exists
    /// and differs.
    Fields(Vec<(&'static str, String)>),
    /// The number of bytes of this file is printed.
    SizeOf(PathBuf),
    /// The first number printed is at least this.
    AtLeast(u32),
    /// The first number printed is at most this.
    AtMost(u32),
    /// Among lines `METRIC LIMIT USAGE`, the one of `metric` leaves `needed` free.
    Quota {
        /// Name of the quota.
        metric: String,
        /// How many are needed.
        needed: u32,
    },
    /// gcloud says that there is no such thing.
    NotFound,
}

/// A command as a vector of arguments, the program's name first. No shell is involved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The answer that is expected.
    pub expects: Expects,
}

impl Command {
    /// `gcloud` with these arguments, `words` split at spaces, `flags` as they are.
    pub(crate) fn gcloud(words: &str, flags: impl IntoIterator<Item = String>, expects: Expects) -> Self {
        let words = ["gcloud"].into_iter().chain(words.split(' ')).map(str::to_owned);
        Self { argv: words.chain(flags).collect(), expects }
    }
}

impl fmt::Display for Command {
    /// As it can be pasted into a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.argv.iter().map(shell_word).collect::<Vec<_>>().join(" "))
    }
}

/// What a command printed and how it ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommandOutput {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// The last lines of standard error.
    pub errors: Vec<String>,
}

impl CommandOutput {
    /// Whether gcloud said that the thing asked for does not exist.
    fn says_not_found(&self) -> bool {
        let text = self.errors.join("\n").to_lowercase();
        self.code != Some(0) && ["not found", "not_found", "404"].iter().any(|sign| text.contains(sign))
    }
}

impl Expects {
    /// Whether the thing exists and is not as expected, so that making it would fail.
    pub(crate) fn is_another(&self, answer: &CommandOutput, folder: &Path) -> bool {
        matches!(self, Self::Fields(_))
            && answer.code == Some(0)
            && !answer.out.trim().is_empty()
            && self.judge(answer, folder).is_err()
    }

    /// `Ok` when the answer is as expected, else what was expected and what was found. Paths start in `folder`.
    pub(crate) fn judge(&self, answer: &CommandOutput, folder: &Path) -> Result<(), String> {
        if *self == Self::NotFound {
            return if answer.says_not_found() {
                Ok(())
            } else {
                Err("expected it to be gone; it is there".to_owned())
            };
        }
        if answer.code != Some(0) {
            let code = answer.code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            return Err(format!("expected exit code 0, found {code}: {}", answer.errors.join("\n")));
        }
        let out = answer.out.trim();
        match self {
            Self::Success | Self::NotFound => Ok(()),
            Self::CommandOutput if out.is_empty() => Err("expected an answer, found none".to_owned()),
            Self::CommandOutput => Ok(()),
            Self::Lines(lines) => match lines.iter().find(|line| !out.lines().any(|found| found.trim() == **line)) {
                Some(missing) => Err(format!("expected the line {missing:?}, found {out:?}")),
                None => Ok(()),
            },
            Self::First(line) => match out.lines().next() {
                Some(first) if first == line => Ok(()),
                first => Err(format!("expected {line:?}, found {:?}", first.unwrap_or_default())),
            },
            Self::Fields(_) if out.is_empty() => Err("expected an answer, found none".to_owned()),
            Self::Fields(fields) => judge_fields(out, fields),
            Self::SizeOf(path) => {
                let size = std::fs::metadata(folder.join(path)).map(|data| data.len().to_string());
                let size = size.map_err(|error| format!("expected to read {}: {error}", path.display()))?;
                if out == size { Ok(()) } else { Err(format!("expected {size} bytes, found {out:?}")) }
            }
            Self::AtLeast(least) => match first_number(out) {
                Some(number) if number >= f64::from(*least) => Ok(()),
                _ => Err(format!("expected {least} or more, found {out:?}")),
            },
            Self::AtMost(most) => match first_number(out) {
                Some(number) if number <= f64::from(*most) => Ok(()),
                _ => Err(format!("expected {most} or less, found {out:?}")),
            },
            Self::Quota { metric, needed } => judge_quota(out, metric, *needed),
        }
    }
}

fn judge_fields(out: &str, fields: &[(&'static str, String)]) -> Result<(), String> {
    let found: Vec<&str> = out.lines().next().unwrap_or_default().split('\t').map(str::trim).collect();
    let differing = fields.iter().enumerate().filter_map(|(at, (name, expected))| {
        let found = found.get(at).copied().unwrap_or_default();
        let same = found.eq_ignore_ascii_case(expected);
        (!same).then(|| format!("{name}: expected {expected}, found {found:?}"))
    });
    let differing: Vec<String> = differing.collect();
    if differing.is_empty() { Ok(()) } else { Err(differing.join("; ")) }
}

fn judge_quota(out: &str, metric: &str, needed: u32) -> Result<(), String> {
    let line = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = line.filter(|parts| parts.first() == Some(&metric)).find_map(|parts| {
        let number = |at: usize| parts.get(at).and_then(|part| part.parse::<f64>().ok());
        Some((number(1)?, number(2)?))
    });
    match found {
        Some((limit, usage)) if limit - usage >= f64::from(needed) => Ok(()),
        Some((limit, usage)) => Err(format!(
            "expected {needed} free of the quota {metric}, found a limit of {limit} with {usage} in use; ask for more \
             under IAM & Admin > Quotas in the console (often granted within minutes, sometimes days)"
        )),
        None => Err(format!("expected the quota {metric} in the answer, found no such line")),
    }
}

fn first_number(text: &str) -> Option<f64> {
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit()).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let here = Path::new(".");
        let said = |out: &str| CommandOutput { code: Some(0), out: out.to_owned(), errors: Vec::new() };
        let quota = Expects::Quota { metric: "NVIDIA_T4_GPUS".into(), needed: 1 };
        assert!(quota.judge(&said("CPUS\t24.0\t0.0\nNVIDIA_T4_GPUS\t1.0\t0.0"), here).is_ok());
        let full = quota.judge(&said("NVIDIA_T4_GPUS\t1.0\t1.0"), here).expect_err("in use");
        assert!(full.contains("limit of 1 with 1 in use"), "{full}");
        assert!(quota.judge(&said("CPUS\t24.0\t0.0"), here).is_err());
        assert!(Expects::AtLeast(580).judge(&said("580.82.07\n"), here).is_ok());
        assert!(Expects::AtLeast(580).judge(&said("550.90.07\n"), here).is_err());
        assert!(Expects::AtMost(100).judge(&said("150\n"), here).is_err());
        assert!(Expects::First("ok".into()).judge(&said("ok\nnote: x\n"), here).is_ok());
        assert!(Expects::First("ok".into()).judge(&said("failed: rust\nok\n"), here).is_err());
        let bucket = Expects::Fields(vec![("location", "ASIA-EAST1".into()), ("uniform access", "True".into())]);
        assert!(bucket.judge(&said("ASIA-EAST1\tTrue\n"), here).is_ok());
        let other = bucket.judge(&said("US\tTrue\n"), here).expect_err("elsewhere");
        assert_eq!(other, "location: expected ASIA-EAST1, found \"US\"");
        assert!(bucket.is_another(&said("US\tTrue\n"), here) && !bucket.is_another(&said(""), here));
        assert!(Expects::Lines(vec!["b".into(), "a".into()]).judge(&said("a\nb\nc\n"), here).is_ok());
        let gone = CommandOutput { code: Some(1), out: String::new(), errors: vec!["ERROR: NOT_FOUND: x".into()] };
        assert!(Expects::NotFound.judge(&gone, here).is_ok());
        let refused = CommandOutput { code: Some(1), out: String::new(), errors: vec!["PERMISSION_DENIED".into()] };
        assert!(Expects::NotFound.judge(&refused, here).is_err(), "a refusal is not an absence");
        assert!(Expects::NotFound.judge(&said("ACTIVE"), here).is_err());
    }
}
