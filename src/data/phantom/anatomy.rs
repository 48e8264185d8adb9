//! Draws one slice: air, table, body wall, mediastinum, lungs with vessels, bones; then noise and window.

mod bones;

use rand::RngCore;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Ellipse, Point, SliceCanvas};
use super::noise::{lerp, noise3, step};
use super::patient::Patient;
use super::section::CrossSection;

const FAT: f32 = 92.0;
const MUSCLE: f32 = 146.0;
const BLOOD: f32 = 152.0;
const AIRWAY: f32 = 10.0;

/// Grey image of one slice, row by row.
///
/// `t` is the position in the scan (0..1), `noise` the slice's own stream, `shift` moves everything by pixels.
pub(super) fn draw_slice(patient: &Patient, size: usize, t: f32, noise: &mut ChaCha8Rng, shift: [i32; 2]) -> Vec<u8> {
    let section = CrossSection::new(patient, t);
    let mut canvas = SliceCanvas::new(size, &patient.frame, shift);
    let fields = Fields::new(&canvas, &section);
    table(&mut canvas, &section);
    body(&mut canvas, &fields);
    mediastinum(&mut canvas, &section);
    bones::draw(&mut canvas, &section);
    lungs(&mut canvas, &section, &fields);
    airways(&mut canvas, &section);
    develop(&canvas, patient, noise)
}

/// Smooth quantities, computed on a grid of every few pixels and interpolated between: they are most of the cost of
/// a slice.
struct Fields {
    step: usize,
    side: usize,
    /// Distances to skin and muscle (body units), grey of soft tissue.
    body: Vec<[f32; 3]>,
    /// Distance to the lungs (body units), grey of lung.
    lungs: Vec<[f32; 2]>,
}

impl Fields {
    fn new(canvas: &SliceCanvas, section: &CrossSection) -> Self {
        let step = (canvas.size / 128).max(1);
        let side = canvas.size.div_ceil(step) + 1;
        let (mut body, mut lungs) = (Vec::with_capacity(side * side), Vec::with_capacity(side * side));
        // Grey of lung is needed as far out as a cell with a piece of lung in it can reach.
        let reach = 2.0 * (step as f32 + 1.0) / canvas.unit;
        for j in 0..side {
            for i in 0..side {
                // Nodes past the last pixel repeat it: nothing of the body reaches there.
                let p = canvas.body((i * step).min(canvas.size - 1), (j * step).min(canvas.size - 1));
                let (skin, muscle) = section.skin_and_muscle(p);
                let lung = if skin > 0.0 { 1.0 } else { section.lungs(p) };
                body.push([skin, muscle, if skin > reach { 0.0 } else { soft_grey(section, p) }]);
                lungs.push([lung, if lung > reach { 0.0 } else { section.lung_grey(p) }]);
            }
        }
        Self { step, side, body, lungs }
    }

    /// Calls `paint(pixel index, values)` for every pixel in a cell where the first value falls below `limit`.
    fn each<const K: usize>(
        &self,
        nodes: &[[f32; K]],
        size: usize,
        limit: f32,
        mut paint: impl FnMut(usize, [f32; K]),
    ) {
        let mix = |a: &[f32; K], b: &[f32; K], t: f32| -> [f32; K] { std::array::from_fn(|k| lerp(a[k], b[k], t)) };
        let scale = 1.0 / self.step as f32;
        for y in 0..size {
            let (j, v) = (y / self.step, (y % self.step) as f32 * scale);
            let above = &nodes[j * self.side..(j + 1) * self.side];
            let below = &nodes[(j + 1) * self.side..(j + 2) * self.side];
            for (i, (a, b)) in above.windows(2).zip(below.windows(2)).enumerate() {
                if a[0][0].min(a[1][0]).min(b[0][0]).min(b[1][0]) > limit {
                    continue;
                }
                let (left, right) = (mix(&a[0], &b[0], v), mix(&a[1], &b[1], v));
                for x in i * self.step..((i + 1) * self.step).min(size) {
                    paint(y * size + x, mix(&left, &right, (x - i * self.step) as f32 * scale));
                }
            }
        }
    }
}

/// Grey of the soft tissue under the fat: muscle with softer streaks of fat between, mediastinum inside the cage.
fn soft_grey(section: &CrossSection, p: Point) -> f32 {
    if section.cage.distance(p) < 0.0 {
        return MUSCLE - 16.0;
    }
    let streak = noise3(section.patient.key ^ 3, 8.0 * p[0] + 3.0 * p[1], 11.0 * p[1], 4.0 * section.z);
    lerp(MUSCLE, FAT, step(0.15, 0.6, streak))
}

/// The couch: one or two thin arcs under the back.
fn table(canvas: &mut SliceCanvas, section: &CrossSection) {
    let t = &section.patient.table;
    let y = section.patient.wall.aspect + t.gap + 0.02;
    let width = t.width / section.patient.frame.scale;
    let arc = |drop: f32| -> Vec<Point> {
        (0..=14).map(|i| i as f32 / 7.0 - 1.0).map(|u| [u * width, y + drop - t.sag * u * u]).collect()
    };
    canvas.chain(&arc(0.0), 0.008, 78.0, 1.5);
    if t.double {
        canvas.chain(&arc(0.07), 0.006, 62.0, 1.5);
    }
}

/// Air, skin, fat and muscle.
fn body(canvas: &mut SliceCanvas, fields: &Fields) {
    let (size, unit) = (canvas.size, canvas.unit);
    let mut grey = std::mem::take(&mut canvas.grey);
    let inside = |d: f32| (0.5 - d * unit / 1.6).clamp(0.0, 1.0);
    fields.each(&fields.body, size, 0.8 / unit, |i, [skin, muscle, soft]| {
        let a = inside(skin);
        if a > 0.0 {
            let fat = lerp(FAT, MUSCLE - 8.0, inside(-0.012 - skin));
            let tissue = lerp(fat, soft, inside(muscle));
            grey[i] += (tissue - grey[i]) * a;
        }
    });
    canvas.grey = grey;
}

/// Heart, great vessels, aorta, oesophagus and the organs under the diaphragm.
fn mediastinum(canvas: &mut SliceCanvas, section: &CrossSection) {
    let blood = BLOOD + section.patient.chest.enhancement;
    let fat = lerp(FAT, MUSCLE, 0.35);
    let c = section.thorax.centre;
    canvas.ellipse(&Ellipse::new([c[0], c[1] - 0.05], [0.2, section.thorax.radii[1] * 0.8], 0.0), fat, 14.0);
    for (side, dome) in section.domes.iter().enumerate() {
        if let Some(d) = dome {
            canvas.ellipse(d, [BLOOD + 6.0 + section.patient.chest.enhancement * 0.4, BLOOD - 6.0][side], 2.0);
        }
    }
    for e in section.hila.iter().flatten() {
        canvas.ellipse(e, lerp(MUSCLE, blood, 0.6), 3.0);
    }
    if let Some(g) = &section.great {
        canvas.ellipse(g, fat, 3.0);
        let [x, y] = g.centre;
        let r = g.radii[1] / 0.15;
        canvas.ellipse(&Ellipse::new([x + 0.045, y - 0.01], [0.085 * r, 0.062 * r], 0.7), blood, 2.0);
        canvas.ellipse(&Ellipse::new([x - 0.1, y], [0.045 * r; 2], 0.0), blood + 8.0, 2.0);
    }
    if let Some(h) = &section.heart {
        chambers(canvas, h, blood);
    }
    canvas.ellipse(&section.aorta, blood, 1.8);
    let [x, y] = section.spine;
    canvas.ellipse(
        &Ellipse::new([x - 0.01, y - section.patient.chest.vertebra - 0.055], [0.035, 0.024], 0.0),
        MUSCLE,
        2.0,
    );
}

/// The heart: a rim of fat, the muscle, and the blood inside (which contrast medium brightens).
fn chambers(canvas: &mut SliceCanvas, heart: &Ellipse, blood: f32) {
    let [x, y] = heart.centre;
    let [rx, ry] = heart.radii;
    canvas.ellipse(heart, lerp(FAT, MUSCLE, 0.4), 2.0);
    let mut inner = *heart;
    inner.radii = [rx * 0.94, ry * 0.93];
    canvas.ellipse(&inner, BLOOD - 2.0, 2.5);
    canvas.ellipse(&Ellipse::new([x + rx * 0.33, y + ry * 0.22], [rx * 0.42, ry * 0.40], 0.5), blood, 4.0);
    canvas.ellipse(&Ellipse::new([x - rx * 0.38, y - ry * 0.12], [rx * 0.40, ry * 0.50], 0.2), blood - 2.0, 4.0);
}

/// Lung tissue with its vessels and nodule.
fn lungs(canvas: &mut SliceCanvas, section: &CrossSection, fields: &Fields) {
    let (size, unit) = (canvas.size, canvas.unit);
    let mut bright = vec![0.0f32; size * size];
    vessels(canvas, section, &mut bright);
    let mut grey = std::mem::take(&mut canvas.grey);
    let vessel = BLOOD - 6.0;
    fields.each(&fields.lungs, size, 0.9 / unit, |i, [lung, own]| {
        let a = (0.5 - lung * unit / 1.8).clamp(0.0, 1.0);
        if a > 0.0 {
            let tissue = own + (vessel - own).max(0.0) * bright[i];
            grey[i] += (tissue - grey[i]) * a;
        }
    });
    canvas.grey = grey;
}

/// The pieces of vessels within the thickness of the slice.
fn vessels(canvas: &SliceCanvas, section: &CrossSection, layer: &mut [f32]) {
    for v in &section.patient.vessels {
        let half = 0.022 + v.radius[0] * 0.5;
        let (a, b) = (v.from[2] - section.z, v.to[2] - section.z);
        if a.min(b) > half || a.max(b) < -half {
            continue;
        }
        let slope = if (b - a).abs() < 1e-4 { 1e-4 } else { b - a };
        let (s, e) = ((-half - a) / slope, (half - a) / slope);
        let (s, e) = (s.min(e).max(0.0), s.max(e).min(1.0));
        let at = |t: f32| section.place([lerp(v.from[0], v.to[0], t), lerp(v.from[1], v.to[1], t)]);
        let radius = [lerp(v.radius[0], v.radius[1], s), lerp(v.radius[0], v.radius[1], e)];
        let nearest = if a * b < 0.0 { 0.0 } else { a.abs().min(b.abs()) / half };
        let strength = (1.0 - nearest * nearest) * lerp(0.55, 1.0, (v.radius[0] / 0.014).min(1.0));
        canvas.raise(layer, at(s), at(e), radius, strength);
    }
    let [x, y, t, r] = section.patient.benign.nodule;
    let cut = r * r - ((section.t - t) * 0.5).powi(2);
    if cut > 0.0 {
        let p = section.place([x, y]);
        canvas.raise(layer, p, p, [cut.sqrt(); 2], 0.9);
    }
}

/// Trachea, main bronchi and a few bronchi next to the hila: dark, with a thin wall.
fn airways(canvas: &mut SliceCanvas, section: &CrossSection) {
    let c = &section.patient.chest;
    let (z, y) = (section.z, 0.03);
    let carina = 0.40;
    if z < carina {
        tube(canvas, Ellipse::new([-0.01, y - 0.03], [c.trachea, c.trachea * 0.95], 0.0));
        return;
    }
    let spread = ((z - carina) / 0.2).min(1.0);
    if z < 0.58 {
        for side in [-1.0f32, 1.0] {
            let x = side * lerp(0.045, c.gap + 0.1, spread);
            tube(
                canvas,
                Ellipse::new(
                    [x, y + 0.05 * spread],
                    [c.trachea * lerp(1.05, 0.6, spread), c.trachea * 0.6],
                    side * 0.5,
                ),
            );
        }
    }
    for k in 0..4u32 {
        let side = if k % 2 == 0 { -1.0 } else { 1.0 };
        let wander = |n: u32| noise3(section.patient.key ^ (40 + n), 7.0 * z, k as f32 * 3.7, 0.5);
        let at = section.place([side * (0.4 + 0.16 * wander(0)), 0.3 * wander(1)]);
        if section.lungs(at) < -0.05 {
            tube(canvas, Ellipse::new(at, [0.019 + 0.006 * wander(2), 0.017], 0.0));
        }
    }
}

fn tube(canvas: &mut SliceCanvas, shape: Ellipse) {
    canvas.ellipse(&shape.grown(0.011), MUSCLE - 22.0, 2.0);
    canvas.ellipse(&shape, AIRWAY, 1.8);
}

/// Adds the detector's noise, cuts the circular field of view and applies the window.
fn develop(canvas: &SliceCanvas, patient: &Patient, noise: &mut ChaCha8Rng) -> Vec<u8> {
    let (size, look) = (canvas.size, &patient.look);
    let stride = size + 1;
    let mut raw = vec![0u8; stride * stride];
    noise.fill_bytes(&mut raw);
    let grey = |i: u32| 255.0 * (i as f32 / 1024.0).powf(look.gamma) * look.gain + 0.5;
    let window: Vec<u8> = (0..=1024).map(|i| grey(i) as u8).collect();
    // A uniform byte has a standard deviation of 74; the mean of four of 37, so the sum of four is scaled by 4 x 37.
    let (sharp, soft) = (look.noise * (1.0 - look.grain) / 74.0, look.noise * look.grain / 148.0);
    let bias = 127.5 * sharp + 510.0 * soft;
    let radius = size as f32 / 2.0 - 0.5;
    let mut out = vec![0u8; size * size];
    for y in 0..size {
        let dy = y as f32 + 0.5 - size as f32 / 2.0;
        let half = (radius * radius - dy * dy).max(0.0).sqrt() as usize;
        let view = (size / 2).saturating_sub(half)..(size / 2 + half).min(size);
        let (top, low) = (&raw[y * stride..(y + 1) * stride], &raw[(y + 1) * stride..(y + 2) * stride]);
        let pairs = top.windows(2).zip(low.windows(2)).skip(view.start);
        let line = y * size + view.start..y * size + view.end;
        for ((grey, o), (a, b)) in canvas.grey[line.clone()].iter().zip(&mut out[line]).zip(pairs) {
            let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
            let level = grey + f32::from(a[0]) * sharp + f32::from(sum) * soft - bias;
            *o = window[(level.clamp(0.0, 255.0) * (1024.0 / 255.0)) as usize];
        }
    }
    out
}
