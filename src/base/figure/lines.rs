//! Lines over one axis.

use super::{CHART, Csv, Figure, Key, Mark, PALETTE, draw, draw_mesh, framed, range};
use crate::base::errors::{Context, Result};
use crate::base::progress::counted;
use plotters::prelude::*;

/// Lines through points, one colour a series; from `y.0` to `y.1`, so that figures can be compared, or as far as the values go.
pub(crate) fn lines(
    title: &str,
    x_label: &str,
    (y_label, y): (&str, Option<(f64, f64)>),
    series: &[(String, Vec<(f64, f64)>)],
    caption: &str,
) -> Result<Figure> {
    let nothing = || format!("drawing the figure {title:?}: there are no values");
    let points = || series.iter().flat_map(|(_, points)| points.iter());
    let x = range(points().map(|p| p.0)).with_context(nothing)?;
    let found = range(points().map(|p| p.1)).with_context(nothing)?;
    let (y, room) = y.map_or((found, 0.06 * (found.1 - found.0)), |y| (y, 0.0));
    let key = Key::of_several(Mark::Line, series.iter().map(|(name, _)| name.as_str()), CHART);
    let figure = draw(title, caption, (CHART, 320 + key.height()), |canvas| {
        let area = key.below_title(canvas, title)?;
        let mut chart = framed(&area, 44, x.0..x.1, y.0 - room..y.1 + room)?;
        let whole = x.1 - x.0 <= 20.0 && points().all(|p| p.0.fract() == 0.0);
        draw_mesh(
            chart
                .configure_mesh()
                .x_desc(x_label)
                .y_desc(y_label)
                .y_label_formatter(&|v| format!("{v:.2}"))
                .x_labels(if whole { (x.1 - x.0) as usize + 1 } else { 9 })
                .x_label_formatter(&|v| if whole || v.abs() >= 10.0 { format!("{v:.0}") } else { format!("{v:.2}") }),
        )?;
        for ((_, points), colour) in series.iter().zip(PALETTE.into_iter().cycle()) {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            if points.len() <= 20 {
                chart.draw_series(points.iter().map(|p| Circle::new(*p, 3, colour.filled())))?;
            }
        }
        Ok(())
    })?;
    let mut csv = Csv::new(&["series", x_label, y_label]);
    for (name, points) in series {
        points.iter().for_each(|point| csv.row(&[name.as_str()], &[Some(point.0), Some(point.1)]));
    }
    let seen: Vec<String> = series.iter().filter_map(|(name, points)| in_words(name, points)).collect();
    figure.described(format!("{y_label} over {x_label}; {}", seen.join("; "))).with_numbers(csv)
}

/// `validation: 4 points, from 0.51 at 1 to 0.83 at 4`.
fn in_words(name: &str, points: &[(f64, f64)]) -> Option<String> {
    let (first, last) = (points.first()?, points.last()?);
    let count = counted(points.len() as u64, "point");
    Some(format!("{name}: {count}, from {:.3} at {} to {:.3} at {}", first.1, first.0, last.1, last.0))
}
