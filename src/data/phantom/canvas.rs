//! The drawing surface: pixel-to-body coordinates, signed distances, painted ellipses and strokes.

use super::patient::Frame;

/// A point or a vector in body coordinates: the half-width of the body is 1, x to the image's right, y down (dorsal).
pub(super) type Point = [f32; 2];

/// An ellipse in body coordinates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ellipse {
    pub centre: Point,
    pub radii: Point,
    /// Cosine and sine of the rotation.
    turn: Point,
}

impl Ellipse {
    /// An ellipse rotated by `angle` radians.
    pub fn new(centre: Point, radii: Point, angle: f32) -> Self {
        Self { centre, radii: [radii[0].max(1e-3), radii[1].max(1e-3)], turn: [angle.cos(), angle.sin()] }
    }

    /// The same ellipse with both half-axes longer by `by`.
    pub fn grown(&self, by: f32) -> Self {
        Self { radii: self.radii.map(|r| (r + by).max(1e-3)), ..*self }
    }

    /// Signed distance to the edge, negative inside; exact on circles, close to it near the edge of the others.
    pub fn distance(&self, p: Point) -> f32 {
        let [x, y] = self.local(p);
        let rho = (x * x + y * y).sqrt();
        let slope = ((x / self.radii[0]).powi(2) + (y / self.radii[1]).powi(2)).sqrt();
        if slope < 1e-6 { -self.radii[0].min(self.radii[1]) } else { (rho - 1.0) * rho / slope }
    }

    /// 0 at the centre, 1 on the edge: the square of the relative radius.
    fn level(&self, p: Point) -> f32 {
        let [x, y] = self.local(p);
        x * x + y * y
    }

    /// A point in shares of the half-axes.
    fn local(&self, p: Point) -> Point {
        let d = [p[0] - self.centre[0], p[1] - self.centre[1]];
        [
            (d[0] * self.turn[0] + d[1] * self.turn[1]) / self.radii[0],
            (d[1] * self.turn[0] - d[0] * self.turn[1]) / self.radii[1],
        ]
    }

    /// The point of the edge at `angle` radians (0: image right, pi/2: dorsal), for upright ellipses.
    pub fn edge(&self, angle: f32, scale: f32) -> Point {
        [self.centre[0] + scale * self.radii[0] * angle.cos(), self.centre[1] + scale * self.radii[1] * angle.sin()]
    }
}

/// The larger of two distances with a rounded corner of size `k`: the intersection of two shapes.
pub(super) fn smooth_max(a: f32, b: f32, k: f32) -> f32 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.max(b) + h * h * k * 0.25
}

/// The grey canvas. Rotation, offset and a gentle bending add up from a part per column and a part per row,
/// so that the body coordinates of a pixel cost two additions.
pub(super) struct SliceCanvas {
    pub size: usize,
    pub grey: Vec<f32>,
    /// Pixels per body unit.
    pub unit: f32,
    col: Vec<Point>,
    row: Vec<Point>,
    frame: Frame,
    shift: [i32; 2],
}

/// Displacement by the bending at a coordinate.
fn bend(wave: &[f32; 3], t: f32) -> f32 {
    wave[0] * (wave[1] * t + wave[2]).sin()
}

impl SliceCanvas {
    /// A black canvas of `size` pixels a side, everything moved by `shift` pixels.
    pub fn new(size: usize, frame: &Frame, shift: [i32; 2]) -> Self {
        let (sin, cos) = frame.rotation.sin_cos();
        let to_unit = |i: usize, s: i32| 2.0 * (i as f32 + 0.5 - s as f32) / size as f32 - 1.0;
        let col = (0..size).map(|i| {
            let u = to_unit(i, shift[0]) - frame.offset[0];
            [u * cos / frame.scale, -u * sin / frame.scale + bend(&frame.bend[1], u)]
        });
        let row = (0..size).map(|i| {
            let v = to_unit(i, shift[1]) - frame.offset[1];
            [v * sin / frame.scale + bend(&frame.bend[0], v), v * cos / frame.scale]
        });
        Self {
            size,
            grey: vec![0.0; size * size],
            unit: frame.scale * size as f32 / 2.0,
            col: col.collect(),
            row: row.collect(),
            frame: frame.clone(),
            shift,
        }
    }

    /// Body coordinates of a pixel.
    pub fn body(&self, x: usize, y: usize) -> Point {
        [self.col[x][0] + self.row[y][0], self.col[x][1] + self.row[y][1]]
    }

    /// The pixel box (x0, y0, x1, y1; upper bounds excluded) that holds a disc of body coordinates.
    fn bounds(&self, centre: Point, radius: f32) -> (usize, usize, usize, usize) {
        let (sin, cos) = self.frame.rotation.sin_cos();
        let s = self.frame.scale;
        let (mut u, mut v) = (0.0, 0.0);
        let mut p = centre;
        // The bending has no closed inverse; two corrections leave an error far below the margin.
        for _ in 0..3 {
            (u, v) = ((p[0] * cos - p[1] * sin) * s, (p[0] * sin + p[1] * cos) * s);
            p = [centre[0] - bend(&self.frame.bend[0], v), centre[1] - bend(&self.frame.bend[1], u)];
        }
        let (u, v) = (u + self.frame.offset[0], v + self.frame.offset[1]);
        let reach = radius * 1.12 * self.unit + 2.0;
        let half = self.size as f32 / 2.0;
        let (x, y) = ((u + 1.0) * half + self.shift[0] as f32, (v + 1.0) * half + self.shift[1] as f32);
        let pixel = |v: f32| v.clamp(0.0, self.size as f32) as usize;
        (pixel(x - reach), pixel(y - reach), pixel(x + reach + 1.0), pixel(y + reach + 1.0))
    }

    /// Share of a pixel inside an edge at signed distance `d` (body units), blurred over `soft` pixels.
    pub fn inside(&self, d: f32, soft: f32) -> f32 {
        (0.5 - d * self.unit / soft).clamp(0.0, 1.0)
    }

    /// Paints an ellipse of one grey value with an edge blurred over `soft` pixels.
    pub fn ellipse(&mut self, e: &Ellipse, value: f32, soft: f32) {
        let reach = e.radii[0].max(e.radii[1]) + soft / self.unit;
        let (x0, y0, x1, y1) = self.bounds(e.centre, reach);
        let edge = 2.0 * soft / (self.unit * e.radii[0].min(e.radii[1]));
        let (outer, inner) = ((1.0 + edge).powi(2), (1.0 - edge).max(0.0).powi(2));
        for y in y0..y1 {
            for x in x0..x1 {
                let p = self.body(x, y);
                // Most pixels lie clearly inside or outside: those need no roots.
                let far = e.level(p);
                if far > outer {
                    continue;
                }
                let a = if far < inner { 1.0 } else { self.inside(e.distance(p), soft) };
                let g = &mut self.grey[y * self.size + x];
                *g += (value - *g) * a;
            }
        }
    }

    /// Visits the pixels of a tapered stroke with their index and coverage (0..1).
    fn visit(&self, from: Point, to: Point, radius: Point, soft: f32, mut hit: impl FnMut(usize, f32)) {
        let mid = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
        let d = [to[0] - from[0], to[1] - from[1]];
        let square = (d[0] * d[0] + d[1] * d[1]).max(1e-9);
        let reach = square.sqrt() / 2.0 + radius[0].max(radius[1]) + soft / self.unit;
        let blur = 0.5 * soft / self.unit;
        let (x0, y0, x1, y1) = self.bounds(mid, reach);
        for y in y0..y1 {
            for x in x0..x1 {
                let b = self.body(x, y);
                let p = [b[0] - from[0], b[1] - from[1]];
                let t = ((p[0] * d[0] + p[1] * d[1]) / square).clamp(0.0, 1.0);
                let (ex, ey) = (p[0] - t * d[0], p[1] - t * d[1]);
                let r = radius[0] + (radius[1] - radius[0]) * t;
                let (square, far) = (ex * ex + ey * ey, r + blur);
                if square < far * far {
                    hit(y * self.size + x, self.inside(square.sqrt() - r, soft));
                }
            }
        }
    }

    /// Paints a stroke of one grey value; `radius` at both ends.
    pub fn stroke(&mut self, from: Point, to: Point, radius: Point, value: f32, soft: f32) {
        let mut grey = std::mem::take(&mut self.grey);
        self.visit(from, to, radius, soft, |i, a| grey[i] += (value - grey[i]) * a);
        self.grey = grey;
    }

    /// Paints a chain of strokes of one radius.
    pub fn chain(&mut self, points: &[Point], radius: f32, value: f32, soft: f32) {
        for pair in points.windows(2) {
            self.stroke(pair[0], pair[1], [radius; 2], value, soft);
        }
    }

    /// Raises `layer` (0..1 per pixel) to the coverage of a stroke times `strength`.
    pub fn raise(&self, layer: &mut [f32], from: Point, to: Point, radius: Point, strength: f32) {
        self.visit(from, to, radius, 1.6, |i, a| layer[i] = layer[i].max(a * strength));
    }
}
