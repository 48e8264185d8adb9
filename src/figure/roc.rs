//! ROC curves: what finding more of the covid ones costs in false alarms.

use super::{Figure, PALETTE, draw, font};
use anyhow::Result;
use plotters::prelude::*;

/// A curve's name, its corners (1 - specificity, sensitivity), and the corner that decisions are made at.
pub(crate) type Curve<'a> = (String, &'a [[f64; 2]], Option<[f64; 2]>);

/// One line a curve, with a dot where decisions are made, over the diagonal of chance.
pub(crate) fn roc(title: &str, curves: &[Curve<'_>], caption: &str) -> Result<Figure> {
    draw(title, caption, (520, 500), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(title, font(18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(62)
            .build_cartesian_2d(0.0..1.0, 0.0..1.02)?;
        chart
            .configure_mesh()
            .x_desc("1 − specificity (non-covid called covid)")
            .y_desc("sensitivity (covid called covid)")
            .x_label_formatter(&|v| format!("{v:.1}"))
            .y_labels(11)
            .y_label_formatter(&|v| format!("{v:.1}"))
            .axis_desc_style(font(14))
            .label_style(font(13))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        chart.draw_series([PathElement::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.5).stroke_width(1))])?;
        for (index, (name, corners, decided)) in curves.iter().enumerate() {
            let colour = PALETTE[index % PALETTE.len()];
            chart
                .draw_series(LineSeries::new(corners.iter().map(|&[x, y]| (x, y)), colour.stroke_width(2)))?
                .label(name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
            chart.draw_series(decided.iter().map(|&[x, y]| Circle::new((x, y), 5, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(font(13))
            .draw()?;
        Ok(())
    })
}
