//! One cross-section: where the organs of a patient lie at one height, and how dense the lung is there.

use super::canvas::{Ellipse, Point, smooth_max};
use super::noise::{lerp, noise3, step};
use super::patient::Patient;

/// The patient at one height.
pub(super) struct CrossSection<'a> {
    pub patient: &'a Patient,
    /// Height: 0 apex, 1 base.
    pub z: f32,
    /// Position in the scan: 0 first slice, 1 last.
    pub t: f32,
    /// The inner wall of the chest: the lungs' outer edge.
    pub thorax: Ellipse,
    /// Inner wall of the chest at its widest, where ribs and spine hang.
    pub cage: Ellipse,
    pub spine: Point,
    /// None where the heart is not cut.
    pub heart: Option<Ellipse>,
    pub great: Option<Ellipse>,
    pub aorta: Ellipse,
    pub hila: [Option<Ellipse>; 2],
    pub domes: [Option<Ellipse>; 2],
    /// Spine and the tissue around it.
    column: Ellipse,
    body: [Ellipse; 2],
    breasts: Option<[Ellipse; 2]>,
    arms: Option<[Ellipse; 2]>,
}

impl<'a> CrossSection<'a> {
    /// The section at share `t` (0..1) of the patient's scan.
    pub fn new(patient: &'a Patient, t: f32) -> Self {
        let z = lerp(patient.cover[0], patient.cover[1], t);
        let (w, c) = (&patient.wall, &patient.chest);
        let wide = 1.0 + 0.05 * step(0.25, 0.0, z) - 0.03 * step(0.7, 1.0, z);
        let body = [[wide, w.aspect], [wide - w.fat, w.aspect - w.fat]].map(|r| Ellipse::new([0.0, 0.0], r, 0.0));
        let (rx, ry) = (1.0 - w.fat - w.muscle - 0.075, w.aspect - w.fat - w.muscle - 0.05);
        let base = 1.0 - 0.1 * step(0.72, 1.0, z);
        let grown =
            [lerp(c.apex, 1.0, step(-0.1, 0.5, z)) * base, lerp(c.apex + 0.06, 1.0, step(-0.1, 0.42, z)) * base];
        let thorax = Ellipse::new([0.0, lerp(0.08, -0.015, step(0.0, 0.4, z))], [rx * grown[0], ry * grown[1]], 0.0);
        let spine = [0.0, ry * 0.80 - 0.015];
        // The upper ribs stay close to the lungs; the room outside belongs to the shoulders.
        let open = step(0.0, 0.4, z);
        let fit = [0, 1].map(|i| lerp(thorax.radii[i] + 0.03, [rx, ry][i], open));
        let cage = Ellipse::new(thorax.centre, fit, 0.0);
        Self {
            patient,
            z,
            t,
            thorax,
            cage,
            spine,
            heart: heart(patient, z),
            great: great(patient, z),
            aorta: Ellipse::new([c.vertebra * 1.25, spine[1] - 0.11 - 0.04 * step(0.5, 0.25, z)], [0.062, 0.06], 0.0),
            hila: [-1.0f32, 1.0].map(|s| hilum(patient, z, s)),
            domes: [0usize, 1].map(|i| dome(patient, z, i, [rx, ry])),
            column: Ellipse::new([spine[0], spine[1] + 0.03], [c.vertebra + 0.035, c.vertebra + 0.06], 0.0),
            body,
            breasts: breasts(patient, z),
            arms: w
                .arms
                .then(|| [-1.0f32, 1.0].map(|s| Ellipse::new([s * 1.19, 0.1 + 0.1 * z], [0.15, 0.17], s * 0.3))),
        }
    }

    /// Signed distances to the skin and to the muscle under the fat.
    pub fn skin_and_muscle(&self, p: Point) -> (f32, f32) {
        let square = self.patient.wall.square;
        // A box-like cross-section: the distance shrinks along the diagonals.
        let boxy = |e: &Ellipse| {
            let (x, y) = (p[0] / e.radii[0], p[1] / e.radii[1]);
            let m = x * x * y * y / (x * x + y * y + 1e-6);
            e.distance(p) - square * 0.30 * m * e.radii[1]
        };
        let mut skin = boxy(&self.body[0]);
        let mut muscle = boxy(&self.body[1]);
        if skin < 0.05 {
            muscle += 0.012 * noise3(self.patient.key, 5.0 * p[0], 5.0 * p[1], 2.0 * self.z);
        }
        for b in self.breasts.iter().flatten() {
            skin = -smooth_max(-skin, -b.distance(p), 0.08);
        }
        for a in self.arms.iter().flatten() {
            let d = a.distance(p);
            skin = skin.min(d);
            muscle = muscle.min(d + self.patient.wall.fat * 0.7 + 0.015);
        }
        (skin, muscle)
    }

    /// Signed distance to the lungs, negative inside.
    pub fn lungs(&self, p: Point) -> f32 {
        let c = &self.patient.chest;
        let round = 0.06;
        let wall = self.thorax.distance(p);
        if wall > 0.2 {
            return wall;
        }
        // The mediastinum is wide at the back and at the apex, and thin where the lungs nearly meet in front.
        let front = lerp(0.45, 1.0, step(-0.35, 0.05, p[1]));
        let half = (c.gap + 0.07 * step(0.3, 0.0, self.z)) * front;
        let wobble = 0.014 * noise3(self.patient.key ^ 77, 4.0 * p[0], 4.0 * p[1], 5.0 * self.z);
        let mut d = smooth_max(wall + wobble, half - p[0].abs(), round);
        d = smooth_max(d, -self.column.distance(p), round);
        if self.z > 0.25 {
            d = smooth_max(d, 0.012 - self.aorta.distance(p), 0.03);
        }
        for e in [self.heart, self.great, self.hila[0], self.hila[1], self.domes[0], self.domes[1]].iter().flatten() {
            d = smooth_max(d, -(e.distance(p) - 0.012), round);
        }
        d
    }

    /// Grey level of the lung (without vessels), lesions and benign findings included.
    pub fn lung_grey(&self, p: Point) -> f32 {
        let c = &self.patient.chest;
        let q = self.share(p);
        let key = self.patient.key;
        let fine = noise3(key ^ 1, 38.0 * p[0], 38.0 * p[1], 18.0 * self.z);
        let coarse = noise3(key ^ 2, 9.0 * p[0], 9.0 * p[1], 7.0 * self.z);
        let own = c.density[0] + c.density[1] * q[1] + c.density[2] * (0.6 * fine + coarse);
        let own = own + self.band(p, q) + self.lesions(q, p, fine);
        let wet = self.effusion(q, p);
        lerp(own, 138.0, wet)
    }

    /// Body coordinates as shares of the chest's half-axes at this height.
    fn share(&self, p: Point) -> Point {
        let t = &self.thorax;
        [(p[0] - t.centre[0]) / t.radii[0], (p[1] - t.centre[1]) / t.radii[1]]
    }

    /// Shares of the chest's half-axes as body coordinates.
    pub fn place(&self, q: Point) -> Point {
        let t = &self.thorax;
        [t.centre[0] + q[0] * t.radii[0], t.centre[1] + q[1] * t.radii[1]]
    }

    /// Atelectasis of the dependent lung: a soft band along the dorsal wall.
    fn band(&self, p: Point, q: Point) -> f32 {
        let rise = self.patient.benign.band;
        if rise == 0.0 || q[1] < 0.2 {
            return 0.0;
        }
        let depth = (q[0] * q[0] + q[1] * q[1]).sqrt()
            + 0.08 * noise3(self.patient.key ^ 5, 7.0 * p[0], 7.0 * p[1], 4.0 * self.z);
        rise * step(0.80, 1.0, depth) * step(0.2, 0.6, q[1]) * step(0.3, 0.6, self.z)
    }

    /// Share of fluid behind the lung, 0..1.
    fn effusion(&self, q: Point, p: Point) -> f32 {
        let depth = self.patient.benign.effusion[usize::from(q[0] > 0.0)] * step(0.45, 0.9, self.z);
        if depth <= 0.0 {
            return 0.0;
        }
        let level = 1.0 - depth - 0.25 * q[0].abs() * depth
            + 0.01 * noise3(self.patient.key ^ 6, 9.0 * p[0], 9.0 * p[1], self.z);
        step(level - 0.02, level + 0.02, q[1])
    }

    /// True where the patient's lesions show.
    pub fn affected(&self) -> bool {
        let [from, to] = self.patient.span;
        !self.patient.lesions.is_empty() && (from..=to).contains(&self.t)
    }

    /// Grey levels that the ground-glass opacities add.
    fn lesions(&self, q: Point, p: Point, fine: f32) -> f32 {
        if !self.affected() {
            return 0.0;
        }
        let mut total = 0.0f32;
        for l in &self.patient.lesions {
            let v = [
                (q[0] - l.centre[0]) / l.radii[0],
                (q[1] - l.centre[1]) / l.radii[1],
                (self.t - l.centre[2]) / l.radii[2],
            ];
            let d = v.iter().map(|x| x * x).sum::<f32>();
            if d > 2.6 {
                continue;
            }
            let ragged = noise3(l.key, 6.0 * p[0], 6.0 * p[1], 5.0 * self.z) * 0.45
                + noise3(l.key ^ 9, 17.0 * p[0], 17.0 * p[1], 9.0 * self.z) * 0.28;
            let haze = step(1.2, 0.45, d.sqrt() + ragged);
            total = total.max(l.rise * haze * (0.86 + 0.22 * fine));
        }
        total
    }
}

fn heart(patient: &Patient, z: f32) -> Option<Ellipse> {
    let [x, y, rx, ry, angle] = patient.chest.heart;
    let size = step(0.36, 0.62, z) * lerp(1.0, 0.75, step(0.85, 1.0, z));
    (size > 0.25).then(|| Ellipse::new([x * size, y], [rx * size, ry * size], angle))
}

/// Arch and great vessels above the heart.
fn great(patient: &Patient, z: f32) -> Option<Ellipse> {
    let size = step(0.12, 0.3, z) * step(0.58, 0.45, z);
    (size > 0.2).then(|| Ellipse::new([0.03, -0.09], [(0.1 + patient.chest.gap) * size, 0.15 * size], 0.5))
}

fn hilum(patient: &Patient, z: f32, side: f32) -> Option<Ellipse> {
    let size = step(0.3, 0.46, z) * step(0.68, 0.54, z);
    (size > 0.2)
        .then(|| Ellipse::new([side * (patient.chest.gap + 0.05), 0.06], [0.12 * size, 0.085 * size], side * 0.4))
}

/// The dome of the diaphragm grows inside the lung from its summit.
fn dome(patient: &Patient, z: f32, side: usize, cage: Point) -> Option<Ellipse> {
    let from = patient.chest.dome[side];
    let size = ((z - from) / (1.06 - from)).max(0.0).sqrt();
    let x = if side == 0 { -0.46 } else { 0.5 };
    (size > 0.05)
        .then(|| Ellipse::new([x * cage[0], -0.1 * cage[1]], [0.46 * size * cage[0], 0.72 * size * cage[1]], 0.0))
}

fn breasts(patient: &Patient, z: f32) -> Option<[Ellipse; 2]> {
    let size = patient.wall.breast * step(0.22, 0.5, z) * step(1.05, 0.75, z);
    let y = -patient.wall.aspect * 0.80;
    (size > 0.03).then(|| [-1.0f32, 1.0].map(|s| Ellipse::new([s * 0.45, y], [size * 1.6, size * 1.15], s * 0.35)))
}
