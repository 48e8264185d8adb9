//! The patients: every number that makes one chest differ from the next, drawn from the patient's own stream.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::noise::{Stream, stream};

/// Where the body lies in the image.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Centre of the body, in half image widths from the image centre.
    pub offset: [f32; 2],
    /// Radians.
    pub rotation: f32,
    /// Half-width of the body, in half image widths.
    pub scale: f32,
    /// Bending of x along y and of y along x: amplitude, frequency, phase.
    pub bend: [[f32; 3]; 2],
}

/// The wall of the chest, in half body widths.
#[derive(Debug, Clone)]
pub(super) struct Wall {
    /// Height over width.
    pub aspect: f32,
    /// 0: ellipse, towards 1: rounded box.
    pub square: f32,
    pub fat: f32,
    pub muscle: f32,
    /// Size of the breasts, 0 for none.
    pub breast: f32,
    pub arms: bool,
    /// Angle of the first rib, its drift per unit of z, and the angle between ribs.
    pub ribs: [f32; 3],
    pub rib_radius: f32,
}

/// Lungs and mediastinum.
#[derive(Debug, Clone)]
pub(super) struct Chest {
    /// Width of the lungs at the apex as a share of the largest.
    pub apex: f32,
    /// Half-width of the mediastinum.
    pub gap: f32,
    /// Grey level of aerated lung, its rise from front to back, and the amplitude of its texture.
    pub density: [f32; 3],
    /// Heart: x, y, half-axes, angle.
    pub heart: [f32; 5],
    /// Grey level that contrast medium adds to blood.
    pub enhancement: f32,
    /// z where the right and left diaphragm appear.
    pub dome: [f32; 2],
    pub vertebra: f32,
    pub trachea: f32,
}

/// The couch under the patient.
#[derive(Debug, Clone)]
pub(super) struct Couch {
    /// Distance below the body, sag, half-width (half image widths).
    pub gap: f32,
    pub sag: f32,
    pub width: f32,
    pub double: bool,
}

/// Detector and window.
#[derive(Debug, Clone)]
pub(super) struct Appearance {
    /// Standard deviation of the noise, grey levels.
    pub noise: f32,
    /// 0: sharp kernel, 1: soft.
    pub grain: f32,
    pub gamma: f32,
    pub gain: f32,
}

/// A piece of a vessel: ends in shares of the chest's half-axes (x, y) and of its height (z); radii in body units.
#[derive(Debug, Clone)]
pub(super) struct Vessel {
    pub from: [f32; 3],
    pub to: [f32; 3],
    pub radius: [f32; 2],
}

/// A ground-glass opacity: centre and half-axes in shares of the chest (x, y) and of the scan (t).
#[derive(Debug, Clone)]
pub(super) struct Lesion {
    pub centre: [f32; 3],
    pub radii: [f32; 3],
    /// Grey levels at its densest.
    pub rise: f32,
    pub key: u32,
}

/// Benign findings that look a little like disease.
#[derive(Debug, Clone, Default)]
pub(super) struct Benign {
    /// Grey levels of the dependent band, 0 for none.
    pub band: f32,
    /// Nodule: x, y, t, radius (0: none).
    pub nodule: [f32; 4],
    /// Depth of the effusion on each side, in shares of the chest.
    pub effusion: [f32; 2],
}

/// One patient.
#[derive(Debug, Clone)]
pub(super) struct Patient {
    /// Key of the patient's textures.
    pub key: u32,
    pub frame: Frame,
    pub wall: Wall,
    pub chest: Chest,
    pub table: Couch,
    pub look: Appearance,
    /// z of the first and of the last slice (0: apex, 1: base).
    pub cover: [f32; 2],
    pub vessels: Vec<Vessel>,
    /// Share of the scan that the lesions reach over, from and to.
    pub span: [f32; 2],
    pub lesions: Vec<Lesion>,
    pub benign: Benign,
}

impl Patient {
    /// The patient with this number; `covid` gives lesions and changes nothing of the anatomy.
    pub fn new(seed: u64, number: usize, covid: bool) -> Self {
        let mut rng = stream(seed, number as u64, 0, 0, Stream::Patient);
        let r = &mut rng;
        let key = r.gen_range(0..u32::MAX);
        let frame = frame(r);
        let wall = wall(r);
        let chest = chest(r);
        let table = Couch {
            gap: r.gen_range(0.0..0.06),
            sag: r.gen_range(0.02..0.16),
            width: r.gen_range(0.5..0.8),
            double: r.gen_bool(0.6),
        };
        let look = Appearance {
            noise: r.gen_range(2.0..7.0),
            grain: r.gen_range(0.0..1.0),
            gamma: r.gen_range(0.85..1.2),
            gain: r.gen_range(0.86..1.06),
        };
        let cover = [r.gen_range(0.02..0.14), r.gen_range(0.86..0.99)];
        let vessels = vessels(r);
        let share: f32 = r.gen_range(0.55..0.8);
        let start = (1.0 - share) * r.gen_range(0.35f32..1.0);
        let span = [start, start + share];
        let lesions = if covid { lesions(r, span) } else { Vec::new() };
        Self { key, frame, wall, chest, table, look, cover, vessels, span, lesions, benign: benign(r, covid) }
    }
}

fn frame(r: &mut ChaCha8Rng) -> Frame {
    let scale = r.gen_range(0.64f32..0.93);
    // A small body has more room to lie off-centre.
    let room = 0.05 + 0.35 * (0.95 - scale);
    let mut bend = || [r.gen_range(-0.032..0.032), r.gen_range(1.5..4.0), r.gen_range(0.0..std::f32::consts::TAU)];
    let bend = [bend(), bend()];
    Frame {
        offset: [r.gen_range(-room..room), r.gen_range(-room..room) - 0.03],
        rotation: r.gen_range(-0.18..0.18),
        scale,
        bend,
    }
}

fn wall(r: &mut ChaCha8Rng) -> Wall {
    let fat = r.gen_range(0.015f32..0.11);
    Wall {
        aspect: r.gen_range(0.60..0.85),
        square: r.gen_range(0.1..0.7),
        fat,
        muscle: r.gen_range(0.035..0.07),
        breast: if r.gen_bool(0.4) { r.gen_range(0.10..0.17) + fat * 0.6 } else { 0.0 },
        arms: r.gen_bool(0.2),
        ribs: [r.gen_range(0.0..0.5), r.gen_range(2.0..3.4), r.gen_range(0.38..0.5)],
        rib_radius: r.gen_range(0.018..0.028),
    }
}

fn chest(r: &mut ChaCha8Rng) -> Chest {
    let size = r.gen_range(0.24f32..0.36);
    Chest {
        apex: r.gen_range(0.38..0.6),
        gap: r.gen_range(0.07..0.13),
        density: [r.gen_range(24.0..50.0), r.gen_range(2.0..16.0), r.gen_range(3.0..8.0)],
        heart: [
            r.gen_range(0.06..0.2),
            r.gen_range(-0.2..-0.06),
            size,
            size * r.gen_range(0.66..0.9),
            r.gen_range(0.2..0.9),
        ],
        enhancement: if r.gen_bool(0.4) { r.gen_range(20.0..60.0) } else { r.gen_range(0.0..8.0) },
        dome: [r.gen_range(0.72..0.86), r.gen_range(0.78..0.92)],
        vertebra: r.gen_range(0.095..0.125),
        trachea: r.gen_range(0.042..0.06),
    }
}

/// Two trees of vessels in each lung, rooted at the hila.
fn vessels(r: &mut ChaCha8Rng) -> Vec<Vessel> {
    let mut out = Vec::new();
    for side in [-1.0f32, 1.0] {
        let trunks = r.gen_range(12..20);
        for i in 0..trunks {
            let root = [side * r.gen_range(0.17..0.27), r.gen_range(-0.1..0.15), r.gen_range(0.3..0.66)];
            // Trunks fan out over the half circle of their side, and over the height.
            let angle = (i as f32 + r.gen_range(0.1..0.9)) / trunks as f32 * 3.4 - 1.7;
            let rise = r.gen_range(-1.3f32..1.3);
            let heading = [side * angle.cos(), angle.sin(), rise];
            let radius = r.gen_range(0.016..0.03);
            grow(r, root, heading, radius, 0, &mut out);
        }
        twigs(r, side, &mut out);
    }
    out
}

/// Small vessels everywhere in a lung, most of them pointing away from the hilum.
fn twigs(r: &mut ChaCha8Rng, side: f32, out: &mut Vec<Vessel>) {
    for _ in 0..r.gen_range(260..520) {
        let from = [side * r.gen_range(0.15f32..0.95), r.gen_range(-0.85f32..0.9), r.gen_range(0.0f32..1.0)];
        let angle = (from[1] - 0.05).atan2(from[0] - side * 0.15) + r.gen_range(-0.7f32..0.7);
        let length = r.gen_range(0.02f32..0.10);
        let to =
            [from[0] + length * angle.cos(), from[1] + length * angle.sin(), from[2] + r.gen_range(-0.05f32..0.05)];
        let radius = r.gen_range(0.0035..0.009);
        out.push(Vessel { from, to, radius: [radius, radius * 0.6] });
    }
}

/// Grows one vessel and its two children until they are thin or leave the chest.
fn grow(r: &mut ChaCha8Rng, from: [f32; 3], heading: [f32; 3], radius: f32, depth: u32, out: &mut Vec<Vessel>) {
    if depth > 6 || radius < 0.0035 || from[0].abs() > 1.0 || from[1].abs() > 1.0 || !(0.0..1.0).contains(&from[2]) {
        return;
    }
    let norm = heading.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-3);
    let length = r.gen_range(0.09..0.18) * 0.93f32.powi(depth as i32);
    let go = |i: usize, scale: f32| from[i] + heading[i] / norm * length * scale;
    let to = [go(0, 1.0), go(1, 1.0), go(2, 0.9)];
    let end = radius * 0.86;
    out.push(Vessel { from, to, radius: [radius, end] });
    let fork = [r.gen_range(0.2f32..0.65), r.gen_range(-0.65f32..-0.2)];
    let share = r.gen_range(0.6f32..0.95);
    for (angle, scale) in fork.into_iter().zip([share, 1.55 - share]) {
        let (sin, cos) = angle.sin_cos();
        let (x, y, z) = (heading[0] / norm, heading[1] / norm, heading[2] / norm);
        let next = [x * cos - y * sin, x * sin + y * cos, z + r.gen_range(-0.45..0.45)];
        grow(r, to, next, end * scale.min(0.97), depth + 1, out);
    }
}

fn lesions(r: &mut ChaCha8Rng, span: [f32; 2]) -> Vec<Lesion> {
    let count = r.gen_range(4..10);
    let half = (span[1] - span[0]) / 2.0;
    let first = if r.gen_bool(0.5) { 1.0f32 } else { -1.0 };
    let mut out = Vec::with_capacity(count);
    for i in 0..count {
        // The first two reach over the whole span, one in each lung, so that no slice within it is clear.
        let wide = i < 2;
        let side = if i == 0 || (i > 1 && r.gen_bool(0.5)) { first } else { -first };
        // Angle from the lateral point: dorsal ones are the more frequent.
        let angle = r.gen_range(-0.8f32..1.25);
        let reach = r.gen_range(0.68f32..0.95);
        let t = if wide { (span[0] + span[1]) / 2.0 } else { r.gen_range(span[0]..span[1]) };
        let height = if wide { half * 1.15 } else { half * r.gen_range(0.25..0.7) };
        let size = r.gen_range(0.20f32..0.40) * if wide { 1.15 } else { 1.0 };
        out.push(Lesion {
            centre: [side * reach * angle.cos(), reach * angle.sin(), t],
            radii: [size, size * r.gen_range(0.8..1.5), height],
            rise: r.gen_range(45.0..80.0),
            key: r.gen_range(0..u32::MAX),
        });
    }
    out
}

fn benign(r: &mut ChaCha8Rng, covid: bool) -> Benign {
    let odds = if covid { 0.5 } else { 1.0 };
    let band = if r.gen_bool(0.4 * odds) { r.gen_range(18.0..50.0) } else { 0.0 };
    let side = if r.gen_bool(0.5) { 1.0f32 } else { -1.0 };
    let nodule = if r.gen_bool(0.35 * odds) {
        [side * r.gen_range(0.4..0.8), r.gen_range(-0.4..0.5), r.gen_range(0.25..0.8), r.gen_range(0.02..0.045)]
    } else {
        [0.0; 4]
    };
    let mut effusion = [0.0; 2];
    if r.gen_bool(0.22 * odds) {
        effusion[usize::from(side > 0.0)] = r.gen_range(0.08..0.28);
    }
    Benign { band, nodule, effusion }
}
