//! Random numbers: named ChaCha8 streams, and smooth value noise without any table.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a random stream is for; streams of different purposes never share numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// The anatomy of one patient.
    Patient = 1,
    /// The detector noise of one slice.
    Slice = 2,
    /// The numbers of slices of the scans.
    PhantomPlan = 3,
}

/// The stream of `(seed, patient, slice)` for one purpose. `variant` distinguishes several scans of a patient.
pub(super) fn stream(seed: u64, patient: u64, slice: u32, variant: u16, what: Stream) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&patient.to_le_bytes());
    key[16..20].copy_from_slice(&slice.to_le_bytes());
    key[20..22].copy_from_slice(&variant.to_le_bytes());
    key[22] = what as u8;
    ChaCha8Rng::from_seed(key)
}

/// A hash of a lattice point, in 0..1.
fn lattice(key: u32, x: i32, y: i32, z: i32) -> f32 {
    let mut h = key
        ^ (x as u32).wrapping_mul(0x8da6_b343)
        ^ (y as u32).wrapping_mul(0xd816_3841)
        ^ (z as u32).wrapping_mul(0xcb1a_b31f);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    (h ^ (h >> 15)) as f32 * (1.0 / u32::MAX as f32)
}

/// Value noise at a point, in -1..1, smooth in all three coordinates (lattice step 1).
pub(super) fn noise3(key: u32, x: f32, y: f32, z: f32) -> f32 {
    // `f32::floor` is a library call on the baseline x86-64.
    let floor = |t: f32| t as i32 - i32::from(t < 0.0);
    let (xi, yi, zi) = (floor(x), floor(y), floor(z));
    let fade = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v, w) = (fade(x - xi as f32), fade(y - yi as f32), fade(z - zi as f32));
    let row = |y: i32, z: i32| lerp(lattice(key, xi, y, z), lattice(key, xi + 1, y, z), u);
    let plane = |z: i32| lerp(row(yi, z), row(yi + 1, z), v);
    2.0 * lerp(plane(zi), plane(zi + 1), w) - 1.0
}

/// Linear interpolation from `a` (t = 0) to `b` (t = 1).
pub(super) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 at `t <= from`, 1 at `t >= to`, smooth between. `from` may be the larger one: then it falls.
pub(super) fn step(from: f32, to: f32, t: f32) -> f32 {
    let s = ((t - from) / (to - from)).clamp(0.0, 1.0);
    s * s * (3.0 - 2.0 * s)
}
