//! All integration tests in one program.

mod archive;
mod gcs;
mod stage;
mod zips;
