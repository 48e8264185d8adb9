//! Buckets and archives: list, fetch, verify, unpack.

mod archive;
mod audit_archives;
mod bucket;
mod central_end;
mod central_record;
mod connect;
mod directory;
mod entry;
mod fetch;
mod folder;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzed_directory;
mod ledger;
mod name_conflicts;
mod own_source;
mod part_of_archive;
mod place;
mod queue;
mod source;
mod stage_objects;
mod staged;
mod top_folder;
mod unpack;

pub use archive::{Archive, ArchiveLimits};
pub use audit_archives::{audit_archives, audit_archives_again};
pub use bucket::{Bucket, Listing, Object};
pub use source::{ByteSource, LocalFile};
pub use stage_objects::{StageOptions, stage};
pub use staged::{Staged, StagedObject};
pub use unpack::Unpacked;
