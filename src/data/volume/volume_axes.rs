//! Which patient axis each axis of a volume runs along, and how its axial slices are read from memory.

/// Steps from a voxel to the next along each stored axis, the fastest first: mm towards the patient's right, anterior
/// and superior.
pub(super) type Steps = [[f64; 3]; 3];

/// The letters of the patient's axes, towards their positive and their negative end.
const LETTERS: [(char, char); 3] = [('R', 'L'), ('A', 'P'), ('S', 'I')];

/// How the stored axes stand for the patient's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeAxes {
    /// The stored axis that runs along right–left, anterior–posterior and superior–inferior.
    stored: [usize; 3],
    /// Whether it runs towards right, anterior and superior.
    positive: [bool; 3],
}

impl VolumeAxes {
    /// Gives each axis its nearest patient axis, of those that are left: by the rotation nearest to the steps (their
    /// polar decomposition), the clearest axis first. This is nibabel's rule, so that sheared and oblique volumes get
    /// the same names. `None` for steps that are not finite or do not span space.
    pub(super) fn of(steps: &Steps) -> Option<Self> {
        let rotation = nearest_rotation(&directions(steps)?)?;
        let clearness = |axis: usize| rotation[axis].iter().fold(0.0, |best: f64, part| best.max(part.abs()));
        let mut order = [0, 1, 2];
        order.sort_by(|a, b| clearness(*b).total_cmp(&clearness(*a)));
        let (mut stored, mut positive, mut taken) = ([0; 3], [true; 3], [false; 3]);
        for axis in order {
            let free = (0..3).filter(|patient| !taken[*patient]);
            // Of equals the first: `max_by` would take the last.
            let nearest = free.rev().max_by(|a, b| rotation[axis][*a].abs().total_cmp(&rotation[axis][*b].abs()))?;
            taken[nearest] = true;
            stored[nearest] = axis;
            positive[nearest] = rotation[axis][nearest] >= 0.0;
        }
        Some(Self { stored, positive })
    }

    /// The axes' letters, the fastest first.
    pub(super) fn letters(&self) -> String {
        let patient = |axis| self.stored.iter().position(|stored| *stored == axis).unwrap_or(axis);
        let letter = |patient: usize| if self.positive[patient] { LETTERS[patient].0 } else { LETTERS[patient].1 };
        (0..3).map(|axis| letter(patient(axis))).collect()
    }

    /// Turns what is given by stored axis into columns, rows and slices of the view.
    pub(super) fn turned<T: Copy>(&self, by_axis: [T; 3]) -> [T; 3] {
        self.stored.map(|axis| by_axis[axis])
    }

    /// The largest angle in degrees between a stored axis and its patient axis.
    pub(super) fn oblique_degrees(&self, steps: &Steps) -> f64 {
        let Some(directions) = directions(steps) else { return 0.0 };
        let along = (0..3).map(|patient| directions[self.stored[patient]][patient].abs());
        along.fold(1.0, f64::min).min(1.0).acos().to_degrees()
    }
}

/// Axial slices in memory: voxel (x, y) of slice n lies at `origin + x * step[0] + y * step[1] + n * step[2]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AxialView {
    /// Columns, rows and slices.
    pub(super) sides: [usize; 3],
    /// Voxels from a column, row and slice to the next; backwards in memory where negative.
    pub(super) step: [isize; 3],
    pub(super) origin: isize,
}

impl AxialView {
    /// The view of radiologists: columns run towards the patient's left, rows towards posterior, slices towards
    /// superior. The product of `sides` has to fit an `isize`.
    pub(super) fn of(axes: &VolumeAxes, sides: [usize; 3]) -> Self {
        let strides = axes.turned([1, sides[0], sides[0] * sides[1]]);
        let sides = axes.turned(sides);
        let forwards = [!axes.positive[0], !axes.positive[1], axes.positive[2]];
        let (mut step, mut origin) = ([0; 3], 0);
        for axis in 0..3 {
            let stride = strides[axis] as isize;
            step[axis] = if forwards[axis] { stride } else { -stride };
            origin += if forwards[axis] { 0 } else { stride * (sides[axis] as isize - 1) };
        }
        Self { sides, step, origin }
    }
}

/// Length of a step in mm.
pub(super) fn length(step: &[f64; 3]) -> f64 {
    step.iter().map(|part| part * part).sum::<f64>().sqrt()
}

/// Steps along left, posterior and superior, as if the patient lay straight; what NRRD and MetaImage begin with.
pub(super) fn straight(spacing: [f64; 3]) -> Steps {
    let [x, y, z] = spacing;
    [[-x, 0.0, 0.0], [0.0, -y, 0.0], [0.0, 0.0, z]]
}

/// The steps' directions, each of length 1; `None` where one has no length or an infinite one.
fn directions(steps: &Steps) -> Option<Steps> {
    let lengths = [length(&steps[0]), length(&steps[1]), length(&steps[2])];
    let sound = lengths.iter().all(|length| length.is_finite() && *length > 0.0);
    sound.then(|| std::array::from_fn(|axis| steps[axis].map(|part| part / lengths[axis])))
}

/// The orthogonal matrix nearest to `matrix`, by Newton's iteration for the polar decomposition: the mean of a matrix
/// and its transposed inverse. `None` for three directions that are close to one plane.
fn nearest_rotation(matrix: &Steps) -> Option<Steps> {
    /// Directions of length 1 that span less than this are no coordinate system.
    const FLAT: f64 = 1e-6;
    let mut rotation = *matrix;
    for _ in 0..60 {
        let [a, b, c] = rotation;
        let cofactors = [cross(&b, &c), cross(&c, &a), cross(&a, &b)];
        let determinant: f64 = a.iter().zip(&cofactors[0]).map(|(a, b)| a * b).sum();
        if determinant.abs() < FLAT {
            return None;
        }
        let mut change: f64 = 0.0;
        for (row, cofactor) in rotation.iter_mut().zip(&cofactors) {
            for (part, cofactor) in row.iter_mut().zip(cofactor) {
                let next = 0.5 * (*part + cofactor / determinant);
                change = change.max((next - *part).abs());
                *part = next;
            }
        }
        if change < 1e-15 {
            break;
        }
    }
    Some(rotation)
}

fn cross(a: &[f64; 3], b: &[f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps along axes with these letters.
    fn steps(letters: &str, spacing: [f64; 3]) -> Steps {
        let mut steps = [[0.0; 3]; 3];
        for ((step, letter), spacing) in steps.iter_mut().zip(letters.chars()).zip(spacing) {
            let axis = LETTERS.iter().position(|(to, from)| *to == letter || *from == letter).expect("a letter");
            step[axis] = if LETTERS[axis].0 == letter { spacing } else { -spacing };
        }
        steps
    }

    #[test]
    fn axes_are_named_and_lead_to_the_view() {
        let axes = VolumeAxes::of(&steps("LAS", [0.7, 0.8, 2.0])).expect("axes");
        assert_eq!(axes.letters(), "LAS");
        let view = AxialView::of(&axes, [4, 3, 2]);
        assert_eq!((view.sides, view.step, view.origin), ([4, 3, 2], [1, -4, 12], 8));

        let axes = VolumeAxes::of(&steps("ISR", [1.0; 3]));
        assert_eq!(axes, None, "one plane");

        let axes = VolumeAxes::of(&steps("PIR", [1.0, 2.0, 3.0])).expect("axes");
        assert_eq!(axes.letters(), "PIR");
        assert_eq!(axes.turned([1.0, 2.0, 3.0]), [3.0, 1.0, 2.0]);
        let view = AxialView::of(&axes, [4, 3, 2]);
        assert_eq!((view.sides, view.step, view.origin), ([2, 4, 3], [-12, 1, -4], 12 + 8));
    }

    #[test]
    fn angles_are_measured_to_the_named_axis() {
        let (sin, cos) = 20_f64.to_radians().sin_cos();
        // A gantry tilted by 20 degrees: only the step between slices leans.
        let tilted = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0 * sin, 3.0 * cos]];
        let axes = VolumeAxes::of(&tilted).expect("axes");
        assert_eq!(axes.letters(), "RAS");
        assert!((axes.oblique_degrees(&tilted) - 20.0).abs() < 1e-9);
        assert_eq!(axes.oblique_degrees(&steps("RAS", [1.0; 3])), 0.0);
    }

    #[test]
    fn useless_steps_are_refused() {
        for broken in [[[0.0; 3]; 3], [[f64::NAN; 3]; 3], [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]] {
            assert_eq!(VolumeAxes::of(&broken), None);
        }
        let huge = [[1e300, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(VolumeAxes::of(&huge), None, "its length overflows");
    }
}
