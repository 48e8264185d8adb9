//! Buckets and archives: list, fetch, verify, unpack. Behind the feature `cloud`, which the notebooks' kernel does not
//! enable.

mod archive;
mod connect;
mod directory;
mod entry;
mod fetch;
mod folder;
mod stage;
mod store;

pub use archive::{Archive, ArchiveLimits, LocalFile, Source, Unpacked};
pub use stage::{StageOptions, Staged, StagedObject, stage};
pub use store::{Bucket, Listing, Object};
