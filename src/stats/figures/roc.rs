//! ROC curves: sensitivity over the false positive rate.

use crate::base::errors::Result;
use crate::base::escape::visible;
use crate::base::figure::{CHART, Csv, Figure, PALETTE, draw, legend, unit_square};
use plotters::prelude::*;

/// A curve's name, its corners (1 - specificity, sensitivity), and the operating point of the decisions.
pub(crate) type Curve<'a> = (String, &'a [[f64; 2]], Option<[f64; 2]>);

/// One line for each curve with a dot at its operating point, and the diagonal of chance.
pub(crate) fn roc(title: &str, curves: &[Curve<'_>], caption: &str) -> Result<Figure> {
    let figure = draw(title, caption, (CHART, 480), |canvas| {
        let mut chart = unit_square(
            canvas,
            title,
            "1 − specificity (non-covid called covid)",
            "sensitivity (covid called covid)",
            1.02,
        )?;
        for (index, (name, corners, decided)) in curves.iter().enumerate() {
            let colour = PALETTE[index % PALETTE.len()];
            chart
                .draw_series(LineSeries::new(corners.iter().map(|&[x, y]| (x, y)), colour.stroke_width(2)))?
                .label(visible(name))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
            chart.draw_series(decided.iter().map(|&[x, y]| Circle::new((x, y), 5, colour.filled())))?;
        }
        legend(&mut chart, SeriesLabelPosition::LowerRight)?;
        Ok(())
    })?;
    let mut csv = Csv::new(&["curve", "1 - specificity", "sensitivity"]);
    for (name, corners, _) in curves {
        corners.iter().for_each(|&[x, y]| csv.row(&[name.as_str()], &[Some(x), Some(y)]));
    }
    let seen: Vec<&str> = curves.iter().map(|of| of.0.as_str()).collect();
    figure.described(seen.join("; ")).with_numbers(csv)
}
