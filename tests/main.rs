//! One test program: each one would link libtorch anew.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod architecture;
mod archive;
mod ask_python;
mod audit;
mod augment;
mod belonging;
mod cache;
mod chests;
mod cli;
mod corrupt;
mod cropped;
mod custom;
mod dicom_writer;
mod faults;
mod field_cases;
mod gcs;
mod google;
mod gradcam;
mod incremental;
mod interrupts;
mod judge;
mod kernel;
mod metrics;
mod names;
mod network;
mod notebooks;
mod outputs;
mod pretrained;
#[cfg(feature = "mpi")]
mod rank_faults;
#[cfg(feature = "mpi")]
mod ranks;
mod real_slices;
mod recipe;
mod scan_pooling;
mod scanner;
mod split;
mod stage;
mod stats;
mod support;
mod torchvision;
mod training;
mod trust;
mod workflow;
mod zips;
