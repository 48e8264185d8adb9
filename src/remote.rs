//! Data and machines elsewhere: buckets, archives that are unpacked as they arrive, Google Cloud.

pub mod cloud;
pub mod staging;
