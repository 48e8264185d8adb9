//! What a table of labels says of nothing, and of what it says nothing.

use super::{LABELS, LabelRow};
use crate::data::manifest::root_tables::cut;
use crate::data::manifest::{Rejected, Rejection};

impl Rejected {
    /// A folder of masks, or one that is not to be used, of which the table says nothing.
    pub(super) fn without_row(folder: &str) -> Self {
        let detail = format!("named as of masks, or as not to be used, and no row of {LABELS} names it: not read");
        Self { path: folder.to_owned(), reason: Rejection::UnknownFolder, detail }
    }

    pub(super) fn of_row(row: &LabelRow) -> Self {
        let said = row.path.as_ref().or(row.scan.as_ref());
        let detail = match said {
            Some(said) => format!("there is no scan {}", cut(said)),
            // The number of a patient or series stays in the table.
            None => "no scan here has this patient or series".to_owned(),
        };
        Self { path: format!("{LABELS}, line {}", row.line), reason: Rejection::UnmatchedRow, detail }
    }
}
