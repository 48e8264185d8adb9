//! The names of a chart's series, between its title and the chart, where they cover no data.

use super::{AXIS, Canvas, PALETTE, text_font, title_font};
use crate::base::escape::visible;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mark {
    Line,
    Bar,
    Point,
    Cross,
}

/// Height of a row of names, and the width of a mark with the room around it, in pixels.
const ROW: u32 = 20;
const MARK: u32 = 24;
const BETWEEN: u32 = 18;
/// Width of a letter in pixels, about.
const LETTER: f64 = 0.56 * AXIS as f64;
/// Where names begin: above the left end of the axis.
const LEFT: u32 = 74;

/// Names of series with their marks in the colours of [`PALETTE`], in as many rows as they need.
pub(crate) struct Key(Vec<Vec<KeyEntry>>);

struct KeyEntry {
    mark: Mark,
    name: String,
    colour: RGBColor,
    /// Where it begins, in pixels.
    x: u32,
}

impl Key {
    /// In a figure that is so many pixels wide; without names nothing is drawn.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = (Mark, &'n str)>, figure: u32) -> Self {
        let (mut rows, mut x) = (Vec::<Vec<KeyEntry>>::new(), LEFT);
        for ((mark, name), colour) in names.into_iter().zip(PALETTE.into_iter().cycle()) {
            let name = shortened(&visible(name), figure);
            let width = MARK + (LETTER * name.chars().count() as f64) as u32;
            if rows.is_empty() || (x > LEFT && x + width > figure) {
                rows.push(Vec::new());
                x = LEFT;
            }
            if let Some(row) = rows.last_mut() {
                row.push(KeyEntry { mark, name, colour, x });
            }
            x += width + BETWEEN;
        }
        Self(rows)
    }

    /// Of series that are drawn alike. A single one needs no name: the axis has it.
    pub(crate) fn of_several<'n>(mark: Mark, names: impl ExactSizeIterator<Item = &'n str>, figure: u32) -> Self {
        let several = names.len() > 1;
        Self::new(names.filter(|_| several).map(|name| (mark, name)), figure)
    }

    /// Pixels that the names take.
    pub(crate) fn height(&self) -> u32 {
        ROW * self.0.len() as u32
    }

    /// Draws the title with the names below it, and returns what is left for the chart.
    pub(crate) fn below_title<'svg>(
        &self,
        canvas: &Canvas<'svg>,
        title: &str,
    ) -> Result<Canvas<'svg>, Box<dyn std::error::Error>> {
        let (names, chart) =
            canvas.margin(10, 0, 0, 0).titled(&visible(title), title_font())?.split_vertically(self.height());
        for (row, entries) in self.0.iter().enumerate() {
            let y = (ROW * row as u32 + ROW / 2) as i32;
            for entry in entries {
                let (x, colour) = (entry.x as i32, entry.colour);
                match entry.mark {
                    Mark::Line => names.draw(&PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)))?,
                    Mark::Bar => names.draw(&Rectangle::new([(x + 2, y - 5), (x + 16, y + 5)], colour.filled()))?,
                    Mark::Point => names.draw(&Circle::new((x + 9, y), 4, colour.filled()))?,
                    Mark::Cross => names.draw(&Cross::new((x + 9, y), 4, colour.stroke_width(2)))?,
                }
                let style = text_font().pos(Pos::new(HPos::Left, VPos::Center));
                names.draw(&Text::new(entry.name.as_str(), (x + MARK as i32, y), style))?;
            }
        }
        Ok(chart)
    }
}

/// As much of a name as fits into one row.
fn shortened(name: &str, figure: u32) -> String {
    let most = (f64::from(figure.saturating_sub(LEFT + MARK)) / LETTER) as usize;
    match name.char_indices().nth(most) {
        None => name.to_owned(),
        Some(_) => name.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_as_many_rows_as_they_need() {
        let rows = |names: &[&str]| {
            let key = Key::new(names.iter().map(|name| (Mark::Line, *name)), 500);
            key.0.iter().map(|row| row.len()).collect::<Vec<_>>()
        };
        assert_eq!(rows(&[]), [0; 0]);
        assert_eq!(rows(&["train", "validation"]), [2]);
        assert_eq!(
            rows(&["a name of forty letters or thereabouts", "another of forty letters or thereabouts"]),
            [1, 1]
        );
        let long = shortened(&"x".repeat(200), 500);
        assert!(long.ends_with('…') && long.chars().count() == 51, "{long}");
        assert_eq!(Key::of_several(Mark::Line, ["train"].into_iter(), 500).height(), 0);
        assert_eq!(Key::of_several(Mark::Line, ["train", "validation"].into_iter(), 500).height(), ROW);
    }
}
