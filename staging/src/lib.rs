//! Scratch crate for the staging modules.
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

#[cfg(feature = "cloud")]
pub mod cloud;
mod files;
mod progress;
mod table;

pub use progress::Progress;
pub use table::{Show, Table};
