//! Binary images and their operations: components, dilation and erosion, holes, convex hulls.

use std::ops::Range;

/// A binary image, row by row.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    pub width: usize,
    pub height: usize,
    pub on: Vec<bool>,
}

/// A connected part of a plane (four neighbours): its pixels' indices as runs along the rows.
#[derive(Debug, Clone)]
pub(super) struct PixelRegion {
    pub runs: Vec<Range<usize>>,
    pub size: usize,
}

impl PixelRegion {
    /// The indices of its pixels.
    pub fn pixels(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().flat_map(Range::clone)
    }
}

impl Plane {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, on: vec![false; width * height] }
    }

    /// The plane of this size with exactly these parts on.
    pub fn holding<'a>(&self, parts: impl IntoIterator<Item = &'a PixelRegion>) -> Self {
        let mut plane = Self::new(self.width, self.height);
        parts.into_iter().flat_map(|part| &part.runs).for_each(|run| plane.on[run.clone()].fill(true));
        plane
    }

    /// Pixel by pixel what `rule` makes of this plane and another of its size.
    pub fn with(&self, other: &Self, rule: impl Fn(bool, bool) -> bool) -> Self {
        let mut result = self.clone();
        result.on.iter_mut().zip(&other.on).for_each(|(a, b)| *a = rule(*a, *b));
        result
    }

    pub fn inverted(&self) -> Self {
        let mut result = self.clone();
        result.on.iter_mut().for_each(|on| *on = !*on);
        result
    }

    pub fn count(&self) -> usize {
        self.on.iter().filter(|on| **on).count()
    }

    /// The indices of the pixels that are on.
    pub fn pixels(&self) -> impl Iterator<Item = usize> {
        self.on.iter().enumerate().filter(|(_, on)| **on).map(|(i, _)| i)
    }

    /// The pixels on the picture's border, and those with one of the four neighbours off.
    pub fn rim(&self) -> Self {
        let mut rim = self.clone();
        let (w, on) = (self.width, &self.on);
        for first in (w..on.len().saturating_sub(w)).step_by(w.max(1)) {
            let inner = first + 1..(first + w).max(first + 2) - 1;
            let sideways = on[inner.start - 1..].iter().zip(&on[inner.start + 1..]);
            let upright = on[inner.start - w..].iter().zip(&on[inner.start + w..]);
            let pixels = rim.on[inner].iter_mut().zip(sideways.zip(upright));
            pixels.for_each(|(on, ((left, right), (up, down)))| *on &= !(left & right & up & down));
        }
        rim
    }

    /// True for a pixel on the picture's border.
    pub fn is_border(&self, i: usize) -> bool {
        let (x, y) = (i % self.width, i / self.width);
        x == 0 || y == 0 || x == self.width - 1 || y == self.height - 1
    }

    /// The connected parts of `at_least` pixels, largest first; those of the same size in reading order.
    pub fn parts(&self, at_least: usize) -> Vec<PixelRegion> {
        let runs = Runs::of(self);
        let mut place = vec![None; runs.spans.len()];
        let mut parts: Vec<PixelRegion> = Vec::new();
        for (span, &root) in runs.spans.iter().zip(&runs.roots) {
            if runs.sizes[root] < at_least {
                continue;
            }
            let at = *place[root].get_or_insert_with(|| {
                parts.push(PixelRegion { runs: Vec::new(), size: runs.sizes[root] });
                parts.len() - 1
            });
            parts[at].runs.push(span.clone());
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.size));
        parts
    }

    /// Turns on every off part that does not reach the picture's border and has at most `limit` pixels.
    pub fn fill_holes(&mut self, limit: usize) {
        let runs = Runs::of(&self.inverted());
        let mut is_hole: Vec<bool> = runs.sizes.iter().map(|size| *size <= limit).collect();
        for (span, &root) in runs.spans.iter().zip(&runs.roots) {
            is_hole[root] &= !self.is_border(span.start) && !self.is_border(span.end - 1);
        }
        let holes = runs.spans.iter().zip(&runs.roots).filter(|(_, root)| is_hole[**root]);
        holes.for_each(|(span, _)| self.on[span.clone()].fill(true));
    }

    /// Every pixel within `radius` pixels of one that is on; a radius below 0.5 counts as 0, one of 250 is the largest.
    pub fn dilated(&self, radius: f32) -> Self {
        let (w, radius) = (self.width, radius.clamp(0.0, 250.0));
        // How far along its column each pixel is from one that is on; 255 is too far for every radius.
        let mut away = vec![0_u8; self.on.len()];
        away.iter_mut().zip(&self.on).for_each(|(away, on)| *away = u8::from(*on).wrapping_sub(1));
        let nearer = |from: &[u8], to: &mut [u8]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = (*to).min(from.saturating_add(1)));
        };
        for y in 1..self.height {
            let (upper, lower) = away.split_at_mut(y * w);
            nearer(&upper[(y - 1) * w..], &mut lower[..w]);
        }
        for y in (1..self.height).rev() {
            let (upper, lower) = away.split_at_mut(y * w);
            nearer(&lower[..w], &mut upper[(y - 1) * w..]);
        }
        let mut near = Self::new(w, self.height);
        for shift in 0..=(radius as usize).min(w.saturating_sub(1)) {
            let reach = (radius * radius - (shift * shift) as f32).sqrt() as u8;
            let mark = |(near, away): (&mut bool, &u8)| *near |= *away <= reach;
            for (row, line) in near.on.chunks_exact_mut(w).zip(away.chunks_exact(w)) {
                row[shift..].iter_mut().zip(line).for_each(mark);
                row.iter_mut().zip(&line[shift..]).for_each(mark);
            }
        }
        near
    }

    /// Every pixel that has none that is off within `radius` pixels; what lies beyond the picture counts as on.
    pub fn eroded(&self, radius: f32) -> Self {
        self.inverted().dilated(radius).inverted()
    }

    /// Dilated, then eroded: gaps narrower than two radii are bridged (Serra, Image Analysis and Mathematical
    /// Morphology, 1982).
    pub fn closed(&self, radius: f32) -> Self {
        self.dilated(radius).eroded(radius)
    }

    /// Eroded, then dilated: what is thinner than two radii is gone.
    pub fn opened(&self, radius: f32) -> Self {
        self.eroded(radius).dilated(radius)
    }

    /// Turns on what is on in the other plane, of the same size.
    pub fn add(&mut self, other: &Self) {
        self.on.iter_mut().zip(&other.on).for_each(|(on, other)| *on |= other);
    }

    /// The convex hull of the pixels that are on (Andrew, "Another efficient algorithm for convex hulls in two
    /// dimensions", 1979): the first and the last column of each row, `None` where the hull has no pixel.
    pub fn hull(&self) -> Vec<Option<(usize, usize)>> {
        let ends: Vec<Option<(usize, usize)>> = self
            .on
            .chunks_exact(self.width.max(1))
            .map(|row| Some((row.iter().position(|on| *on)?, row.iter().rposition(|on| *on)?)))
            .collect();
        let side = |pick: fn((usize, usize)) -> usize, sign: f32| {
            let points = ends.iter().enumerate().filter_map(|(y, ends)| Some((y as f32, sign * pick((*ends)?) as f32)));
            lower_hull(points)
        };
        let (left, right) = (side(|ends| ends.0, 1.0), side(|ends| ends.1, -1.0));
        let row = |y: usize| Some((at(&left, y)?.ceil() as usize, (-at(&right, y)?).floor() as usize));
        (0..self.height).map(row).collect()
    }
}

/// The chain of points below which none lies; `points` come ordered by their first coordinate.
fn lower_hull(points: impl Iterator<Item = (f32, f32)>) -> Vec<(f32, f32)> {
    let mut chain: Vec<(f32, f32)> = Vec::new();
    for p in points {
        while let [.., a, b] = chain[..] {
            if (b.0 - a.0) * (p.1 - a.1) > (b.1 - a.1) * (p.0 - a.0) {
                break;
            }
            chain.pop();
        }
        chain.push(p);
    }
    chain
}

/// The height of a chain at `y`; `None` before its first and after its last point.
fn at(chain: &[(f32, f32)], y: usize) -> Option<f32> {
    let y = y as f32;
    let next = chain.iter().position(|p| p.0 >= y)?;
    let (b, a) = (chain[next], chain[next.saturating_sub(1)]);
    if b.0 == y {
        return Some(b.1);
    }
    (next > 0).then(|| a.1 + (b.1 - a.1) * (y - a.0) / (b.0 - a.0))
}

/// The runs of a plane, joined to parts (Rosenfeld and Pfaltz, "Sequential Operations in Digital Picture Processing",
/// Journal of the ACM 13, 1966, with runs instead of pixels).
struct Runs {
    spans: Vec<Range<usize>>,
    /// For each run the first one of its part.
    roots: Vec<usize>,
    /// For each part, at its first run, how many pixels it has.
    sizes: Vec<usize>,
}

impl Runs {
    fn of(plane: &Plane) -> Self {
        let w = plane.width;
        let mut runs = Self { spans: Vec::new(), roots: Vec::new(), sizes: Vec::new() };
        let mut above = 0;
        for (y, row) in plane.on.chunks_exact(w.max(1)).enumerate() {
            let this = runs.spans.len();
            let mut x = 0;
            while let Some(first) = row[x..].iter().position(|on| *on) {
                let first = x + first;
                x = first + row[first..].iter().position(|on| !on).unwrap_or(w - first);
                runs.roots.push(runs.spans.len());
                runs.spans.push(y * w + first..y * w + x);
            }
            let end = runs.spans.len();
            let mut upper = above;
            for lower in this..end {
                let span = runs.spans[lower].start - w.min(y * w)..runs.spans[lower].end - w.min(y * w);
                while upper < this && runs.spans[upper].end <= span.start {
                    upper += 1;
                }
                let mut touching = upper;
                while touching < this && runs.spans[touching].start < span.end {
                    runs.join(touching, lower);
                    touching += 1;
                }
            }
            above = this;
        }
        runs.sizes = vec![0; runs.spans.len()];
        for run in 0..runs.spans.len() {
            let root = runs.root(run);
            runs.roots[run] = root;
            runs.sizes[root] += runs.spans[run].len();
        }
        runs
    }

    fn root(&mut self, mut run: usize) -> usize {
        while self.roots[run] != run {
            self.roots[run] = self.roots[self.roots[run]];
            run = self.roots[run];
        }
        run
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.roots[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(rows: &[&str]) -> Plane {
        let on = rows.iter().flat_map(|row| row.bytes().map(|b| b == b'#')).collect();
        Plane { width: rows[0].len(), height: rows.len(), on }
    }

    #[test]
    fn parts_are_joined_through_forks() {
        let parts = plane(&["#.#.#..#", "#.#.#..#", "###.##..", "....#.##"]).parts(2);
        assert_eq!(parts.iter().map(|part| part.size).collect::<Vec<_>>(), [7, 5, 2, 2]);
        assert_eq!(parts[0].pixels().collect::<Vec<_>>(), [0, 2, 8, 10, 16, 17, 18]);
        assert_eq!(plane(&["#.#.#..#"]).parts(2).len(), 0);
        assert_eq!(plane(&["##", "##"]).parts(1)[0].size, 4);
    }

    #[test]
    fn discs_equal_distances_between_pixels() {
        let plane = plane(&["......#", ".......", "..#....", ".......", "#......"]);
        for radius in [0.0, 1.0, 1.5, 2.0, 2.9, 40.0_f32] {
            let feet: Vec<usize> = plane.pixels().collect();
            let square = |a: usize, b: usize| (a as f32 - b as f32).powi(2);
            let near = |i: usize| feet.iter().any(|j| square(i % 7, j % 7) + square(i / 7, j / 7) <= radius * radius);
            assert_eq!(plane.dilated(radius).on, (0..35).map(near).collect::<Vec<_>>(), "{radius}");
        }
        assert_eq!(plane.inverted().eroded(1.0).on, plane.dilated(1.0).inverted().on);
    }

    #[test]
    fn the_rim_is_one_pixel_wide() {
        let rim = plane(&["#####", "####.", "####.", "####.", "....."]).rim();
        assert_eq!(rim.on, plane(&["#####", "#..#.", "#..#.", "####.", "....."]).on);
    }

    #[test]
    fn an_empty_plane_has_nothing() {
        let empty = Plane::new(5, 4);
        assert_eq!((empty.parts(0).len(), empty.dilated(3.0).count(), empty.hull()), (0, 0, vec![None; 4]));
    }

    #[test]
    fn only_small_holes_are_filled() {
        let mut ring = plane(&["######", "#.##.#", "####.#", "######"]);
        ring.fill_holes(1);
        assert_eq!(ring.count(), 22);
        ring.fill_holes(2);
        assert_eq!(ring.count(), 24);
    }

    #[test]
    fn the_hull_spans_a_notch() {
        let hull = plane(&["#####", "#..##", "....#", "#####"]).hull();
        assert_eq!(hull, [Some((0, 4)); 4]);
        let hull = plane(&["..#..", ".....", "#...#"]).hull();
        assert_eq!(hull, [Some((2, 2)), Some((1, 3)), Some((0, 4))]);
    }
}
