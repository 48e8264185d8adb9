//! The result of staging, as a table.

use super::unpack::Unpacked;
use crate::base::file_kind::FileKind;
use crate::base::progress::human_bytes;
use crate::base::table::{Table, shown_as_table};
use std::path::PathBuf;

/// The result for one object.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedObject {
    /// Its name below the target folder.
    pub name: String,
    /// Bytes in the bucket.
    pub size: u64,
    /// What was unpacked from it, for an archive.
    pub unpacked: Option<Unpacked>,
    /// The folder around everything in an archive, which is not made.
    pub left_away: Option<String>,
    /// Whether it was there already.
    pub kept: bool,
    /// Whether this run compared its CRC-32C with the one that the store states. For an archive that is unpacked while
    /// it arrives, the CRC-32 of its entries are compared instead; for a file of an earlier run, size and time of last
    /// change.
    pub verified: bool,
}

/// The result of staging.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// The URL that was staged.
    pub url: String,
    /// The target folder.
    pub folder: PathBuf,
    /// The objects, by name.
    pub objects: Vec<StagedObject>,
}

impl StagedObject {
    fn now(&self) -> String {
        match self.unpacked {
            Some(unpacked) => {
                let compared = if unpacked.files > 0 { "; CRC-32 of each file compared" } else { "" };
                let without = self.left_away.as_ref().map(|top| format!("; without the folder {top} around all"));
                format!("{unpacked}{compared}{}", without.unwrap_or_default())
            }
            None if let Some(archive) = FileKind::archive_named(&self.name) => {
                format!("{}; {}", if self.kept { "was there" } else { "fetched" }, archive.told(&self.name))
            }
            None if self.kept && self.verified => "was there, CRC-32C verified".to_owned(),
            None if self.kept => "was there".to_owned(),
            None if self.verified => "fetched, CRC-32C verified".to_owned(),
            None => "fetched; the store states no CRC-32C".to_owned(),
        }
    }
}

impl Staged {
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(format!("{} in {}", self.url, self.folder.display()), &["Name", "Size", "Now"]);
        for object in &self.objects {
            table.row([object.name.clone(), human_bytes(object.size), object.now()]);
        }
        table
    }
}

shown_as_table!(Staged);
