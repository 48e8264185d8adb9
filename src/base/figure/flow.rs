//! Flow diagrams: what was included, and what was excluded at each step.

use super::{Canvas, Figure, PALETTE, draw, text_font, title_font};
use crate::base::errors::Result;
use crate::base::escape::visible;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A box of the main line, and the box of what is excluded there; lines of text.
pub(crate) struct FlowStep {
    pub(crate) stays: Vec<String>,
    pub(crate) leaves: Vec<String>,
}

const LINE: i32 = 18;
const MAIN: i32 = 300;
const SIDE: i32 = 360;
const GAP: i32 = 34;

fn height(lines: &[String]) -> i32 {
    lines.len() as i32 * LINE + 18
}

type Painted = Result<(), Box<dyn std::error::Error>>;

fn text_box(canvas: &Canvas<'_>, (x, y): (i32, i32), width: i32, lines: &[String], colour: RGBColor) -> Painted {
    let corners = [(x, y), (x + width, y + height(lines))];
    canvas.draw(&Rectangle::new(corners, colour.mix(0.1).filled()))?;
    canvas.draw(&Rectangle::new(corners, colour.stroke_width(1)))?;
    let style = text_font().pos(Pos::new(HPos::Left, VPos::Center));
    for (number, line) in (0..).zip(lines) {
        let at = (x + 10, y + 9 + LINE / 2 + number * LINE);
        canvas.draw(&Text::new(visible(line), at, style.clone()))?;
    }
    Ok(())
}

fn arrow(canvas: &Canvas<'_>, from: (i32, i32), to: (i32, i32)) -> Painted {
    canvas.draw(&PathElement::new([from, to], BLACK.mix(0.7).stroke_width(1)))?;
    let tip = if from.0 == to.0 {
        [(to.0, to.1), (to.0 - 4, to.1 - 8), (to.0 + 4, to.1 - 8)]
    } else {
        [(to.0, to.1), (to.0 - 8, to.1 - 4), (to.0 - 8, to.1 + 4)]
    };
    Ok(canvas.draw(&Polygon::new(tip, BLACK.mix(0.7)))?)
}

/// A diagram of steps from top to bottom, and of the boxes into which the last step divides.
pub(crate) fn flow(title: &str, steps: &[FlowStep], ends: &[Vec<String>], caption: &str) -> Result<Figure> {
    let step_height =
        |step: &FlowStep| height(&step.stays).max(if step.leaves.is_empty() { 0 } else { height(&step.leaves) });
    let tallest_end = ends.iter().map(|lines| height(lines)).max().unwrap_or(0);
    let total: i32 = steps.iter().map(|step| step_height(step) + GAP).sum();
    let count = ends.len().max(1) as i32;
    let end_width = 190;
    let width = (20 + MAIN + 60 + SIDE + 10).max(20 + count * (end_width + 12));
    let size = (width as u32, (44 + total + tallest_end + 24) as u32);
    let seen: Vec<String> =
        steps.iter().flat_map(|step| [&step.stays, &step.leaves]).chain(ends).map(|of| of.join(", ")).collect();
    let figure = draw(title, caption, size, |canvas| {
        canvas.draw(&Text::new(visible(title), (20, 12), title_font()))?;
        let (mut y, middle) = (44, 20 + MAIN / 2);
        for (number, step) in steps.iter().enumerate() {
            text_box(canvas, (20, y), MAIN, &step.stays, PALETTE[0])?;
            if !step.leaves.is_empty() {
                let side = y + 14;
                arrow(canvas, (20 + MAIN, side), (20 + MAIN + 60, side))?;
                text_box(canvas, (20 + MAIN + 60, y), SIDE, &step.leaves, PALETTE[1])?;
            }
            let below = y + step_height(step) + GAP;
            if number + 1 < steps.len() || !ends.is_empty() {
                arrow(canvas, (middle, y + height(&step.stays)), (middle, below))?;
            }
            y = below;
        }
        for (number, lines) in (0..).zip(ends) {
            let x = 20 + number * (end_width + 12);
            text_box(canvas, (x, y), end_width, lines, PALETTE[2])?;
        }
        Ok(())
    })?;
    Ok(figure.described(seen.into_iter().filter(|of| !of.is_empty()).collect::<Vec<_>>().join("; ")))
}
