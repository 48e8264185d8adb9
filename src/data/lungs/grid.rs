//! The small picture that is segmented: a slice reduced, and without the light page around it.

use super::plane::Plane;
use crate::data::pixels::GreyImage;

/// The longest side of the picture that is segmented, in pixels: about 1.5 mm a pixel in a slice of a whole chest.
const LONGEST: usize = 256;
/// A row or column belongs to the page around a slice when this share of it is at least this bright.
const PAGE: (f64, u8) = (0.92, 225);

/// The picture that is segmented.
pub(super) struct Grid {
    /// Its width and height in pixels, the page included.
    pub width: usize,
    pub height: usize,
    /// Grey levels.
    pub grey: Vec<u8>,
    /// The first column and row of the slice on the page, and the first ones behind it.
    pub from: (usize, usize),
    pub to: (usize, usize),
}

impl Grid {
    /// Reduces a slice by means over boxes; a small one stays as it is.
    pub fn of(image: &GreyImage) -> Self {
        let (w, h) = (image.width as usize, image.height as usize);
        let longest = w.max(h).max(1);
        let side = |n: usize| if longest <= LONGEST { n } else { (n * LONGEST / longest).max(1) };
        let (width, height) = (side(w), side(h));
        let spans: Vec<_> = (0..width).map(|x| x * w / width..(x + 1) * w / width).collect();
        let mut grey = Vec::with_capacity(width * height);
        for y in 0..height {
            let rows = y * h / height..(y + 1) * h / height;
            let count = rows.len();
            let lines = &image.pixels[rows.start * w..rows.end * w];
            for span in &spans {
                let of_line = |line: &[u8]| line[span.clone()].iter().map(|p| u32::from(*p)).sum::<u32>();
                let sum: u32 = lines.chunks_exact(w).map(of_line).sum();
                grey.push((sum / (count * span.len()) as u32) as u8);
            }
        }
        let mut grid = Self { width, height, grey, from: (0, 0), to: (width, height) };
        grid.take_page_off();
        grid
    }

    fn take_page_off(&mut self) {
        let is_page = |pixels: &mut dyn Iterator<Item = &u8>| {
            let (all, bright) = pixels.fold((0, 0), |(all, bright), p| (all + 1, bright + usize::from(*p >= PAGE.1)));
            bright as f64 >= PAGE.0 * f64::from(all)
        };
        let (w, h) = (self.width, self.height);
        let row = |y: &usize| !is_page(&mut self.grey[y * w..(y + 1) * w].iter());
        let column = |x: &usize| !is_page(&mut self.grey[*x..].iter().step_by(w));
        let ends = (((0..w).find(column), (0..w).rfind(column)), ((0..h).find(row), (0..h).rfind(row)));
        if let ((Some(x0), Some(x1)), (Some(y0), Some(y1))) = ends {
            (self.from, self.to) = ((x0, y0), (x1 + 1, y1 + 1));
        }
    }

    /// The slice without the page.
    pub fn slice(&self) -> GreyImage {
        let rows = (self.from.1..self.to.1).map(|y| y * self.width);
        let pixels = rows.flat_map(|at| self.grey[at + self.from.0..at + self.to.0].iter().copied()).collect();
        let (width, height) = ((self.to.0 - self.from.0) as u32, (self.to.1 - self.from.1) as u32);
        GreyImage { width, height, pixels }
    }

    /// A mask of [`Self::slice`] put back on the page and enlarged to `width` × `height` pixels: on where the
    /// bilinear interpolation between the centres of the grid's pixels is at least one half.
    pub fn enlarge(&self, mask: &Plane, width: usize, height: usize) -> Vec<bool> {
        let mut page = vec![0.0_f32; self.width * self.height];
        for (y, row) in mask.on.chunks_exact(mask.width.max(1)).enumerate() {
            let at = (y + self.from.1) * self.width + self.from.0;
            page[at..at + row.len()].iter_mut().zip(row).for_each(|(p, on)| *p = f32::from(u8::from(*on)));
        }
        let across = neighbours(self.width, width);
        let mut wide = Vec::with_capacity(width * self.height);
        for row in page.chunks_exact(self.width) {
            wide.extend(across.iter().map(|&(a, b, share)| row[a] + (row[b] - row[a]) * share));
        }
        let mut inside = vec![false; width * height];
        for (line, (a, b, share)) in inside.chunks_exact_mut(width).zip(neighbours(self.height, height)) {
            let rows = wide[a * width..].iter().zip(&wide[b * width..]);
            line.iter_mut().zip(rows).for_each(|(inside, (p, q))| *inside = p + (q - p) * share >= 0.5);
        }
        inside
    }
}

/// For each pixel of a line of `target` the two of a line of `source` it lies between, and the second one's share.
fn neighbours(source: usize, target: usize) -> Vec<(usize, usize, f32)> {
    let last = source.saturating_sub(1);
    let place = |i: usize| {
        let at = ((i as f32 + 0.5) * source as f32 / target as f32 - 0.5).clamp(0.0, last as f32);
        (at as usize, (at as usize + 1).min(last), at.fract())
    };
    (0..target).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_comes_off_and_back_on() {
        let on_slice = |i: usize| (8..24).contains(&(i % 40)) && (4..28).contains(&(i / 40));
        let pixels = (0..40 * 32).map(|i| if on_slice(i) { 60 } else { 250 }).collect();
        let grid = Grid::of(&GreyImage { width: 40, height: 32, pixels });
        assert_eq!((grid.from, grid.to), ((8, 4), (24, 28)));
        let slice = grid.slice();
        assert!(slice.width == 16 && slice.height == 24 && slice.pixels.iter().all(|p| *p == 60));
        let full = Plane { width: 16, height: 24, on: vec![true; 16 * 24] };
        assert_eq!(grid.enlarge(&full, 40, 32), (0..40 * 32).map(on_slice).collect::<Vec<_>>());
        assert_eq!(grid.enlarge(&full, 80, 64).iter().filter(|on| **on).count(), 4 * 16 * 24);
    }

    #[test]
    fn a_large_slice_is_reduced_by_means() {
        let pixels = (0..512 * 384).map(|i| if i % 2 == 0 { 10 } else { 30 }).collect();
        let grid = Grid::of(&GreyImage { width: 512, height: 384, pixels });
        assert_eq!((grid.width, grid.height), (256, 192));
        assert!(grid.grey.iter().all(|p| (16..=24).contains(p)));
    }
}
