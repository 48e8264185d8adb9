//! Directions of a slice in the patient's coordinates (DICOM's: x to the left, y to the back, z to the head).

use crate::data::pixels::Turn;

pub(super) type Vector = [f64; 3];

/// How a slice lies in the patient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SliceAxes {
    /// Direction in which columns are counted.
    row: Vector,
    /// Direction in which rows are counted.
    column: Vector,
    /// Direction from slice to slice, of length 1, towards the head.
    pub(super) normal: Vector,
}

impl SliceAxes {
    /// None where the orientation is absent, or not two directions of length 1 at right angles, give or take rounding.
    pub(super) fn of(orientation: Option<[f64; 6]>) -> Option<Self> {
        let [a, b, c, d, e, f] = orientation?;
        let (row, column) = ([a, b, c], [d, e, f]);
        let unit = |v: Vector| (dot(v, v) - 1.0).abs() < 0.05;
        if !unit(row) || !unit(column) || dot(row, column).abs() > 0.05 {
            return None;
        }
        let normal = cross(row, column);
        let length = dot(normal, normal).sqrt() * if normal[2] < 0.0 { -1.0 } else { 1.0 };
        Some(Self { row, column, normal: normal.map(|n| n / length) })
    }

    /// Angle between the slice normal and the patient's long axis, 0 to 90 degrees.
    pub(super) fn degrees_from_z(&self) -> f64 {
        degrees_between(self.normal, [0.0, 0.0, 1.0])
    }

    /// How the picture must be turned so that x grows to the right and y downwards: patient's right on the left and
    /// anterior up. A rotated picture is turned to the nearest axes.
    pub(super) fn turn(&self) -> Turn {
        let (row, column) = (self.row, self.column);
        let transpose = row[1].abs() + column[0].abs() > row[0].abs() + column[1].abs();
        let (across, down) = if transpose { (column, row) } else { (row, column) };
        Turn { transpose, flip_x: across[0] < 0.0, flip_y: down[1] < 0.0 }
    }
}

/// Angle between two lines, whichever way they point: 0 to 90 degrees. By the arc tangent, as the arc cosine loses half
/// of the digits of a small angle.
pub(super) fn degrees_between(a: Vector, b: Vector) -> f64 {
    let across = cross(a, b);
    dot(across, across).sqrt().atan2(dot(a, b).abs()).to_degrees()
}

pub(super) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the pixels of a 2x2 picture lie in the patient, after the turn, computed without looking at the direction
    /// cosines' signs.
    fn turned(orientation: [f64; 6]) -> [[Vector; 2]; 2] {
        let [a, b, c, d, e, f] = orientation;
        let place = |x: f64, y: f64| [a * x + d * y, b * x + e * y, c * x + f * y];
        let mut picture = [[place(0.0, 0.0), place(1.0, 0.0)], [place(0.0, 1.0), place(1.0, 1.0)]];
        let turn = SliceAxes::of(Some(orientation)).expect("two directions at right angles").turn();
        if turn.transpose {
            picture = [[picture[0][0], picture[1][0]], [picture[0][1], picture[1][1]]];
        }
        if turn.flip_x {
            picture.iter_mut().for_each(|row| row.reverse());
        }
        if turn.flip_y {
            picture.reverse();
        }
        picture
    }

    fn in_view_of_radiologists(orientation: [f64; 6]) {
        let [[corner, right], [below, _]] = turned(orientation);
        let (across, down) = (right[0] - corner[0], below[1] - corner[1]);
        assert!(across > 0.7 && down > 0.7, "{orientation:?}: {across} to the left, {down} to the back");
    }

    #[test]
    fn all_eight_orientations_come_out_the_same() {
        for (across, down) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
            in_view_of_radiologists([across, 0.0, 0.0, 0.0, down, 0.0]);
            in_view_of_radiologists([0.0, down, 0.0, across, 0.0, 0.0]);
        }
        let supine = SliceAxes::of(Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])).expect("axial");
        assert_eq!(supine.turn(), Turn::default());
        let prone = SliceAxes::of(Some([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0])).expect("axial");
        assert_eq!(prone.turn(), Turn { transpose: false, flip_x: true, flip_y: true });
        let transposed = SliceAxes::of(Some([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])).expect("axial");
        assert_eq!(transposed.turn(), Turn { transpose: true, flip_x: false, flip_y: false });
        let quarter = SliceAxes::of(Some([0.0, 1.0, 0.0, -1.0, 0.0, 0.0])).expect("axial");
        assert_eq!(quarter.turn(), Turn { transpose: true, flip_x: true, flip_y: false });
    }

    #[test]
    fn rotated_and_tilted_pictures_take_the_nearest_axes() {
        let (sin, cos) = 30_f64.to_radians().sin_cos();
        in_view_of_radiologists([cos, sin, 0.0, -sin, cos, 0.0]);
        in_view_of_radiologists([-sin, cos, 0.0, -cos, -sin, 0.0]);
        in_view_of_radiologists([1.0, 0.0, 0.0, 0.0, cos, -sin]);
        in_view_of_radiologists([0.0, -cos, sin, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_normal_points_to_the_head() {
        for down in [1.0, -1.0] {
            assert_eq!(SliceAxes::of(Some([1.0, 0.0, 0.0, 0.0, down, 0.0])).expect("axial").normal[2], 1.0);
        }
    }

    #[test]
    fn what_is_no_orientation_is_none() {
        let nan = f64::NAN;
        let bad = [[0.0; 6], [nan; 6], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0, 9.0, 0.0]];
        assert!(bad.into_iter().all(|orientation| SliceAxes::of(Some(orientation)).is_none()));
        assert!(SliceAxes::of(None).is_none());
        assert!(SliceAxes::of(Some([0.99999, 0.001, 0.0, -0.001, 0.99999, 0.0])).is_some());
    }

    #[test]
    fn small_angles_keep_their_digits() {
        let degrees = degrees_between([0.0, 1e-9, 1.0], [0.0, 0.0, -1.0]);
        assert!((degrees.to_radians() - 1e-9).abs() < 1e-18);
    }
}
