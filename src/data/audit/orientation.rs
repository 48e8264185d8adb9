//! Which way up a chest lies in an axial slice: three linear scores of the slice's body, drawn on a grid of 16×16.
//!
//! The weights were fitted by ridge regression (λ = 0.3) on 1,317 real slices of 452 patients, so that the score of a
//! slice minus that of its flipped copy is near 1. In five-fold cross-validation by patient, the mean over a scan has the
//! right sign for all of 73 patients with three slices or more (up or down, turned or not), and for 72 (mirrored or not).
//! They weigh what everybody has: the spine between the lungs behind, the lungs that come together in front, the two
//! lungs side by side, and the heart towards the patient's left.

use super::chest_outline::ChestOutline;
use super::thumbnail::Thumbnail;
use std::sync::LazyLock;

/// Side of the grid.
const SIDE: usize = 16;
const HALF: usize = SIDE / 2;
type Grid = [[f32; SIDE]; SIDE];

/// What one step of the weights is worth.
const UPRIGHT_STEP: f32 = 1.596339e-03;
const SIDES_STEP: f32 = 2.515194e-03;
const LYING_STEP: f32 = 8.256595e-04;

/// The upper left quarter; the right half is its mirror image, the lower half its mirror image with the other sign.
#[rustfmt::skip]
const UPRIGHT: [[i8; HALF]; HALF] = [
    [-25, -10, -9, 21, 26, -10, -10, -28],
    [-41, -25, -3, 14, -4, -3, -32, -51],
    [-13, -24, 6, 12, 15, 1, -34, -54],
    [-20, -10, 14, 2, -7, 10, -18, -71],
    [-31, -58, -45, -18, -11, 17, 1, -79],
    [-12, -62, -37, 4, -8, 22, 75, -51],
    [-31, -37, -35, -2, 0, 30, 127, 13],
    [-26, -13, -22, -11, 16, -1, 46, 21],
];

/// The left half; the right half is its mirror image with the other sign.
#[rustfmt::skip]
const SIDES: [[i8; HALF]; SIDE] = [
    [2, -2, 2, 6, 1, 1, -4, -14],
    [1, 13, 10, 10, 10, 0, -5, 6],
    [9, 4, -3, -13, -19, -28, 8, 11],
    [12, 6, 17, -7, -5, -23, 11, -4],
    [12, 16, 12, 12, -8, -29, -19, -32],
    [3, 29, 12, -3, -16, -57, -41, -19],
    [2, -3, 0, 3, 4, -31, -1, -35],
    [-22, -15, -13, 1, 0, 8, -34, -85],
    [-29, -8, -26, 9, 26, -36, -72, -127],
    [8, -8, -16, 8, 28, -22, -97, -96],
    [50, -7, -8, -2, 22, -5, -25, 14],
    [36, 13, 1, -2, 12, 8, 18, 13],
    [12, 18, 6, -1, 15, 27, 25, 21],
    [15, 12, -7, 5, 22, 21, 34, -4],
    [13, 14, 5, -5, -7, 18, 13, 8],
    [26, 15, 15, 7, 7, 6, 6, 0],
];

/// The upper left quarter; the others are its mirror images.
#[rustfmt::skip]
const LYING: [[i8; HALF]; HALF] = [
    [0, 13, 1, 4, 8, 13, -10, -47],
    [-13, 0, 3, -9, -8, -12, -2, 16],
    [-1, -3, 0, -8, -31, -22, -15, 47],
    [-4, 9, 8, 0, -12, -43, 20, 90],
    [-8, 8, 31, 12, 0, -27, 22, 127],
    [-13, 12, 22, 43, 27, 0, 10, 87],
    [10, 2, 15, -20, -22, -10, 0, 42],
    [47, -16, -47, -90, -127, -87, -42, 0],
];

/// Scores of one slice, around 1 where it is as it should be and around -1 where it is the other way round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Orientation {
    /// The patient's front is above.
    pub(super) upright: f32,
    /// The patient's left is at the picture's right.
    pub(super) sides: f32,
    /// The lungs lie side by side and not one above the other.
    pub(super) lying: f32,
    /// Of a picture turned by 90°: the patient's front is at its left.
    pub(super) front_left: f32,
}

impl Orientation {
    /// `None` where too little of the lungs is seen.
    pub(super) fn of(thumbnail: &Thumbnail, outline: &ChestOutline) -> Option<Self> {
        outline.shows_lungs().then(|| {
            let grid = body(thumbnail, outline);
            let turned: Grid = std::array::from_fn(|y| std::array::from_fn(|x| grid[x][y]));
            Self {
                upright: sum(&WEIGHTS.upright, &grid) * UPRIGHT_STEP,
                sides: sum(&WEIGHTS.sides, &grid) * SIDES_STEP,
                lying: sum(&WEIGHTS.lying, &grid) * LYING_STEP,
                front_left: sum(&WEIGHTS.upright, &turned) * UPRIGHT_STEP,
            }
        })
    }
}

/// The weights of all fields.
struct OrientationWeights {
    upright: Grid,
    sides: Grid,
    lying: Grid,
}

static WEIGHTS: LazyLock<OrientationWeights> = LazyLock::new(|| {
    let folded = |at: usize| at.min(SIDE - 1 - at);
    let grid = |weight: &dyn Fn(usize, usize) -> i8| -> Grid {
        std::array::from_fn(|y| std::array::from_fn(|x| f32::from(weight(y, x))))
    };
    OrientationWeights {
        upright: grid(&|y, x| UPRIGHT[folded(y)][folded(x)] * if y < HALF { 1 } else { -1 }),
        sides: grid(&|y, x| SIDES[y][folded(x)] * if x < HALF { 1 } else { -1 }),
        lying: grid(&|y, x| LYING[folded(y)][folded(x)]),
    }
});

/// The sum of the products, column by column.
fn sum(weights: &Grid, of: &Grid) -> f32 {
    let mut columns = [0.0; SIDE];
    for (weights, row) in weights.iter().zip(of) {
        columns.iter_mut().zip(weights.iter().zip(row)).for_each(|(sum, (weight, level))| *sum += weight * level);
    }
    columns.iter().sum()
}

/// The body on a square around it: 0 for what is as dark as air, 1 for tissue, and 0 outside.
fn body(thumbnail: &Thumbnail, outline: &ChestOutline) -> Grid {
    let [left, right, top, bottom] = outline.around.map(|edge| edge as f32);
    let side = (right - left).max(bottom - top);
    // Of each row or column of the grid that of the thumbnail, where it lies in it.
    let places = |low: f32, high: f32| -> [Option<usize>; SIDE] {
        std::array::from_fn(|at| {
            let place = ((low + high) / 2.0 + ((at as f32 + 0.5) / SIDE as f32 - 0.5) * side).floor();
            (0.0..Thumbnail::SIDE as f32).contains(&place).then_some(place as usize)
        })
    };
    let (columns, rows) = (places(left, right), places(top, bottom));
    let range = (outline.bright - outline.dark).max(1.0);
    rows.map(|y| {
        columns.map(|x| {
            let Some((x, y)) = x.zip(y).filter(|(x, y)| outline.body[*y] >> *x & 1 == 1) else { return 0.0 };
            ((thumbnail.0[y][x] - outline.dark) / range).clamp(-0.5, 1.5)
        })
    })
}
