//! Reliability diagrams: observed frequencies over predicted probabilities.

use crate::base::errors::Result;
use crate::base::figure::{CHART, Csv, Figure, Key, Mark, PALETTE, draw, unit_square};
use crate::stats::calibration::Calibration;
use plotters::prelude::*;

/// One line of points with intervals for each calibration, and the diagonal.
pub(crate) fn reliability(title: &str, series: &[(&str, &Calibration)], caption: &str) -> Result<Figure> {
    let key = Key::new(series.iter().map(|(name, _)| (Mark::Line, *name)), CHART);
    let figure = draw(title, caption, (CHART, 460 + key.height()), |canvas| {
        let area = key.below_title(canvas, title)?;
        let mut chart = unit_square(&area, "predicted probability of covid", "share that is covid")?;
        for ((_, calibration), colour) in series.iter().zip(PALETTE.into_iter().cycle()) {
            let bins =
                || calibration.bins.iter().filter_map(|bin| Some((bin.predicted?, bin.observed?, bin.interval?)));
            let points: Vec<(f64, f64)> = bins().map(|(x, y, _)| (x, y)).collect();
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(points.iter().map(|p| Circle::new(*p, 4, colour.filled())))?;
            chart.draw_series(bins().map(|(x, _, interval)| {
                PathElement::new([(x, interval.low), (x, interval.high)], colour.mix(0.6).stroke_width(1))
            }))?;
        }
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
