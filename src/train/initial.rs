//! A run's initial network.
use crate::base::errors::{Context, Result};
use crate::base::progress::Progress;
use crate::base::ranks::{ranks, speaks};
use crate::nn::learn::Learn;
use crate::nn::model::Network;
use crate::nn::weights::{Weights, WeightsFile};
use crate::train::config::RunConfig;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

/// Number of noise images that batch norm's statistics are measured on.
const PICTURES: i64 = 64;
/// Sides of the grids of noise that are added up, each with half the amplitude of the one before: natural images have
/// more power at low frequencies.
const GRIDS: [i64; 4] = [4, 8, 16, 32];
/// Squared radius of the disk that the noise fills; 1 touches the edges. The corners stay black, as a slice is black
/// around the body.
const DISK: f64 = 0.7;

/// The initial network: pretrained weights with a new head, or random weights from the seed. The batch norm of a frozen
/// random backbone takes its statistics from noise images: its features then depend on no data set, and all runs of a
/// cache share them, whatever their split.
pub(crate) fn initial_network(
    run: &RunConfig,
    device: Device,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<(Network, Option<WeightsFile>)> {
    let Some(source) = &run.pretrained else {
        let network = Network::drawn(run.architecture, run.stages, run.seed, device)?;
        if run.learn != Learn::Whole {
            let grey = noise(i64::from(run.preprocess.size))?;
            network.measure_statistics(&run.preprocess.normalised(&grey.f_to_device(device)?)?)?;
        }
        return Ok((network, None));
    };
    let find = || Weights::find(run.architecture, source, progress);
    // The first rank downloads them.
    let found = speaks().then(find).transpose()?;
    ranks().barrier();
    let weights = found.map_or_else(find, Ok)?;
    let network = Network::pretrained_with(run.architecture, weights.read()?, run.stages, run.seed, device)
        .with_context(|| format!("reading the weights {}", weights.path().display()))?;
    Ok((network, Some(weights.file())))
}

/// Grey levels `[64, 1, size, size]` u8: a disk of smooth noise on black, the same at every call.
fn noise(size: i64) -> Result<Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut sum = Tensor::f_zeros([PICTURES, 1, size, size], (Kind::Float, Device::Cpu))?;
    for (octave, side) in GRIDS.into_iter().enumerate() {
        let values: Vec<f32> = (0..PICTURES * side * side).map(|_| rng.gen_range(-1.0..1.0)).collect();
        let grid = Tensor::f_from_slice(&values)?.f_reshape([PICTURES, 1, side, side])?;
        let smooth = grid.f_upsample_bilinear2d([size, size], false, None, None)?;
        sum = sum.f_add(&smooth.f_mul_scalar(0.5_f64.powi(octave as i32))?)?;
    }
    let axis = Tensor::f_linspace(-1.0, 1.0, size, (Kind::Float, Device::Cpu))?.f_square()?;
    let disk = axis.f_reshape([1, 1, size, 1])?.f_add(&axis.f_reshape([1, 1, 1, size])?)?.f_lt(DISK)?;
    let grey = sum.f_mul_scalar(120.0)?.f_add_scalar(100.0)?.f_clamp(0.0, 255.0)?;
    Ok(grey.f_mul(&disk.f_to_kind(Kind::Float)?)?.f_to_kind(Kind::Uint8)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_fills_a_disk_on_black_and_is_the_same_at_every_call() {
        let grey = noise(48).expect("noise");
        assert_eq!(grey.size(), [PICTURES, 1, 48, 48]);
        assert!(grey.equal(&noise(48).expect("noise")));
        let corner = grey.narrow(2, 0, 6).narrow(3, 0, 6).to_kind(Kind::Float);
        assert_eq!(corner.max().double_value(&[]), 0.0);
        let middle = grey.narrow(2, 12, 24).narrow(3, 12, 24).to_kind(Kind::Float);
        let (mean, std) = (middle.mean(Kind::Float).double_value(&[]), middle.std(true).double_value(&[]));
        assert!((mean - 100.0).abs() < 15.0 && std > 40.0, "mean {mean}, standard deviation {std}");
    }
}
