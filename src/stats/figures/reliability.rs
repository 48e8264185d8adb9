//! Reliability diagrams: observed frequencies over predicted probabilities.

use crate::base::errors::Result;
use crate::base::figure::{CHART, Csv, Figure, PALETTE, draw, legend, legend_share, unit_square};
use crate::stats::calibration::Calibration;
use plotters::prelude::*;

/// One line of points with intervals for each calibration, and the diagonal.
pub(crate) fn reliability(title: &str, series: &[(&str, &Calibration)], caption: &str) -> Result<Figure> {
    let figure = draw(title, caption, (CHART, 480), |canvas| {
        let mut chart = unit_square(
            canvas,
            title,
            "predicted probability of covid",
            "share that is covid",
            1.0 + legend_share(series.len(), 330),
        )?;
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
        legend(&mut chart, SeriesLabelPosition::UpperLeft)?;
        Ok(())
    })?;
    let mut csv = Csv::new(&["probabilities", "predicted", "observed", "low", "high", "samples"]);
    let mut seen = Vec::new();
    for (name, of) in series {
        for bin in &of.bins {
            let (low, high) = (bin.interval.map(|of| of.low), bin.interval.map(|of| of.high));
            csv.row(&[name], &[bin.predicted, bin.observed, low, high, Some(bin.count as f64)]);
        }
        seen.push(format!("{name}: {} samples, expected calibration error {:.3}", of.samples, of.expected_error));
    }
    figure.described(seen.join("; ")).with_numbers(csv)
}
