//! Histograms.

use super::{CHART, Csv, Figure, Key, Mark, PALETTE, draw, draw_mesh, framed, range};
use crate::base::errors::{Context, Result};
use plotters::prelude::*;

/// Bars of counts, one colour a series, on common bins.
pub(crate) fn histogram(
    title: &str,
    x_label: &str,
    y_label: &str,
    series: &[(String, Vec<f64>)],
    caption: &str,
) -> Result<Figure> {
    let values = || series.iter().flat_map(|(_, values)| values.iter().copied());
    let (low, high) = range(values()).with_context(|| format!("drawing the figure {title:?}: there are no values"))?;
    let bins = 30_usize.min((high - low).ceil() as usize + 1).max(2);
    let width = (high - low) / (bins - 1) as f64;
    let edge = |bin: usize| low + (bin as f64 - 0.5) * width;
    let counted: Vec<Vec<u32>> = series
        .iter()
        .map(|(_, values)| {
            let mut counts = vec![0; bins];
            values.iter().for_each(|v| counts[(((v - low) / width).round() as usize).min(bins - 1)] += 1);
            counts
        })
        .collect();
    let tallest = counted.iter().flatten().copied().max().unwrap_or(1).max(1);
    let key = Key::of_several(Mark::Bar, series.iter().map(|(name, _)| name.as_str()), CHART);
    let figure = draw(title, caption, (CHART, 320 + key.height()), |canvas| {
        let area = key.below_title(canvas, title)?;
        let mut chart = framed(&area, 44, edge(0)..edge(bins), 0.0..f64::from(tallest) * 1.05)?;
        draw_mesh(
            chart
                .configure_mesh()
                .disable_x_mesh()
                .x_desc(x_label)
                .y_desc(y_label)
                .y_label_formatter(&|v| format!("{v:.0}"))
                // Whole numbers at the middle of their bars.
                .x_labels(((high - low) as usize + 1).clamp(2, 10))
                .x_label_formatter(&|v| if v.fract() == 0.0 { format!("{v:.0}") } else { format!("{v:.1}") }),
        )?;
        let bar = width / (series.len() as f64 + 0.4);
        for (index, counts) in counted.iter().enumerate() {
            let colour = PALETTE[index % PALETTE.len()];
            let bars = counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(bin, n)| {
                let left = edge(bin) + (index as f64 + 0.2) * bar;
                Rectangle::new([(left, 0.0), (left + bar, f64::from(*n))], colour.filled())
            });
            chart.draw_series(bars)?;
        }
        Ok(())
    })?;
    let mut csv = Csv::new(&["series", "from", "to", y_label]);
    for ((name, _), counts) in series.iter().zip(&counted) {
        for (bin, count) in counts.iter().enumerate() {
            csv.row(&[name.as_str()], &[Some(edge(bin)), Some(edge(bin + 1)), Some(f64::from(*count))]);
        }
    }
    let seen: Vec<String> = series.iter().filter_map(|(name, values)| in_words(name, values)).collect();
    figure.described(format!("{y_label} by {x_label}; {}", seen.join("; "))).with_numbers(csv)
}

/// `covid: 60 values from 4 to 12`.
fn in_words(name: &str, values: &[f64]) -> Option<String> {
    let (low, high) = range(values.iter().copied())?;
    Some(format!("{name}: {} values from {low:.0} to {high:.0}", values.len()))
}
