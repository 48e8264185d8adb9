//! ROC curves: sensitivity over the false positive rate.

use crate::base::errors::Result;
use crate::base::figure::{CHART, Csv, Figure, Key, Mark, PALETTE, draw, unit_square};
use plotters::prelude::*;

/// A curve's name, its corners (1 - specificity, sensitivity), and the operating point of the decisions.
pub(crate) type Curve<'a> = (String, &'a [[f64; 2]], Option<[f64; 2]>);

/// One line for each curve with a dot at its operating point, and the diagonal of chance.
pub(crate) fn roc(title: &str, curves: &[Curve<'_>], caption: &str) -> Result<Figure> {
    let key = Key::new(curves.iter().map(|(name, ..)| (Mark::Line, name.as_str())), CHART);
    let figure = draw(title, caption, (CHART, 460 + key.height()), |canvas| {
        let area = key.below_title(canvas, title)?;
        let mut chart =
            unit_square(&area, "1 − specificity (non-covid called covid)", "sensitivity (covid called covid)")?;
        for ((_, corners, decided), colour) in curves.iter().zip(PALETTE.into_iter().cycle()) {
            chart.draw_series(LineSeries::new(corners.iter().map(|&[x, y]| (x, y)), colour.stroke_width(2)))?;
            chart.draw_series(decided.iter().map(|&[x, y]| Circle::new((x, y), 5, colour.filled())))?;
        }
        Ok(())
    })?;
    let mut csv = Csv::new(&["curve", "1 - specificity", "sensitivity"]);
    for (name, corners, _) in curves {
        corners.iter().for_each(|&[x, y]| csv.row(&[name.as_str()], &[Some(x), Some(y)]));
    }
    let seen: Vec<&str> = curves.iter().map(|of| of.0.as_str()).collect();
    figure.described(seen.join("; ")).with_numbers(csv)
}
