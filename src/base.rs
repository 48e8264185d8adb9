//! What every room builds on: files, tables, figures, progress. Knows nothing of scans or networks.

pub(crate) mod checksums;
pub(crate) mod entry_name;
pub(crate) mod errors;
pub(crate) mod escape;
pub(crate) mod figure;
pub(crate) mod file_kind;
pub(crate) mod files;
pub(crate) mod interrupt;
pub(crate) mod natural;
pub(crate) mod output;
pub(crate) mod parallel;
pub(crate) mod progress;
pub(crate) mod ranks;
pub(crate) mod regular_file;
pub(crate) mod table;
pub(crate) mod zip_fields;
