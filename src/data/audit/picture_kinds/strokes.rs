//! Text and markers that were drawn into a slice, in the air around the body: strokes of the brightest level with sharp
//! edges, as high as letters.

use super::{Check, PictureView, SIDE};
use crate::data::audit::fields::{FieldParts, Fields, bits};

/// One connected group of bright pixels that could be a letter.
#[derive(Debug, Clone, Copy)]
struct Glyph {
    left: usize,
    bottom: usize,
    width: usize,
    height: usize,
    /// It has strokes as letters do: two in several rows, or a straight one along its height and one along its width.
    is_letter: bool,
    /// Nothing else is bright as far away as it is high.
    is_alone: bool,
}

/// Groups looked at in one picture.
const MOST: usize = 100;
/// Pixels of one.
const LARGEST: usize = 400;

/// Letters in a line, or a single one close to the border.
pub(super) fn annotation(view: &PictureView<'_>) -> Option<(Check, String)> {
    let (width, height) = (view.image.width as usize, view.image.height as usize);
    let glyphs = glyphs(view);
    // Letters of one line stand on it, and are about as high as each other.
    let line_of = |first: &Glyph| {
        let in_line = |other: &&Glyph| {
            other.bottom.abs_diff(first.bottom) <= (first.height / 5).max(2)
                && other.height * 10 >= first.height * 6
                && other.height * 10 <= first.height * 16
                && (first.left..=first.left + 8 * first.height).contains(&other.left)
        };
        glyphs.iter().filter(in_line).count()
    };
    let at = |glyph: &Glyph| format!("column {}, row {}", glyph.left, glyph.bottom + 1 - glyph.height);
    if let Some(first) = glyphs.iter().max_by_key(|glyph| line_of(glyph)).filter(|glyph| line_of(glyph) >= 3) {
        let detail = format!("{} strokes like letters in a line, at {}", line_of(first), at(first));
        return Some((Check::Annotated, detail));
    }
    let is_marker = |glyph: &&Glyph| {
        let (x, y) = (glyph.left + glyph.width / 2, glyph.bottom - glyph.height / 2);
        let close = x.min(width - 1 - x) * 7 < width || y.min(height - 1 - y) * 7 < height;
        close && glyph.is_letter && glyph.is_alone && glyph.height >= 8
    };
    let marker = glyphs.iter().find(is_marker)?;
    Some((Check::Annotated, format!("a stroke like a letter close to the border, at {}", at(marker))))
}

/// Bright groups in the air.
fn glyphs(view: &PictureView<'_>) -> Vec<Glyph> {
    let brightest = view.level(0.999).max(view.brightest().saturating_sub(8));
    // A dark slice has no level that stands out.
    if brightest < 100 {
        return Vec::new();
    }
    let bright = (0.7 * f32::from(brightest)) as u8;
    let (width, height) = (view.image.width as usize, view.image.height as usize);
    let air = widened(&air(view, 0.25 * f32::from(brightest)));
    let mut search = Search { view, bright, brightest, seen: Vec::new(), found: Vec::new(), tried: 0 };
    for y in (0..height).step_by(4) {
        let row = &view.image.pixels[y * width..(y + 1) * width];
        let mut fields = air[(y * SIDE / height).min(SIDE - 1)];
        let mut first = 0;
        while fields != 0 {
            let begin = first + fields.trailing_zeros();
            fields >>= fields.trailing_zeros();
            let length = fields.trailing_ones();
            fields = fields.checked_shr(length).unwrap_or(0);
            first = begin + length;
            let part = begin as usize * width / SIDE..first as usize * width / SIDE;
            // A fold of bytes is vectorised, a search is not.
            if row[part.clone()].iter().fold(0, |most, level| most.max(*level)) >= bright {
                search.row(y, part);
            }
        }
    }
    search.found
}

/// Fields of the thumbnail that are connected with the border by fields darker than a level.
fn air(view: &PictureView<'_>, level: f32) -> Fields {
    let rows = &view.thumbnail.0;
    let dark: Fields = std::array::from_fn(|y| bits(|x| rows[y][x] < level));
    FieldParts::of(&dark).fields(|_, part| part.touches_border())
}

/// With the fields beside: a stroke may fill a field.
fn widened(air: &Fields) -> Fields {
    let wide = air.map(|row| row | row << 1 | row >> 1);
    std::array::from_fn(|y| wide[y] | wide[y.saturating_sub(1)] | wide[(y + 1).min(SIDE - 1)])
}

struct Search<'a> {
    view: &'a PictureView<'a>,
    bright: u8,
    brightest: u8,
    /// A bit for each pixel: it belongs to a group that was looked at.
    seen: Vec<u64>,
    found: Vec<Glyph>,
    tried: usize,
}

impl Search<'_> {
    fn pixel(&self, x: usize, y: usize) -> u8 {
        self.view.image.pixels[y * self.view.image.width as usize + x]
    }

    fn is_seen(&self, place: usize) -> bool {
        self.seen.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }

    /// Follows the short bright runs of a part of a row.
    fn row(&mut self, y: usize, part: std::ops::Range<usize>) {
        let width = self.view.image.width as usize;
        let most = (width / 20).max(8);
        let mut x = part.start;
        while x < part.end && self.tried < MOST {
            // Blocks of dark pixels are left out at once.
            let row = &self.view.image.pixels[y * width..y * width + part.end];
            let is_dark = |block: &[u8; 16]| block.iter().fold(0, |most, level| most.max(*level)) < self.bright;
            x += 16 * row[x..].as_chunks().0.iter().take_while(|block| is_dark(block)).count();
            x += row[x..].iter().take_while(|level| **level < self.bright).count();
            if x >= part.end {
                break;
            }
            let length = (x..width).take_while(|x| self.pixel(*x, y) >= self.bright).take(most + 1).count();
            let is_dark = |x: usize| x >= width || f32::from(self.pixel(x, y)) <= 0.35 * f32::from(self.brightest);
            let is_stroke = length <= most && is_dark(x.saturating_sub(3)) && is_dark(x + length + 2);
            if is_stroke && !self.is_seen(y * width + x) {
                self.tried += 1;
                self.follow(x, y);
            }
            x += length;
            // Of a longer run, the body's, nothing is a stroke.
            while length > most && x < part.end && self.pixel(x, y) >= self.bright {
                x += 1;
            }
        }
    }

    /// Collects the group of a pixel, and keeps it where it could be a letter.
    fn follow(&mut self, x: usize, y: usize) {
        let (width, height) = (self.view.image.width as usize, self.view.image.height as usize);
        let (widest, highest) = ((width / 10).max(14), (height / 10).max(12));
        let (mut left, mut right, mut top, mut bottom) = (x, x, y, y);
        // Most slices have nothing to follow.
        self.seen.resize((width * height).div_ceil(64), 0);
        let mut group = Vec::new();
        let mut open = vec![(x, y)];
        while let Some((x, y)) = open.pop() {
            let place = y * width + x;
            if self.is_seen(place) {
                continue;
            }
            self.seen[place / 64] |= 1 << (place % 64);
            group.push((x, y));
            (left, right, top, bottom) = (left.min(x), right.max(x), top.min(y), bottom.max(y));
            if right - left >= widest || bottom - top >= highest || group.len() > LARGEST {
                return;
            }
            for y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                let near = x.saturating_sub(1)..=(x + 1).min(width - 1);
                open.extend(near.map(|x| (x, y)).filter(|(x, y)| self.pixel(*x, *y) >= self.bright));
            }
        }
        let shape = Shape::of(&group, (left, top), (right, bottom));
        if shape.height >= 5 && self.is_sharp(&group, &shape) {
            let is_letter = shape.is_letter();
            let is_alone = is_letter && self.is_alone(&shape);
            self.found.push(Glyph { left, bottom, width: shape.width, height: shape.height, is_letter, is_alone });
        }
    }

    /// Dark all around: bones and couches have brighter things beside them.
    fn is_alone(&self, shape: &Shape) -> bool {
        let (width, height) = (self.view.image.width as usize, self.view.image.height as usize);
        let ((left, top), reach) = (shape.corner, shape.height);
        let (mut bright, mut all) = (0, 0);
        for y in top.saturating_sub(reach)..(top + shape.height + reach).min(height) {
            for x in left.saturating_sub(reach)..(left + shape.width + reach).min(width) {
                if shape.is_away(x, y) {
                    all += 1;
                    bright += usize::from(f32::from(self.pixel(x, y)) > 0.3 * f32::from(self.brightest));
                }
            }
        }
        bright * 20 <= all
    }

    /// Bright in itself, and dark two pixels beside it.
    fn is_sharp(&self, group: &[(usize, usize)], shape: &Shape) -> bool {
        let (width, height) = (self.view.image.width as usize, self.view.image.height as usize);
        let mut inside: Vec<u8> = group.iter().map(|(x, y)| self.pixel(*x, *y)).collect();
        inside.sort_unstable();
        let (left, top) = shape.corner;
        let mut around = Vec::new();
        for y in top.saturating_sub(2)..(top + shape.height + 2).min(height) {
            for x in left.saturating_sub(2)..(left + shape.width + 2).min(width) {
                if shape.is_away(x, y) {
                    around.push(self.pixel(x, y));
                }
            }
        }
        around.sort_unstable();
        let share =
            |sorted: &[u8], hundredth: usize| sorted.get(sorted.len() * hundredth / 100).copied().map(f32::from);
        let brightest = f32::from(self.brightest);
        share(&inside, 75).is_some_and(|level| level >= 0.85 * brightest)
            && share(&around, 90).is_some_and(|level| level <= 0.35 * brightest)
    }
}

/// The pixels of a group in its box.
struct Shape {
    corner: (usize, usize),
    width: usize,
    height: usize,
    filled: Vec<bool>,
    /// The group and what is beside it, in a box that is one wider on every side.
    near: Vec<bool>,
}

impl Shape {
    fn of(group: &[(usize, usize)], corner: (usize, usize), opposite: (usize, usize)) -> Self {
        let (width, height) = (opposite.0 + 1 - corner.0, opposite.1 + 1 - corner.1);
        let mut filled = vec![false; width * height];
        let mut near = vec![false; (width + 2) * (height + 2)];
        for (x, y) in group.iter().map(|(x, y)| (x - corner.0, y - corner.1)) {
            filled[y * width + x] = true;
            (y..y + 3).for_each(|y| near[y * (width + 2)..][x..x + 3].fill(true));
        }
        Self { corner, width, height, filled, near }
    }

    /// Neither in the group nor beside it.
    fn is_away(&self, x: usize, y: usize) -> bool {
        let (x, y) = ((x + 1).checked_sub(self.corner.0), (y + 1).checked_sub(self.corner.1));
        let is_near = |(x, y)| x < self.width + 2 && y < self.height + 2 && self.near[y * (self.width + 2) + x];
        !x.zip(y).is_some_and(is_near)
    }

    fn is_letter(&self) -> bool {
        let count = self.filled.iter().filter(|filled| **filled).count();
        let fill = count as f32 / (self.width * self.height) as f32;
        let runs = |row: &[bool]| row.split(|filled| !filled).filter(|run| !run.is_empty()).count();
        let doubled = self.filled.chunks_exact(self.width).filter(|row| runs(row) >= 2).count();
        let along_row = |row: &[bool]| row.iter().filter(|filled| **filled).count() * 10 >= 9 * self.width;
        let full_row = self.filled.chunks_exact(self.width).any(along_row);
        let in_column = |x: usize| (0..self.height).filter(|y| self.filled[y * self.width + x]).count();
        let full_column = (0..self.width).any(|x| in_column(x) * 10 >= 9 * self.height);
        self.width >= 4 && (0.15..=0.8).contains(&fill) && (doubled >= 3 || full_row && full_column)
    }
}
