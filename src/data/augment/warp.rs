//! Flip, rotation, shift and scale in one affine warp, bilinear, with black outside of the picture.

use multiversion::multiversion;

/// Bits behind the point of a coordinate: with sides up to [`LONGEST_SIDE`] it fits 32 bits, and over a whole row the
/// rounded step misses less than a hundredth of a pixel.
const POINT: u32 = 18;
/// Bits of an interpolation weight: two of them and a grey level fit 31 bits.
const WEIGHT: u32 = 11;
/// The longest side of a picture that can be warped, in pixels.
pub(super) const LONGEST_SIDE: usize = 4096;

/// Corners for which there is always room: up to so many, those of sides up to 254, an index needs no check.
const SMALL: usize = 1 << 16;

/// Flip, then scale and rotation about the centre, then shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Affine {
    pub(super) flip: bool,
    /// Degrees, clockwise.
    pub(super) angle: f64,
    /// Pixels to the right and down.
    pub(super) shift: (f64, f64),
    /// More than 1 enlarges.
    pub(super) scale: f64,
}

/// A coordinate of the source: `at` for the first pixel of the target, and what a pixel to the right and one down add.
#[derive(Debug, Clone, Copy)]
struct Coordinate {
    at: f64,
    right: f64,
    down: f64,
}

impl Affine {
    /// The source coordinates of target pixels, x and y: the inverse matrix of torchvision's `affine` without shear,
    /// about the centre ((width − 1) / 2, (height − 1) / 2), mirrored where the flip comes first.
    fn inverse(&self, width: usize, height: usize) -> [Coordinate; 2] {
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let (sin, cos) = (sin / self.scale, cos / self.scale);
        let (x, y) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
        let from = |right: f64, down: f64, centre: f64| Coordinate {
            at: centre - right * (x + self.shift.0) - down * (y + self.shift.1),
            right,
            down,
        };
        let mirrored = if self.flip { -1.0 } else { 1.0 };
        [from(mirrored * cos, mirrored * sin, x), from(-sin, cos, y)]
    }

    /// Warps a picture of `width` columns in place. `room` is memory that is used again.
    pub(super) fn warp(&self, pixels: &mut [u8], width: usize, room: &mut Vec<u32>) {
        let moves = self.angle != 0.0 || self.shift != (0.0, 0.0) || self.scale != 1.0;
        if moves {
            let height = pixels.len() / width;
            let [x, y] = self.inverse(width, height);
            squares(pixels, width, room);
            let rows = pixels.chunks_exact_mut(width).enumerate();
            rows.for_each(|(row, target)| sample_row(room, (width, height), (x, y), row, target));
        } else if self.flip {
            pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
    }
}

/// Writes the four pixels that meet at each corner, also at the picture's edge with black outside, as one number: left
/// above, right above, left below, right below, from the lowest byte. A lookup then reads all that a sample needs. There
/// are width + 1 of them in a row and one more at its end that is black, as is the last row; at least [`SMALL`] in all.
fn squares(pixels: &[u8], width: usize, room: &mut Vec<u32>) {
    let (height, stride) = (pixels.len() / width, width + 2);
    let length = (stride * (height + 2)).max(SMALL);
    if room.len() != length {
        *room = vec![0; length];
    }
    let black = vec![0; width];
    let row = |y: usize| pixels.get(y * width..(y + 1) * width).unwrap_or(&black);
    for (y, target) in room.chunks_exact_mut(stride).take(height + 2).enumerate() {
        let above = if y == 0 { &black[..] } else { row(y - 1) };
        join(above, row(y), target);
    }
}

#[multiversion(targets("x86_64+avx2+avx512f+avx512bw", "x86_64+avx2"))]
fn join(above: &[u8], below: &[u8], target: &mut [u32]) {
    let left = |x: usize| u32::from(above[x]) | u32::from(below[x]) << 16;
    let last = above.len() - 1;
    target[0] = left(0) << 8;
    let pairs = above.iter().zip(&above[1..]).zip(below.iter().zip(&below[1..]));
    for (target, ((a, b), (c, d))) in target[1..].iter_mut().zip(pairs) {
        *target = u32::from_le_bytes([*a, *b, *c, *d]);
    }
    target[last + 1] = left(last);
    target[last + 2] = 0;
}

/// One row of the target. A pixel between source pixels is their bilinear mean, rounded.
fn sample_row(
    squares: &[u32],
    (width, height): (usize, usize),
    (x, y): (Coordinate, Coordinate),
    row: usize,
    target: &mut [u8],
) {
    let begin = |of: Coordinate| of.at + of.down * row as f64;
    let (in_x, in_y) = (inside(begin(x), x.right, width), inside(begin(y), y.right, height));
    let (from, to) = (in_x.0.max(in_y.0), in_x.1.min(in_y.1).min(target.len()));
    if from >= to {
        target.fill(0);
        return;
    }
    target[..from].fill(0);
    target[to..].fill(0);
    // Half a weight more, so that weights are rounded when the bits behind are cut off.
    let fixed = |number: f64| (number * f64::from(1_u32 << POINT)).round() as i32;
    let line = |of: Coordinate, side: usize| Along {
        at: fixed(begin(of) + of.right * from as f64) + (1 << (POINT - WEIGHT - 1)),
        step: fixed(of.right),
        last: (side as i32) << POINT,
    };
    blend(squares, width + 2, line(x, width), line(y, height), &mut target[from..to]);
}

/// The pixels of a row, from the first up to and without the last, whose coordinate lies between −1 and `side`: others see
/// nothing of the picture.
fn inside(at: f64, step: f64, side: usize) -> (usize, usize) {
    let (a, b) = ((-1.0 - at) / step, (side as f64 - at) / step);
    if step.abs() < 1e-9 {
        return if at > -1.0 && at < side as f64 { (0, usize::MAX) } else { (0, 0) };
    }
    // Numbers below 0 become 0.
    (a.min(b).ceil() as usize, (a.max(b).floor() + 1.0) as usize)
}

/// A coordinate along a row, in fixed point.
#[derive(Debug, Clone, Copy)]
struct Along {
    at: i32,
    step: i32,
    /// Where the picture ends.
    last: i32,
}

#[multiversion(targets("x86_64+avx2+avx512f+avx512bw", "x86_64+avx2"))]
fn blend(squares: &[u32], stride: usize, x: Along, y: Along, target: &mut [u8]) {
    match <&[u32; SMALL]>::try_from(squares) {
        Ok(squares) => blend_with(|index| squares[index % SMALL], stride, x, y, target),
        Err(_) => blend_with(|index| squares.get(index).copied().unwrap_or(0), stride, x, y, target),
    }
}

#[inline(always)]
fn blend_with(square: impl Fn(usize) -> u32, stride: usize, x: Along, y: Along, target: &mut [u8]) {
    let stride = stride as i32;
    // Checks of overflows would keep the compiler from using vectors; see the constants for why there are none.
    for (i, target) in target.iter_mut().enumerate() {
        // Not `clamp`, which checks its bounds.
        let at = |of: Along| of.at.wrapping_add(of.step.wrapping_mul(i as i32)).min(of.last).max(-1 << POINT);
        let (x, y) = (at(x), at(y));
        let index = (y >> POINT).wrapping_add(1).wrapping_mul(stride).wrapping_add((x >> POINT).wrapping_add(1));
        let square = square(index as u32 as usize);
        let weight = |of: i32| of >> (POINT - WEIGHT) & ((1 << WEIGHT) - 1);
        let pixel = |number: u32| (square >> (8 * number) & 255) as i32;
        let between = |a: i32, b: i32| (a << WEIGHT).wrapping_add(weight(x).wrapping_mul(b.wrapping_sub(a)));
        let (above, below) = (between(pixel(0), pixel(1)), between(pixel(2), pixel(3)));
        let sum = (above << WEIGHT).wrapping_add(weight(y).wrapping_mul(below.wrapping_sub(above)));
        *target = (sum.wrapping_add(1 << (2 * WEIGHT - 1)) >> (2 * WEIGHT)) as u8;
    }
}
