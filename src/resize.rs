//! Pillow's antialiased resizing of grey pictures, number for number.
//!
//! Written here because equality is the point: networks are compared with results of PyTorch pipelines, which resize
//! with Pillow. The libraries at hand work in another order or precision and come out up to two grey levels off.

use crate::decode::GreyImage;
use anyhow::{Result, ensure};

/// Bits behind the point in Pillow's fixed-point weights for 8-bit pictures (`PRECISION_BITS` in its Resample.c).
const PRECISION: u32 = 32 - 8 - 2;

/// Resizes to size × size grey levels with a triangle filter that widens with the reduction, as Pillow's
/// `Image.BILINEAR` and torchvision's `Resize(antialias=True)`: across first, rounded to grey levels, then down.
///
/// # Errors
/// A size of 0, or an image whose pixels are not width × height.
pub fn resize_grey(image: &GreyImage, size: u32) -> Result<Vec<u8>> {
    let (width, height, size) = (image.width as usize, image.height as usize, size as usize);
    ensure!(size > 0, "resizing a slice: expected a size of 1 pixel or more, found 0");
    ensure!(
        width > 0 && height > 0 && image.pixels.len() == width * height,
        "resizing a slice: expected {width}x{height} pixels, found {}",
        image.pixels.len()
    );
    let (across, down) = (weights(width, size), weights(height, size));
    let mut narrow = vec![0_u8; size * height];
    for (row, target) in image.pixels.chunks_exact(width).zip(narrow.chunks_exact_mut(size)) {
        for (pixel, (first, weights)) in target.iter_mut().zip(&across) {
            let window = &row[*first..first + weights.len()];
            *pixel = rounded(window.iter().zip(weights).map(|(p, w)| i32::from(*p) * w).sum());
        }
    }
    let mut small = vec![0_u8; size * size];
    let mut sums = vec![0_i32; size];
    for (target, (first, weights)) in small.chunks_exact_mut(size).zip(&down) {
        sums.fill(0);
        for (row, weight) in narrow[first * size..].chunks_exact(size).zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, pixel)| *sum += i32::from(*pixel) * weight);
        }
        target.iter_mut().zip(&sums).for_each(|(pixel, sum)| *pixel = rounded(*sum));
    }
    Ok(small)
}

/// Half a level is added before the bits behind the point are cut off.
fn rounded(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

/// For each pixel of the target the first pixel of the source it is made from, and the weights from there on
/// (`precompute_coeffs` and `normalize_coeffs_8bpc` in Pillow's Resample.c).
fn weights(source: usize, target: usize) -> Vec<(usize, Vec<i32>)> {
    let scale = source as f64 / target as f64;
    let reach = scale.max(1.0);
    let one = |pixel: usize| {
        let centre = (pixel as f64 + 0.5) * scale;
        let first = ((centre - reach + 0.5) as i64).max(0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(source);
        let triangle = |x: usize| (1.0 - ((x as f64 - centre + 0.5) / reach).abs()).max(0.0);
        let raw: Vec<f64> = (first..end).map(triangle).collect();
        let sum: f64 = raw.iter().sum();
        let fixed = |w: &f64| (0.5 + w / sum * f64::from(1 << PRECISION)) as i32;
        (first, raw.iter().map(fixed).collect())
    };
    (0..target).map(one).collect()
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
    fn sizes_that_cannot_be_are_refused() {
        let wrong = GreyImage { width: 4, height: 4, pixels: vec![0; 3] };
        assert!(resize_grey(&wrong, 2).is_err());
        assert!(resize_grey(&GreyImage { width: 1, height: 1, pixels: vec![9] }, 0).is_err());
        assert_eq!(resize_grey(&GreyImage { width: 1, height: 1, pixels: vec![9] }, 2).expect("resizes"), [9; 4]);
    }
}
