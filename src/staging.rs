//! Buckets and archives: list, fetch, verify, unpack. Behind the feature `staging`, which the notebooks' kernel does not
//! enable; notebooks call [`cloud::stage`](crate::cloud::stage), which runs the command line.

mod archive;
mod connect;
mod directory;
mod entry;
mod fetch;
mod folder;
mod run;
mod store;

pub use archive::{Archive, ArchiveLimits, LocalFile, Source, Unpacked};
pub use run::{StageOptions, Staged, StagedObject, stage};
pub use store::{Bucket, Listing, Object};
