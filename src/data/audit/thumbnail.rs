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
        Self(std::array::from_fn(|y| {
            let rows = field(y, height);
            columns.fill(0);
            for row in image.pixels[rows.start * width..rows.end * width].chunks_exact(width) {
                columns.iter_mut().zip(row).for_each(|(sum, pixel)| *sum = sum.wrapping_add(u16::from(*pixel)));
            }
            std::array::from_fn(|x| {
                let across = field(x, width);
                let count = (across.len() * rows.len()) as f32;
                columns[across].iter().map(|sum| u32::from(*sum)).sum::<u32>() as f32 / count
            })
        }))
    }

    /// Means over 2×2 fields.
    pub(super) fn halved(&self) -> [[f32; Self::SIDE / 2]; Self::SIDE / 2] {
        let rows = |y: usize, x: usize| self.0[y][x] + self.0[y + 1][x];
        std::array::from_fn(|y| std::array::from_fn(|x| (rows(2 * y, 2 * x) + rows(2 * y, 2 * x + 1)) / 4.0))
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
