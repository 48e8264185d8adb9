//! The figure of a confusion matrix.

use crate::base::errors::Result;
use crate::base::escape::visible;
use crate::base::figure::{Csv, Figure, PALETTE, draw, font, ink_on, tinted};
use crate::base::progress::thousands;
use crate::base::table::percent;
use crate::stats::metrics::{ConfusionMatrix, Predicted, Truth};
use plotters::prelude::*;

/// A confusion matrix: counts and shares of each true class.
pub(crate) fn confusion(title: &str, matrix: &ConfusionMatrix) -> Result<Figure> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let classes = matrix.classes();
    let cell = 120_i32;
    let (left, top) = (130, 76);
    let size = (left + cell * classes.len() as i32 + 24, top + cell * classes.len() as i32 + 56);
    let caption = format!(
        "{} of {} correct (accuracy {}). Rows are the truth, columns the predictions; shares are of the row.",
        thousands(matrix.correct()),
        thousands(matrix.total()),
        percent(matrix.accuracy())
    );
    let figure = draw(title, &caption, (size.0.max(330) as u32, size.1 as u32), |canvas| {
        let centred = |size: u32| font(size).pos(Pos::new(HPos::Center, VPos::Center));
        let middle = left + cell * classes.len() as i32 / 2;
        canvas.draw(&Text::new(visible(title), (size.0.max(330) / 2, 18), centred(16)))?;
        canvas.draw(&Text::new("predicted", (middle, 44), centred(14)))?;
        canvas.draw(&Text::new("truth", (34, top + cell * classes.len() as i32 / 2), centred(14)))?;
        for (row, name) in classes.iter().enumerate() {
            let y = top + cell * row as i32;
            canvas.draw(&Text::new(
                visible(name),
                (left - 8, y + cell / 2),
                font(14).pos(Pos::new(HPos::Right, VPos::Center)),
            ))?;
            canvas.draw(&Text::new(visible(name), (left + cell * row as i32 + cell / 2, top - 12), centred(14)))?;
            let support: u64 = matrix.rows()[row].iter().sum();
            for column in 0..classes.len() {
                let x = left + cell * column as i32;
                let count = matrix.count(Truth(row), Predicted(column));
                let share = (support > 0).then(|| count as f64 / support as f64);
                let strength = share.unwrap_or(0.0);
                let corners = [(x, y), (x + cell, y + cell)];
                let ground = tinted(PALETTE[0], 0.06 + 0.94 * strength);
                canvas.draw(&Rectangle::new(corners, ground.filled()))?;
                canvas.draw(&Rectangle::new(corners, BLACK.mix(0.25)))?;
                let ink = ink_on(ground);
                let centre = (x + cell / 2, y + cell / 2);
                canvas.draw(&Text::new(thousands(count), (centre.0, centre.1 - 9), centred(20).color(&ink)))?;
                canvas.draw(&Text::new(percent(share), (centre.0, centre.1 + 14), centred(14).color(&ink)))?;
            }
        }
        Ok(())
    })?;
    let mut csv = Csv::new(&["truth", "predicted", "count"]);
    let mut seen = Vec::new();
    for (row, truth) in classes.iter().enumerate() {
        let of_row: Vec<String> = classes
            .iter()
            .enumerate()
            .map(|(column, predicted)| {
                let count = matrix.count(Truth(row), Predicted(column));
                csv.row(&[truth.as_str(), predicted.as_str()], &[Some(count as f64)]);
                format!("{} called {predicted}", thousands(count))
            })
            .collect();
        seen.push(format!("truth {truth}: {}", of_row.join(", ")));
    }
    figure.described(seen.join("; ")).with_numbers(csv)
}
