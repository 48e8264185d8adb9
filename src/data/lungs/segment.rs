//! From grey levels to the two lungs.

use super::plane::{PixelRegion, Plane};
use crate::data::pixels::GreyImage;

/// The smallest part that counts as lung, as a share of the body: above the trachea (2.5 cm² of 600 cm²).
const SMALLEST: f64 = 0.0075;
/// The largest hole in the lungs that is filled, as a share of the body: vessels and nodules, and no dome of the liver.
const LARGEST_HOLE: f64 = 0.025;
/// How much brighter than the air in the lungs ground glass may be, as a share of the way to the tissue.
const GLASS: f64 = 0.62;
/// Grey levels between air and tissue in the body, at the least, and as a share of those in the whole picture: fat and
/// muscle differ less.
const CONTRAST: (f64, f64) = (6.0, 0.25);
/// If the lungs cover less of the picture than this, a second search is made.
const FEW: f64 = 0.04;

/// The lungs in a slice; nothing on where none are found.
///
/// In a window of the mediastinum the greatest step may lie between tissue and bone or contrast agent. The second
/// search ignores levels above it.
pub(super) fn lungs(slice: &GreyImage) -> Plane {
    let first = look(slice);
    let size = slice.pixels.len();
    if first.count() as f64 >= FEW * size as f64 {
        return first;
    }
    let everything = Plane { on: vec![true; size], ..first };
    let Some(level) = otsu(slice, &everything) else { return first };
    let pixels = slice.pixels.iter().map(|p| *p.min(&level.threshold)).collect();
    let second = look(&GreyImage { pixels, ..*slice });
    if second.count() > first.count() { second } else { first }
}

fn look(slice: &GreyImage) -> Plane {
    let nothing = Plane::new(slice.width as usize, slice.height as usize);
    let Some((body, level)) = body(slice) else { return nothing };
    let unit = (body.count() as f32).sqrt();
    let dark = darker(slice, &body, level.between(GLASS));
    let lungs: Vec<Plane> = candidates(&dark, body.count())
        .into_iter()
        .flat_map(|part| halves(&part, unit).map_or_else(|| vec![part], Vec::from))
        .map(|lung| lung.closed(0.025 * unit))
        .collect();
    let centre = centre(&body);
    let mut all = nothing;
    for lung in &lungs {
        all.add(lung);
        all.add(&to_chest_wall(lung, &body, centre));
    }
    all.fill_holes((LARGEST_HOLE * f64::from(unit * unit)) as usize);
    all
}

/// Two classes of grey levels.
struct Level {
    /// The highest level of the dark class.
    threshold: u8,
    /// Mean of the dark class.
    dark: f64,
    /// Difference of the classes' means, in grey levels.
    contrast: f64,
}

impl Level {
    /// The level at this share of the way from the dark class to the bright one.
    fn between(&self, share: f64) -> u8 {
        (self.dark + share * self.contrast) as u8
    }
}

/// The threshold with the greatest variance between the classes (Otsu, "A Threshold Selection Method from Gray-Level
/// Histograms", IEEE Trans. Syst. Man Cybern. 9, 1979) among the pixels of `area`; `None` when all are of one level.
fn otsu(slice: &GreyImage, area: &Plane) -> Option<Level> {
    let mut counts = [[0_u32; 256]; 2];
    slice.pixels.iter().zip(&area.on).for_each(|(p, on)| counts[usize::from(*on)][usize::from(*p)] += 1);
    otsu_level(&counts[1])
}

/// Otsu's threshold of a histogram: the highest level of the dark class; `None` when all pixels are of one level.
pub(crate) fn otsu_threshold(histogram: &[u32; 256]) -> Option<u8> {
    otsu_level(histogram).map(|level| level.threshold)
}

fn otsu_level(histogram: &[u32; 256]) -> Option<Level> {
    let histogram = histogram.map(f64::from);
    let total: f64 = histogram.iter().sum();
    let sum: f64 = histogram.iter().enumerate().map(|(level, n)| level as f64 * n).sum();
    let (mut below, mut sum_below, mut best, mut found) = (0.0, 0.0, 0.0, None);
    for (level, n) in histogram.iter().enumerate() {
        below += n;
        sum_below += level as f64 * n;
        if below == 0.0 || below >= total {
            continue;
        }
        let contrast = (sum - sum_below) / (total - below) - sum_below / below;
        let between = below * (total - below) * contrast * contrast;
        if between > best {
            best = between;
            found = Some(Level { threshold: level as u8, dark: sum_below / below, contrast });
        }
    }
    found
}

fn darker(slice: &GreyImage, area: &Plane, threshold: u8) -> Plane {
    let mut dark = area.clone();
    dark.on.iter_mut().zip(&slice.pixels).for_each(|(on, p)| *on &= *p <= threshold);
    dark
}

/// The body with all it holds, and the classes of its grey levels; `None` where there is no air in it.
///
/// Where the field of view is a disc, the first threshold may only separate the black corners from the rest, air
/// included. The search is therefore repeated inside the result until no more air is removed.
fn body(slice: &GreyImage) -> Option<(Plane, Level)> {
    let size = slice.pixels.len();
    let mut area = Plane { width: slice.width as usize, height: slice.height as usize, on: vec![true; size] };
    let whole = otsu(slice, &area)?.contrast;
    for _ in 0..3 {
        let level = otsu(slice, &area)?;
        let dark = darker(slice, &area, level.threshold);
        let rest = without_outer_air(&area, &dark);
        let settled = rest.count() as f64 > 0.97 * area.count() as f64;
        area = rest;
        if settled {
            break;
        }
    }
    let level = otsu(slice, &area)?;
    (level.contrast >= CONTRAST.0.max(CONTRAST.1 * whole)).then_some((area, level))
}

/// `area` without the air around the body and without the table: the thick tissue, and the dark parts it encloses.
fn without_outer_air(area: &Plane, dark: &Plane) -> Plane {
    let size = area.count();
    let share = |share: f64| (share * size as f64) as usize;
    let radius = 0.01 * (size as f32).sqrt();
    let tissue = area.with(dark, |area, dark| area & !dark).opened(radius);
    let mut body = area.holding(&tissue.parts(share(0.004)));
    let near = body.dilated(radius + 1.5);
    let mut dark = dark.clone();
    dark.fill_holes(share(LARGEST_HOLE));
    let mut enclosed = dark.parts(share(0.5 * SMALLEST));
    let (rim, outline) = (area.rim(), dark.rim());
    enclosed.retain(|part| !is_outer_air(part, &rim) && is_enclosed(part, &outline, &near));
    body.add(&area.holding(&enclosed));
    body.fill_holes(size);
    body
}

/// True for a part that lies along the rim of the body as only air does.
///
/// Measured is the length of the contact over the square root of the part's size. A strip across the picture or a wedge
/// in its corner has 2.8 or more, half a disc 2.5. A lung cut by a tight crop has less, even in a corner (a quarter of
/// a disc has 2.3).
fn is_outer_air(part: &PixelRegion, rim: &Plane) -> bool {
    part.pixels().filter(|&i| rim.on[i]).count() as f64 > 2.1 * (part.size as f64).sqrt()
}

/// True when tissue lies along two thirds of the part's outline; the picture's border does not count. The air between
/// a patient's back and the table has tissue on one side only.
fn is_enclosed(part: &PixelRegion, outline: &Plane, near: &Plane) -> bool {
    let (mut all, mut at_tissue) = (0, 0);
    for i in part.pixels().filter(|&i| outline.on[i] && !outline.is_border(i)) {
        all += 1;
        at_tissue += usize::from(near.on[i]);
    }
    3 * at_tissue >= 2 * all
}

/// The dark parts of a body of `size` pixels that are large and thick enough for a lung.
fn candidates(dark: &Plane, size: usize) -> Vec<Plane> {
    let core = dark.eroded(0.02 * (size as f32).sqrt());
    let mut parts = dark.parts((SMALLEST * size as f64) as usize);
    parts.retain(|part| part.pixels().any(|i| core.on[i]));
    parts.iter().map(|part| dark.holding([part])).collect()
}

/// Cuts a part of the size of two lungs where an erosion by up to 2.5 % of the body's size leaves two pieces of a fifth
/// of it or more: lungs that are joined where they nearly touch (Hu, Hoffman and Reinhardt search the anterior junction line instead).
fn halves(whole: &Plane, unit: f32) -> Option<[Plane; 2]> {
    let size = whole.count();
    if (size as f32) < 0.1 * unit * unit {
        return None;
    }
    for step in 1..=5 {
        let parts = whole.eroded((0.005 * unit).max(1.0) * step as f32).parts(size.div_ceil(5));
        if let [first, second, ..] = &parts[..] {
            return Some(shared_out(whole, first, second));
        }
    }
    None
}

/// Gives each pixel to the piece that is fewer steps away inside the part.
fn shared_out(whole: &Plane, first: &PixelRegion, second: &PixelRegion) -> [Plane; 2] {
    let w = whole.width;
    let mut halves = [whole.holding([first]), whole.holding([second])];
    let mut queue: Vec<(usize, usize)> =
        first.pixels().map(|i| (i, 0)).chain(second.pixels().map(|i| (i, 1))).collect();
    let mut open = whole.on.clone();
    queue.iter().for_each(|&(i, _)| open[i] = false);
    let mut next = 0;
    while let Some(&(i, half)) = queue.get(next) {
        next += 1;
        let (x, y) = (i % w, i / w);
        let neighbours = [(x > 0, i.wrapping_sub(1)), (x + 1 < w, i + 1), (y > 0, i.wrapping_sub(w)), (true, i + w)];
        for (_, to) in neighbours.into_iter().filter(|(exists, _)| *exists) {
            if open.get(to) == Some(&true) {
                open[to] = false;
                halves[half].on[to] = true;
                queue.push((to, half));
            }
        }
    }
    halves
}

/// The centre of gravity, in pixels.
fn centre(plane: &Plane) -> (f32, f32) {
    let (mut count, mut x, mut y) = (0, 0, 0);
    for i in plane.pixels() {
        (count, x, y) = (count + 1, x + i % plane.width, y + i / plane.width);
    }
    (x as f32 / count.max(1) as f32, y as f32 / count.max(1) as f32)
}

/// The notches of the lung's convex hull that lie beyond the lung as seen from the centre of the chest.
///
/// The chest wall is convex, so a notch there is a consolidation, an effusion or a rib; towards the heart and the hilum
/// a notch is anatomy, and some lung lies beyond it.
fn to_chest_wall(lung: &Plane, body: &Plane, centre: (f32, f32)) -> Plane {
    const RAYS: usize = 360;
    let polar = |i: usize| {
        let (dx, dy) = ((i % lung.width) as f32 - centre.0, (i / lung.width) as f32 - centre.1);
        // An angle that needs no arc tangent: 0 to 4 around the diamond |x| + |y| = 1.
        let along = dx / (dx.abs() + dy.abs()).max(f32::MIN_POSITIVE);
        let turn = if dy < 0.0 { 1.0 - along } else { 3.0 + along };
        (((turn / 4.0 * RAYS as f32) as usize).min(RAYS - 1), dx * dx + dy * dy)
    };
    let mut farthest = [0.0_f32; RAYS];
    for i in lung.rim().pixels() {
        let (ray, distance) = polar(i);
        farthest[ray] = farthest[ray].max(distance);
    }
    let mut hull = Plane::new(lung.width, lung.height);
    for (y, span) in lung.hull().into_iter().enumerate() {
        let Some((first, last)) = span else { continue };
        (y * lung.width + first..=y * lung.width + last).for_each(|i| hull.on[i] = body.on[i] && !lung.on[i]);
    }
    let is_beyond = |&i: &usize| {
        let (ray, distance) = polar(i);
        distance > farthest[ray]
    };
    let mut notches = hull.parts(1);
    notches.retain(|notch| 3 * notch.pixels().filter(is_beyond).count() >= 2 * notch.size);
    hull.holding(&notches)
}
