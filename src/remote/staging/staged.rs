//! What staging brought, in words.

use super::unpack::Unpacked;
use crate::base::progress::human_bytes;
use crate::base::table::{Table, shown_as_table};
use std::path::PathBuf;

/// What became of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedObject {
    /// Its name below the target folder.
    pub name: String,
    /// Bytes in the bucket.
    pub size: u64,
    /// What was unpacked from it.
    pub unpacked: Option<Unpacked>,
    /// It was there already.
    pub kept: bool,
    /// This run compared its CRC-32C with the one that the store states. Of an archive that is unpacked on the way the
    /// entries' CRC-32 are compared instead; of what an earlier run finished size and time of last change are.
    pub verified: bool,
}

/// What became of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// Where from.
    pub url: String,
    /// Where to.
    pub folder: PathBuf,
    /// The objects, by name.
    pub objects: Vec<StagedObject>,
}

impl StagedObject {
    fn now(&self) -> String {
        match self.unpacked {
            Some(unpacked) if unpacked.files > 0 => format!("{unpacked}; CRC-32 of each file compared"),
            Some(unpacked) => unpacked.to_string(),
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
