//! Turns stored voxels into values, a slice at a time.

use super::volume_axes::AxialView;

/// The value of voxels that are NaN: air, as most scanners write outside of the field of view.
const NOTHING: f32 = -1024.0;

/// The type of a stored voxel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl SampleKind {
    /// Bytes of a voxel.
    pub(super) fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// How stored voxels become values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) kind: SampleKind,
    pub(super) big_endian: bool,
    /// Slope and intercept; `None` for slope 1 and intercept 0.
    pub(super) rescale: Option<(f64, f64)>,
}

/// Slice `n` of `view`, row by row. `bytes` have to hold all of the view's voxels, and the view has to have the slice.
pub(super) fn slice(bytes: &[u8], sample: &Sample, view: &AxialView, n: usize) -> Vec<f32> {
    let slice = SliceReader { bytes, sample, view, origin: view.origin + n as isize * view.step[2] };
    match sample.kind {
        SampleKind::U8 => slice.values::<u8, 1>(),
        SampleKind::I8 => slice.values::<i8, 1>(),
        SampleKind::U16 => slice.values::<u16, 2>(),
        SampleKind::I16 => slice.values::<i16, 2>(),
        SampleKind::U32 => slice.values::<u32, 4>(),
        SampleKind::I32 => slice.values::<i32, 4>(),
        SampleKind::U64 => slice.values::<u64, 8>(),
        SampleKind::I64 => slice.values::<i64, 8>(),
        SampleKind::F32 => slice.values::<f32, 4>(),
        SampleKind::F64 => slice.values::<f64, 8>(),
    }
}

/// A type of `N` bytes.
trait Voxel<const N: usize>: Copy {
    fn little(bytes: [u8; N]) -> Self;
    fn big(bytes: [u8; N]) -> Self;
    /// As a value without slope and intercept.
    fn plain(self) -> f32;
    /// As a value for slope and intercept.
    fn wide(self) -> f64;
}

macro_rules! voxel {
    ($($kind:ty, $size:literal, $through:ty;)*) => {$(
        impl Voxel<$size> for $kind {
            #[inline(always)]
            fn little(bytes: [u8; $size]) -> Self {
                Self::from_le_bytes(bytes)
            }
            #[inline(always)]
            fn big(bytes: [u8; $size]) -> Self {
                Self::from_be_bytes(bytes)
            }
            #[inline(always)]
            fn plain(self) -> f32 {
                self as $through as f32
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                self as f64
            }
        }
    )*};
}

// Integers of 64 bits are rounded to f64 first, as numpy's readers do, so that the same value comes out.
voxel! {
    u8, 1, f32;
    i8, 1, f32;
    u16, 2, f32;
    i16, 2, f32;
    u32, 4, f32;
    i32, 4, f32;
    u64, 8, f64;
    i64, 8, f64;
    f32, 4, f32;
    f64, 8, f64;
}

#[inline(always)]
fn known(value: f32) -> f32 {
    if value.is_nan() { NOTHING } else { value }
}

struct SliceReader<'a> {
    bytes: &'a [u8],
    sample: &'a Sample,
    view: &'a AxialView,
    /// Index of the voxel at the upper left.
    origin: isize,
}

impl SliceReader<'_> {
    /// One loop for each type, byte order and with or without slope, so that none of them is asked about at each voxel.
    fn values<V: Voxel<N>, const N: usize>(&self) -> Vec<f32> {
        match (self.sample.big_endian, self.sample.rescale) {
            (false, None) => self.read(|bytes: [u8; N]| known(V::little(bytes).plain())),
            (true, None) => self.read(|bytes: [u8; N]| known(V::big(bytes).plain())),
            (false, Some((slope, intercept))) => {
                self.read(|bytes: [u8; N]| known((V::little(bytes).wide() * slope + intercept) as f32))
            }
            (true, Some((slope, intercept))) => {
                self.read(|bytes: [u8; N]| known((V::big(bytes).wide() * slope + intercept) as f32))
            }
        }
    }

    fn read<const N: usize>(&self, value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let [width, height, _] = self.view.sides;
        let (voxels, _) = self.bytes.as_chunks::<N>();
        let mut values = vec![0.0; width * height];
        if self.view.step[0].abs() == 1 {
            self.read_rows(voxels, &mut values, value);
        } else {
            self.read_tiles(voxels, &mut values, value);
        }
        values
    }

    /// Rows that lie in memory as they are shown or backwards.
    fn read_rows<const N: usize>(&self, voxels: &[[u8; N]], values: &mut [f32], value: impl Fn([u8; N]) -> f32) {
        let ([width, ..], [step_x, step_y, _]) = (self.view.sides, self.view.step);
        let backwards = step_x < 0;
        let first = if backwards { self.origin - (width as isize - 1) } else { self.origin };
        for (y, row) in values.chunks_exact_mut(width).enumerate() {
            let start = (first + y as isize * step_y) as usize;
            let stored = &voxels[start..start + width];
            row.iter_mut().zip(stored).for_each(|(place, voxel)| *place = value(*voxel));
            if backwards {
                row.reverse();
            }
        }
    }

    /// Rows that lie across memory: tiles are small enough that what is read for one row is still in the processor's
    /// cache for the next.
    fn read_tiles<const N: usize>(&self, voxels: &[[u8; N]], values: &mut [f32], value: impl Fn([u8; N]) -> f32) {
        const TILE: usize = 32;
        let ([width, ..], [step_x, step_y, _]) = (self.view.sides, self.view.step);
        for (top, rows) in values.chunks_mut(TILE * width).enumerate() {
            for left in (0..width).step_by(TILE) {
                let right = width.min(left + TILE);
                for (y, row) in rows.chunks_exact_mut(width).enumerate() {
                    let start = self.origin + (top * TILE + y) as isize * step_y;
                    for (x, place) in row[left..right].iter_mut().enumerate() {
                        *place = value(voxels[(start + (left + x) as isize * step_x) as usize]);
                    }
                }
            }
        }
    }
}
