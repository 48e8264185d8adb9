//! Buckets and archives: list, fetch, verify, unpack.

mod archive;
mod audit_archives;
mod connect;
mod directory;
mod entry;
mod fetch;
mod folder;
mod ledger;
mod name_conflicts;
mod place;
mod queue;
mod source;
mod stage_objects;
mod staged;
mod store;
mod unpack;

pub use archive::{Archive, ArchiveLimits};
pub use audit_archives::audit_archives;
pub use source::{ByteSource, LocalFile};
pub use stage_objects::{StageOptions, stage};
pub use staged::{Staged, StagedObject};
pub use store::{Bucket, Listing, Object};
pub use unpack::Unpacked;
