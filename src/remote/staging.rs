//! Buckets and archives: list, fetch, verify, unpack.

mod archive;
mod audit;
mod connect;
mod directory;
mod entry;
mod fetch;
mod folder;
mod ledger;
mod names;
mod place;
mod queue;
mod run;
mod source;
mod staged;
mod store;
mod unpack;

pub use archive::{Archive, ArchiveLimits};
pub use audit::audit_archives;
pub use run::{StageOptions, stage};
pub use source::{LocalFile, Source};
pub use staged::{Staged, StagedObject};
pub use store::{Bucket, Listing, Object};
pub use unpack::Unpacked;
