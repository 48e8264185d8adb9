//! Errors of this library: anyhow's, with messages in which everything can be seen.
//!
//! A message names files and scans, and a notebook prints it where it looks for its own protocol. So every message goes
//! through [`visible`], and the library has `Context`, `bail!` and the like from here. Messages of others (a decoder's,
//! libtorch's) keep their lines.

use crate::base::escape::{visible, visible_lines};
use std::fmt::Display;

pub(crate) use anyhow::{Error, Ok, Result};

/// An error with this message.
pub(crate) fn error(message: impl Display) -> Error {
    Error::msg(visible(message.to_string()))
}

/// Adds what was being done to an error, or makes one of nothing.
pub(crate) trait Context<T> {
    /// Adds a message.
    fn context(self, message: impl Display) -> Result<T>;
    /// Adds a message that is made only when it is needed.
    fn with_context<M: Display>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, message: impl Display) -> Result<T> {
        self.with_context(|| message)
    }

    fn with_context<M: Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|cause| seen(cause.into()).context(visible(message().to_string())))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, message: impl Display) -> Result<T> {
        self.with_context(|| message)
    }

    fn with_context<M: Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.ok_or_else(|| error(message()))
    }
}

/// The error, or one that says the same so that it can be seen.
fn seen(cause: Error) -> Error {
    let said = format!("{cause:#}");
    let shown = visible_lines(&said);
    if shown == said { cause } else { Error::msg(shown) }
}

macro_rules! anyhow {
    ($($message:tt)+) => { $crate::base::errors::error(format_args!($($message)+)) };
}

macro_rules! bail {
    ($($message:tt)+) => { return Err($crate::base::errors::anyhow!($($message)+)) };
}

macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {{
        let holds: bool = $holds;
        if !holds {
            $crate::base::errors::bail!($($message)+);
        }
    }};
}

pub(crate) use {anyhow, bail, ensure};

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    const NAME: &str = "ct\nEVCXR_BEGIN_CONTENT text/html\n\u{1b}[1m";
    const SHOWN: &str = r"ct\nEVCXR\u{5f}BEGIN_CONTENT text/html\n\u{1b}[1m";

    fn bails() -> Result<()> {
        bail!("reading {NAME}")
    }

    fn ensures(holds: bool) -> Result<()> {
        ensure!(holds, "reading {}", NAME);
        Ok(())
    }

    #[test]
    fn a_name_in_a_message_stays_on_its_line() {
        let failed = || Err::<(), _>(io::Error::other("lost"));
        assert!(ensures(true).is_ok());
        let said = [
            bails(),
            ensures(false),
            Err(anyhow!("reading {NAME}")),
            None.context(format!("reading {NAME}")),
            None.with_context(|| format!("reading {NAME}")),
            failed().with_context(|| format!("reading {NAME}")),
            failed().context(format!("reading {NAME}")),
        ];
        for error in said.map(|result: Result<()>| result.expect_err("fails")) {
            assert_eq!(error.to_string(), format!("reading {SHOWN}"));
        }
        let twice = failed().context("a").context("b").expect_err("fails");
        assert_eq!((format!("{twice:#}"), twice.chain().count()), ("b: a: lost".to_owned(), 3));
    }

    #[test]
    fn messages_of_others_keep_their_lines_and_nothing_else_that_is_not_seen() {
        let error = Err::<(), _>(io::Error::other(format!("first\n{NAME}"))).context("doing").expect_err("fails");
        let shown = "doing: first\nct\nEVCXR\\u{5f}BEGIN_CONTENT text/html\n\\u{1b}[1m";
        assert_eq!(format!("{error:#}"), shown);
    }
}
