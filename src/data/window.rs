//! The window through which Hounsfield units (HU) become grey levels.

use crate::base::errors::{Context, Error, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The window through which Hounsfield units become grey levels 0 to 255: one rule for all scans. Pictures with 8 bits
/// went through a window when they were exported and are taken as they are.
///
/// Written as its name or as `CENTRE/WIDTH`, in text, settings and on the command line: `lung` is `-600/1500`,
/// `mediastinum` `40/400`, `bone` `500/2000`; `file` is each file's own first window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Window {
    /// The same for all scans.
    Fixed {
        /// Grey level 127.5, HU.
        centre: f64,
        /// From black to white, HU; more than 1.
        width: f64,
    },
    /// The first window that each file names, and lung where it names none. It differs between the series of one
    /// patient, so a network would see one tissue at two grey levels.
    File,
}

const NAMED: [(&str, Window); 3] =
    [("lung", Window::LUNG), ("mediastinum", Window::MEDIASTINUM), ("bone", Window::fixed(500.0, 2000.0))];

impl Window {
    /// Centre −600 HU, width 1500 HU.
    pub const LUNG: Self = Self::fixed(-600.0, 1500.0);
    /// Centre 40 HU, width 400 HU.
    pub const MEDIASTINUM: Self = Self::fixed(40.0, 400.0);

    const fn fixed(centre: f64, width: f64) -> Self {
        Self::Fixed { centre, width }
    }

    /// Centre and width for a file with this window of its own.
    pub(crate) fn for_file(self, own: Option<(f64, f64)>) -> (f64, f64) {
        match (self, own) {
            (Self::Fixed { centre, width }, _) => (centre, width),
            (Self::File, Some((centre, width))) if width > 1.0 && centre.is_finite() && width.is_finite() => {
                (centre, width)
            }
            (Self::File, _) => Self::LUNG.for_file(None),
        }
    }

    /// What it is, for people: `lung (centre -600, width 1500 HU)`.
    pub fn described(self) -> String {
        match self {
            Self::File => "each file's own first window, or else lung".to_owned(),
            Self::Fixed { centre, width } => match NAMED.iter().find(|(_, window)| *window == self) {
                Some((name, _)) => format!("{name} (centre {centre}, width {width} HU)"),
                None => format!("centre {centre}, width {width} HU"),
            },
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::LUNG
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (NAMED.iter().find(|(_, window)| window == self), self) {
            (Some((name, _)), _) => f.pad(name),
            (None, Self::File) => f.pad("file"),
            (None, Self::Fixed { centre, width }) => write!(f, "{centre}/{width}"),
        }
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl TryFrom<String> for Window {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Window {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some((_, window)) = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(*window);
        }
        if text.eq_ignore_ascii_case("file") {
            return Ok(Self::File);
        }
        let expected = || {
            format!(
                "expected a window: lung, mediastinum, bone, file or CENTRE/WIDTH in HU such as -600/1500; found {text:?}"
            )
        };
        let (centre, width) = text.split_once('/').with_context(expected)?;
        let number = |text: &str| text.trim().replace('−', "-").parse::<f64>().with_context(expected);
        let (centre, width) = (number(centre)?, number(width)?);
        ensure!(
            centre.is_finite() && width.is_finite() && width > 1.0,
            "{}: the width must be more than 1",
            expected()
        );
        Ok(Self::fixed(centre, width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_written_by_name_or_by_number() {
        for (text, window) in [("Lung", Window::LUNG), ("-600/1500", Window::LUNG), ("file", Window::File)] {
            assert_eq!(text.parse::<Window>().expect(text), window);
        }
        assert_eq!(Window::LUNG.to_string(), "lung");
        assert_eq!("35.5/80".parse::<Window>().expect("numbers").to_string(), "35.5/80");
        for wrong in ["", "lungs", "40", "40/1", "40/nan", "40/400/3"] {
            let error = wrong.parse::<Window>().expect_err(wrong).to_string();
            assert!(error.contains("expected a window"), "{error}");
        }
    }
}
