//! Reliability diagrams: how often it is what the network says it is.

use super::{Figure, PALETTE, draw, font, legend_share};
use crate::calibration::Calibration;
use anyhow::Result;
use plotters::prelude::*;

/// One line of points a calibration, with intervals, over the diagonal.
pub(crate) fn reliability(title: &str, series: &[(&str, &Calibration)], caption: &str) -> Result<Figure> {
    draw(title, caption, (520, 500), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(title, font(18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(62)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0 + legend_share(series.len(), 340))?;
        chart
            .configure_mesh()
            .x_desc("predicted probability of covid")
            .y_desc("share that is covid")
            .x_label_formatter(&|v| format!("{v:.1}"))
            .y_labels(11)
            .y_label_formatter(&|v| if *v > 1.01 { String::new() } else { format!("{v:.1}") })
            .axis_desc_style(font(14))
            .label_style(font(13))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        chart.draw_series([PathElement::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.5).stroke_width(1))])?;
        for (index, (name, calibration)) in series.iter().enumerate() {
            let colour = PALETTE[index % PALETTE.len()];
            let bins =
                || calibration.bins.iter().filter_map(|bin| Some((bin.predicted?, bin.observed?, bin.interval?)));
            let points: Vec<(f64, f64)> = bins().map(|(x, y, _)| (x, y)).collect();
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
            chart.draw_series(points.iter().map(|p| Circle::new(*p, 4, colour.filled())))?;
            chart.draw_series(bins().map(|(x, _, interval)| {
                PathElement::new([(x, interval.low), (x, interval.high)], colour.mix(0.6).stroke_width(1))
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(font(13))
            .draw()?;
        Ok(())
    })
}
