//! A slice reduced to 64×64, on which an audit looks at what the slice shows.

use crate::data::pixels::GreyImage;

/// Means over 64×64 fields that divide the picture, row by row; grey levels 0 to 255.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Thumbnail(pub(super) [[f32; Thumbnail::SIDE]; Thumbnail::SIDE]);

impl Thumbnail {
    /// Fields per axis.
    pub(super) const SIDE: usize = 64;

    pub(super) fn of(image: &GreyImage) -> Self {
        let (width, height) = (image.width as usize, image.height as usize);
        // In an image with fewer pixels than fields, a pixel may belong to two fields.
        let field = |number: usize, length: usize| {
            let begin = number * length / Self::SIDE;
            begin..((number + 1) * length / Self::SIDE).max(begin + 1)
        };
        // A field has 128 rows at most (MAX_SIDE / SIDE), whose sum is below 32,768.
        let mut columns = vec![0_u16; width];
        let mut means = [[0.0; Self::SIDE]; Self::SIDE];
        for (y, means) in means.iter_mut().enumerate() {
            let rows = field(y, height);
            columns.fill(0);
            for row in image.pixels[rows.start * width..rows.end * width].chunks_exact(width) {
                columns.iter_mut().zip(row).for_each(|(sum, pixel)| *sum = sum.wrapping_add(u16::from(*pixel)));
            }
            let sum = |of: &[u16]| of.iter().fold(0_u32, |sum, column| sum.wrapping_add(u32::from(*column))) as f32;
            // In the usual width each field has eight columns.
            if width == 8 * Self::SIDE {
                let count = (8 * rows.len()) as f32;
                means.iter_mut().zip(columns.as_chunks::<8>().0).for_each(|(mean, eight)| *mean = sum(eight) / count);
                continue;
            }
            for (x, mean) in means.iter_mut().enumerate() {
                let across = field(x, width);
                let count = (across.len() * rows.len()) as f32;
                *mean = sum(&columns[across]) / count;
            }
        }
        Self(means)
    }

    /// Means over 2×2 fields.
    pub(super) fn halved(&self) -> [[f32; Self::SIDE / 2]; Self::SIDE / 2] {
        let mut halved = [[0.0; Self::SIDE / 2]; Self::SIDE / 2];
        for (means, [upper, lower]) in halved.iter_mut().zip(self.0.as_chunks::<2>().0) {
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            means.iter_mut().zip(pairs).for_each(|(mean, ([a, b], [c, d]))| *mean = ((a + c) + (b + d)) / 4.0);
        }
        halved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_divide_the_picture() {
        let fields = |width: u32, height: u32| {
            let pixels = (0..width * height).map(|i| (i % width) as u8).collect();
            Thumbnail::of(&GreyImage { width, height, pixels })
        };
        // 128 columns: two of each field, their mean is in between; 5 rows: every field is one of them.
        assert_eq!(fields(128, 5).0[63], std::array::from_fn(|x| 2.0 * x as f32 + 0.5));
        assert_eq!(fields(128, 5).halved()[31], std::array::from_fn(|x| 4.0 * x as f32 + 1.5));
        assert_eq!(fields(1, 1).0, [[0.0; Thumbnail::SIDE]; Thumbnail::SIDE]);
        let white = GreyImage { width: 70, height: 8192, pixels: vec![255; 70 * 8192] };
        assert_eq!(Thumbnail::of(&white).0, [[255.0; Thumbnail::SIDE]; Thumbnail::SIDE]);
    }
}
