//! Where the lungs lie in an axial CT slice, found without training.
//!
//! The steps are those of the classical methods (Hu, Hoffman and Reinhardt, "Automatic Lung Segmentation for Accurate
//! Quantitation of Volumetric X-Ray CT Images", IEEE Trans. Med. Imaging 20, 2001; surveyed by Sluimer et al.,
//! "Computer Analysis of Computed Tomography Scans of the Lung", IEEE Trans. Med. Imaging 25, 2006): an optimal
//! threshold separates air from tissue, the air around the body is removed, the lungs are the large dark parts inside,
//! the two lungs are separated, and their outline is closed over vessels and over lesions at the chest wall (there by
//! the convex hull). Pictures are exports with grey levels and no Hounsfield units, so every threshold comes from the
//! picture itself.
//!
//! The mask serves one purpose: to measure how much of a heat map lies outside the lungs. It does not measure their
//! volume. It leaves out large consolidations, lobes and tumours at the chest wall, and it takes in gas of the stomach,
//! and trachea and main bronchi where they touch a lung; a tight crop with ground glass can lose a lung.
//! `docs/explanations.md` has the counts.

mod grid;
mod plane;
mod segment;

use crate::data::pixels::GreyImage;
use plane::Plane;
pub(crate) use segment::otsu_threshold;

/// The share of the picture that plausible lungs cover. Apices cover less, as do gas in the bowel and the trachea; two
/// lungs that fill more are a picture without a body around them.
const PLAUSIBLE_SHARE: std::ops::RangeInclusive<f64> = 0.04..=0.8;
/// Parts that plausible lungs consist of, at the most: lobes around a consolidation, and the back of a lung that the
/// dome of the diaphragm cuts off.
const MOST_PARTS: usize = 6;
/// Plausible lungs reach over this share of the picture's width or height, at the least.
const SPREAD: f64 = 0.3;

/// Where the lungs lie in a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LungMask {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height` pixels, row by row: true inside the lungs, vessels and lesions included.
    pub inside: Vec<bool>,
}

impl LungMask {
    /// Finds the lungs in an axial slice of any window in which air is dark and tissue bright; the outline is exact to
    /// 1/256 of the longer side. The mask is empty where no lungs are found: in a uniform picture, in one with less
    /// than 30 grey levels between dark and bright, and when `image` has not width × height pixels.
    pub fn of(image: &GreyImage) -> Self {
        let (width, height) = (image.width as usize, image.height as usize);
        let inside = if image.pixels.is_empty() || image.pixels.len() != width * height {
            vec![false; width * height]
        } else {
            let grid = grid::Grid::of(image);
            grid.enlarge(&segment::lungs(&grid.slice()), width, height)
        };
        Self { width: image.width, height: image.height, inside }
    }

    /// The slice reduced to 256 pixels at its longer side, and the lungs in that: a fraction of the work where their place is
    /// enough.
    pub(crate) fn reduced(image: &GreyImage) -> (GreyImage, Self) {
        let grid = grid::Grid::of(image);
        let inside = grid.enlarge(&segment::lungs(&grid.slice()), grid.width, grid.height);
        let (width, height) = (grid.width as u32, grid.height as u32);
        (GreyImage { width, height, pixels: grid.grey }, Self { width, height, inside })
    }

    /// The first column inside and the one behind the last, and the same of the rows; `None` for an empty mask.
    pub(crate) fn bounds(&self) -> Option<((u32, u32), (u32, u32))> {
        let width = self.width as usize;
        let (mut columns, mut rows) = ((u32::MAX, 0), (u32::MAX, 0));
        for (y, row) in self.inside.chunks_exact(width.max(1)).enumerate() {
            let Some((first, last)) = row.iter().position(|on| *on).zip(row.iter().rposition(|on| *on)) else {
                continue;
            };
            columns = (columns.0.min(first as u32), columns.1.max(last as u32 + 1));
            rows = (rows.0.min(y as u32), y as u32 + 1);
        }
        (columns.1 > 0).then_some((columns, rows))
    }

    /// The share of the picture that is inside, 0 to 1; 0 for a picture without pixels.
    pub fn share(&self) -> f64 {
        self.inside.iter().filter(|inside| **inside).count() as f64 / self.inside.len().max(1) as f64
    }

    /// Number of separate parts of half a percent of the picture or more: 2 for two lungs apart, 1 where they touch.
    pub fn lungs(&self) -> usize {
        self.plane().parts((self.inside.len() / 200).max(1)).len()
    }

    /// True when the mask may well be the lungs: it covers 4 to 80 % of the picture, in at most six parts, and reaches
    /// over 30 % of the picture's width or height.
    ///
    /// False is expected for slices above or below the lungs, and for the topmost and the lowest of the lungs. True is
    /// no proof: the mask may still lack a consolidated lobe.
    pub fn is_plausible(&self) -> bool {
        if !PLAUSIBLE_SHARE.contains(&self.share()) || !(1..=MOST_PARTS).contains(&self.lungs()) {
            return false;
        }
        let (w, h) = (self.width as usize, self.height as usize);
        let extent = |n: usize, is_used: &dyn Fn(&usize) -> bool| {
            let (first, last) = ((0..n).find(is_used), (0..n).rfind(is_used));
            first.zip(last).map_or(0.0, |(first, last)| (last + 1 - first) as f64 / n as f64)
        };
        extent(w, &|x| (0..h).any(|y| self.inside[y * w + x]))
            .max(extent(h, &|y| self.inside[y * w..(y + 1) * w].contains(&true)))
            >= SPREAD
    }

    /// The mask for a picture of another size, such as a heat map: inside where most of the pixel is.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        let (w, h) = (self.width as usize, self.height as usize);
        let across = spans(w, width as usize);
        let mut inside = Vec::with_capacity(width as usize * height as usize);
        for rows in spans(h, height as usize) {
            for columns in &across {
                let on = |y: usize| self.inside[y * w..][columns.clone()].iter().filter(|inside| **inside).count();
                inside.push(2 * rows.clone().map(on).sum::<usize>() > rows.len() * columns.len());
            }
        }
        Self { width, height, inside }
    }

    /// The pixels inside with a neighbour outside, or at the picture's border, and those within `reach` pixels of them.
    pub(crate) fn outline(&self, reach: f32) -> Vec<bool> {
        self.plane().rim().dilated(reach).on
    }

    /// The share of a heat map that lies outside the lungs, 0 to 1. `heat` has the mask's size (see [`Self::resized`]),
    /// row by row, and no negative value.
    ///
    /// `None` when the size differs, when the heat map is zero everywhere, or when the mask is not plausible.
    pub fn share_outside(&self, heat: &[f32]) -> Option<f64> {
        let is_heat = heat.len() == self.inside.len() && heat.iter().all(|h| h.is_finite() && *h >= 0.0);
        if !is_heat || !self.is_plausible() {
            return None;
        }
        let all: f64 = heat.iter().map(|h| f64::from(*h)).sum();
        let outside = heat.iter().zip(&self.inside).filter(|(_, inside)| !**inside).map(|(h, _)| f64::from(*h));
        (all > 0.0).then(|| outside.sum::<f64>() / all)
    }

    fn plane(&self) -> Plane {
        Plane { width: self.width as usize, height: self.height as usize, on: self.inside.clone() }
    }
}

/// For each of `target` pixels the pixels of `source` it stands for, one at the least.
fn spans(source: usize, target: usize) -> Vec<std::ops::Range<usize>> {
    let span = |i: usize| {
        let first = (i * source / target).min(source.saturating_sub(1));
        first..((i + 1) * source / target).max(first + 1).min(source)
    };
    (0..target).map(span).collect()
}

#[cfg(test)]
mod tests;
