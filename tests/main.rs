//! One test program: each one would link libtorch anew.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod audit;
mod cache;
mod cli;
mod corrupt;
mod metrics;
mod network;
mod notebooks;
mod pretrained;
mod split;
mod support;
mod torchvision;
mod training;
mod workflow;
