//! Pillow's antialiased resizing of grey images, equal bit for bit.
//!
//! Written here because networks are compared with PyTorch pipelines, which resize with Pillow; libraries that compute
//! in another order or precision differ from it by up to two grey levels.

use crate::base::errors::{Context, Result, ensure};
use crate::data::pixels::GreyImage;
use image::{DynamicImage, GrayImage, RgbImage};
use multiversion::multiversion;
use std::cell::RefCell;
use std::rc::Rc;

/// Bits behind the point in Pillow's fixed-point weights for 8-bit pictures (`PRECISION_BITS` in its Resample.c).
const PRECISION: u32 = 32 - 8 - 2;

/// Resizes to size × size grey levels with a triangle filter that widens with the reduction, as Pillow's
/// `Image.BILINEAR` and torchvision's `Resize(antialias=True)`: across first, rounded to grey levels, then down.
///
/// # Errors
/// A size of 0, or an image whose pixels are not width × height.
pub fn resize_grey(image: &GreyImage, size: u32) -> Result<Vec<u8>> {
    resized(image, [size, size])
}

/// A picture with its proportions, `side` pixels at the longer side, in grey levels or in colours.
///
/// # Errors
/// As [`resize_grey`].
pub(crate) fn fitted(picture: &DynamicImage, side: u32) -> Result<DynamicImage> {
    let (width, height) = (picture.width(), picture.height());
    let share = f64::from(side) / f64::from(width.max(height).max(1));
    let to = [width, height].map(|of| ((f64::from(of) * share).round() as u32).max(1));
    let one = |pixels: Vec<u8>| resized(&GreyImage { width, height, pixels }, to);
    let doing = "resizing a picture: its pixels are not width × height";
    if !picture.color().has_color() {
        let grey = one(picture.to_luma8().into_raw())?;
        return GrayImage::from_raw(to[0], to[1], grey).map(DynamicImage::ImageLuma8).context(doing);
    }
    let colours = picture.to_rgb8().into_raw();
    let channel = |at: usize| one(colours.iter().skip(at).step_by(3).copied().collect());
    let (red, green, blue) = (channel(0)?, channel(1)?, channel(2)?);
    let pixels = red.into_iter().zip(green).zip(blue).flat_map(|((red, green), blue)| [red, green, blue]).collect();
    RgbImage::from_raw(to[0], to[1], pixels).map(DynamicImage::ImageRgb8).context(doing)
}

fn resized(image: &GreyImage, to: [u32; 2]) -> Result<Vec<u8>> {
    let [width, height, wide, high] = [image.width, image.height, to[0], to[1]].map(|side| side as usize);
    ensure!(wide > 0 && high > 0, "resizing a slice: expected a size of 1 pixel or more, found 0");
    ensure!(
        width > 0 && height > 0 && image.pixels.len() == width * height,
        "resizing a slice: expected {width}x{height} pixels, found {}",
        image.pixels.len()
    );
    let (across, down) = (Taps::of(width, wide), Taps::of(height, high));
    let mut narrow = vec![0_u8; wide * height];
    let blocks = image.pixels.chunks(LANES * width).zip(narrow.chunks_mut(LANES * wide));
    blocks.for_each(|(rows, narrow)| narrowed(rows, &across, narrow));
    let mut small = vec![0_u8; wide * high];
    shortened(&narrow, wide, &down, &mut small);
    Ok(small)
}

/// Rows that are narrowed together, a lane of the processor's vectors each.
const LANES: usize = 16;

/// Narrows up to [`LANES`] rows. Every pixel of a row has other weights, but equal ones in all rows: so the rows are laid
/// side by side, and each weight is multiplied with a pixel of all of them at once.
#[multiversion(targets("x86_64+avx2", "x86_64+avx2+avx512f+avx512bw"))]
fn narrowed(rows: &[u8], across: &Taps, narrow: &mut [u8]) {
    let (width, size) = (across.source, across.target);
    let mut columns = vec![[0_u8; LANES]; width];
    for (lane, row) in rows.chunks_exact(width).enumerate() {
        columns.iter_mut().zip(row).for_each(|(column, pixel)| column[lane] = *pixel);
    }
    for (x, (first, weights)) in across.each().enumerate() {
        let mut sums = [0_i32; LANES];
        for (column, weight) in columns[first..].iter().zip(weights) {
            sums.iter_mut().zip(column).for_each(|(sum, pixel)| *sum = weighed(*sum, *pixel, *weight));
        }
        let pixels = sums.map(rounded);
        narrow.iter_mut().skip(x).step_by(size).zip(pixels).for_each(|(place, pixel)| *place = pixel);
    }
}

/// Makes `small` of rows that are narrow enough already, of `size` pixels.
#[multiversion(targets("x86_64+avx2", "x86_64+avx2+avx512f+avx512bw"))]
fn shortened(narrow: &[u8], size: usize, down: &Taps, small: &mut [u8]) {
    let mut sums = vec![0_i32; size];
    for (target, (first, weights)) in small.chunks_exact_mut(size).zip(down.each()) {
        sums.fill(0);
        for (row, weight) in narrow[first * size..].chunks_exact(size).zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, pixel)| *sum = weighed(*sum, *pixel, *weight));
        }
        target.iter_mut().zip(&sums).for_each(|(pixel, sum)| *pixel = rounded(*sum));
    }
}

/// Adds a pixel's share. Weights of a window add up to 2^22, so that no sum reaches 2^31; a check at every pixel would
/// keep the compiler from using vectors.
#[inline(always)]
fn weighed(sum: i32, pixel: u8, weight: i32) -> i32 {
    sum.wrapping_add(i32::from(pixel).wrapping_mul(weight))
}

/// Half a level is added before the bits behind the point are cut off.
#[inline(always)]
fn rounded(sum: i32) -> u8 {
    (sum.wrapping_add(1 << (PRECISION - 1)) >> PRECISION).clamp(0, 255) as u8
}

/// Which pixels of a line of `source` each of `target` pixels is made from, and with what weights.
struct Taps {
    source: usize,
    target: usize,
    /// The first pixel, and where the weights from there on begin and end.
    windows: Vec<(usize, usize, usize)>,
    weights: Vec<i32>,
}

thread_local! {
    /// Slices have one size, mostly, and are square.
    static LAST: RefCell<Option<Rc<Taps>>> = const { RefCell::new(None) };
}

impl Taps {
    fn of(source: usize, target: usize) -> Rc<Self> {
        LAST.with_borrow_mut(|last| match last {
            Some(taps) if (taps.source, taps.target) == (source, target) => taps.clone(),
            _ => last.insert(Rc::new(Self::computed(source, target))).clone(),
        })
    }

    /// As `precompute_coeffs` and `normalize_coeffs_8bpc` in Pillow's Resample.c.
    fn computed(source: usize, target: usize) -> Self {
        let scale = source as f64 / target as f64;
        let reach = scale.max(1.0);
        let (mut windows, mut weights) = (Vec::with_capacity(target), Vec::new());
        for pixel in 0..target {
            let centre = (pixel as f64 + 0.5) * scale;
            let first = ((centre - reach + 0.5) as i64).max(0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(source);
            let triangle = |x: usize| (1.0 - ((x as f64 - centre + 0.5) / reach).abs()).max(0.0);
            let sum: f64 = (first..end).map(triangle).sum();
            let begin = weights.len();
            weights.extend((first..end).map(|x| (0.5 + triangle(x) / sum * f64::from(1 << PRECISION)) as i32));
            windows.push((first, begin, weights.len()));
        }
        Self { source, target, windows, weights }
    }

    /// The first pixel and the weights of each target pixel.
    fn each(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.windows.iter().map(|&(first, begin, end)| (first, &self.weights[begin..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_averages_with_a_triangle() {
        // The window of the first target pixel: centre 1, reach 2, weights 0.75, 0.75, 0.25 of 1.75.
        let image = GreyImage { width: 4, height: 4, pixels: [0, 70, 140, 210].repeat(4) };
        assert_eq!(resize_grey(&image, 2).expect("resizes"), [50, 160, 50, 160]);
    }

    #[test]
    fn an_even_picture_stays_even_and_its_own_size_changes_nothing() {
        let even = GreyImage { width: 7, height: 5, pixels: vec![201; 35] };
        assert!(resize_grey(&even, 3).expect("resizes").iter().all(|p| *p == 201));
        let ramp = GreyImage { width: 4, height: 4, pixels: (0..16).map(|i| i * 16).collect() };
        assert_eq!(resize_grey(&ramp, 4).expect("resizes"), ramp.pixels);
    }

    #[test]
    fn a_picture_keeps_its_proportions_and_each_colour_is_resized_as_grey_is() {
        let levels: Vec<u8> = (0..8 * 4).map(|at| (at * 37 % 251) as u8).collect();
        let grey = DynamicImage::ImageLuma8(GrayImage::from_raw(8, 4, levels.clone()).expect("8 × 4"));
        let small = fitted(&grey, 4).expect("resizes");
        assert_eq!((small.width(), small.height(), small.color().has_color()), (4, 2, false));
        let pixels: Vec<u8> = levels.iter().flat_map(|&level| [level, 255 - level, 9]).collect();
        let colours = DynamicImage::ImageRgb8(RgbImage::from_raw(8, 4, pixels).expect("8 × 4"));
        let coloured = fitted(&colours, 4).expect("resizes").to_rgb8();
        let inverse = GreyImage { width: 8, height: 4, pixels: levels.iter().map(|level| 255 - level).collect() };
        let inverse = resized(&inverse, [4, 2]).expect("resizes");
        for ((pixel, grey), inverse) in coloured.pixels().zip(small.to_luma8().into_raw()).zip(inverse) {
            assert_eq!(pixel.0, [grey, inverse, 9]);
        }
        // Halved across and down as a square is.
        let square = GreyImage { width: 8, height: 8, pixels: levels.repeat(2) };
        assert_eq!(resize_grey(&square, 4).expect("resizes")[..4], small.to_luma8().into_raw()[..4]);
        assert_eq!(fitted(&grey, 16).expect("enlarges").height(), 8);
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let wrong = GreyImage { width: 4, height: 4, pixels: vec![0; 3] };
        assert!(resize_grey(&wrong, 2).is_err());
        assert!(resize_grey(&GreyImage { width: 1, height: 1, pixels: vec![9] }, 0).is_err());
        assert_eq!(resize_grey(&GreyImage { width: 1, height: 1, pixels: vec![9] }, 2).expect("resizes"), [9; 4]);
    }
}
