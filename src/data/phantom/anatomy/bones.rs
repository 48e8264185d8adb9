//! The bones of a slice.

use super::MUSCLE;
use crate::data::phantom::canvas::{Ellipse, Point, SliceCanvas};
use crate::data::phantom::noise::{lerp, step};
use crate::data::phantom::section::CrossSection;

const CORTEX: f32 = 236.0;
const MARROW: f32 = 190.0;

/// Spine, ribs, sternum, shoulder blades.
pub(super) fn draw(canvas: &mut SliceCanvas, section: &CrossSection) {
    spine(canvas, section);
    for side in [-1.0f32, 1.0] {
        ribs(canvas, section, side);
        scapula(canvas, section, side);
        if section.patient.wall.arms {
            let c = [side * 1.19, 0.1 + 0.1 * section.z];
            bone(canvas, &Ellipse::new(c, [0.05, 0.05], 0.0), 0.016);
        }
    }
    if section.z > 0.08 && section.z < 0.8 {
        let y = section.cage.centre[1] - section.cage.radii[1] - 0.015;
        bone(canvas, &Ellipse::new([0.0, y], [0.10 - 0.04 * section.z, 0.028], 0.0), 0.009);
    }
}

/// A bone: bright cortex of the given thickness around marrow.
fn bone(canvas: &mut SliceCanvas, shape: &Ellipse, cortex: f32) {
    canvas.ellipse(shape, CORTEX, 1.6);
    canvas.ellipse(&shape.grown(-cortex), MARROW, 2.0);
}

/// One vertebra with its arch and processes, or the disc between two.
fn spine(canvas: &mut SliceCanvas, section: &CrossSection) {
    let [x, y] = section.spine;
    let r = section.patient.chest.vertebra;
    // Between two vertebrae the disc shows: twelve of them over the height.
    let phase = (section.z * 12.0).fract();
    let solid = if (0.2..0.9).contains(&phase) { 1.0 } else { 0.45 };
    let back = y + r + 0.075;
    for side in [-1.0f32, 1.0] {
        let wing = [x + side * (r + 0.1), back + 0.035];
        canvas.stroke([x + side * r * 0.62, y + r * 0.75], [x + side * 0.05, back], [0.026, 0.02], CORTEX - 10.0, 2.0);
        canvas.stroke([x + side * 0.055, back - 0.02], wing, [0.028, 0.018], lerp(MUSCLE, CORTEX, solid) - 12.0, 2.0);
    }
    canvas.stroke([x, back + 0.01], [x, back + 0.09], [0.024, 0.012], CORTEX - 6.0, 2.0);
    canvas.ellipse(&Ellipse::new([x, y], [r * 1.12, r * 0.92], 0.0), lerp(MUSCLE, CORTEX, solid), 2.0);
    canvas.ellipse(&Ellipse::new([x, y], [r * 0.98, r * 0.78], 0.0), lerp(MUSCLE, MARROW, solid), 4.0);
    canvas.ellipse(&Ellipse::new([x, y + r + 0.025], [0.052, 0.042], 0.0), MUSCLE - 14.0, 2.0);
}

/// Ribs slope, so that a section cuts several of them as arcs that wander round the cage with the height.
fn ribs(canvas: &mut SliceCanvas, section: &CrossSection, side: f32) {
    let w = &section.patient.wall;
    let [phase, drift, gap] = w.ribs;
    let start = (phase + drift * section.z + 0.21 * side).rem_euclid(gap);
    let lift = 1.0 + (0.032 + w.rib_radius) / section.cage.radii[0];
    let arc = |centre: f32, half: f32| -> Vec<Point> {
        (0..=4)
            .map(|i| centre + half * (i as f32 / 2.0 - 1.0))
            .map(|a| {
                let p = section.cage.edge(a - std::f32::consts::FRAC_PI_2, lift);
                [side * p[0], p[1]]
            })
            .collect()
    };
    for k in 0..7 {
        let angle = 0.42 + start + gap * k as f32;
        if angle > 2.75 {
            break;
        }
        let half = 0.085 + 0.03 * (3.0 * angle + w.ribs[0] * 9.0).sin();
        canvas.chain(&arc(angle, half), w.rib_radius, CORTEX - 6.0, 1.8);
        canvas.chain(&arc(angle, half * 0.85), w.rib_radius * 0.42, MARROW, 2.0);
    }
}

/// A shoulder blade; it becomes shorter downwards.
fn scapula(canvas: &mut SliceCanvas, section: &CrossSection, side: f32) {
    let size = step(0.6, 0.42, section.z);
    if size < 0.15 {
        return;
    }
    let e = &section.cage;
    let lift = 1.0 + 0.11 / e.radii[0];
    let at = |a: f32, l: f32| {
        let p = e.edge(a, l);
        [side * p[0], p[1]]
    };
    let far = at(lerp(0.75, 0.35, size), lift + 0.02);
    canvas.stroke(at(0.95, lift), far, [0.010, 0.018], CORTEX - 14.0, 2.0);
    if section.z < 0.3 {
        canvas.stroke(at(0.6, lift), at(0.55, lift + 0.12), [0.012, 0.016], CORTEX - 14.0, 2.0);
    }
}
