//! Networks on libtorch: their layers, weights, optimizer and devices.

pub(crate) mod batch_share;
pub(crate) mod cuda;
pub(crate) mod device;
pub(crate) mod learn;
pub(crate) mod model;
#[cfg(feature = "mpi")]
mod nccl;
pub(crate) mod optimizer;
pub(crate) mod rank_sums;
pub(crate) mod scan_pooling;
pub(crate) mod script;
pub(crate) mod single_threads;
pub(crate) mod tensor_file;
pub(crate) mod transfer;
pub(crate) mod weight_average;
pub(crate) mod weights;
