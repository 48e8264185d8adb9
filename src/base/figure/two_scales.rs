//! Two lines over one axis, each with a scale of its own.

use super::{CHART, Csv, Figure, Key, Mark, PALETTE, draw, draw_mesh, text_font};
use crate::base::errors::{Result, ensure};
use plotters::prelude::*;

/// A line, the text beside its scale, and the highest value of the scale, which begins at 0.
pub(crate) struct ScaledLine<'a> {
    pub(crate) name: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) top: f64,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Two lines, the scale of the first on the left, that of the second on the right.
///
/// # Errors
/// A line without points.
pub(crate) fn two_scales(
    title: &str,
    x_label: &str,
    left: &ScaledLine<'_>,
    right: &ScaledLine<'_>,
    caption: &str,
) -> Result<Figure> {
    let x = || left.points.iter().chain(&right.points).map(|point| point.0);
    let (low, high) = x().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    ensure!(low <= high, "drawing the figure {title:?}: there are no values");
    let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
    let key = Key::of_several(Mark::Line, [left.name, right.name].into_iter(), CHART);
    let figure = draw(title, caption, (CHART, 320 + key.height()), |canvas| {
        let area = key.below_title(canvas, title)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .margin_top(8)
            .x_label_area_size(44)
            .y_label_area_size(62)
            .right_y_label_area_size(62)
            .build_cartesian_2d(low..high, 0.0..left.top)?
            .set_secondary_coord(low..high, 0.0..right.top);
        draw_mesh(
            chart
                .configure_mesh()
                .x_desc(x_label)
                .y_desc(left.y_label)
                .x_label_formatter(&|v| format!("{v:.0}"))
                .y_label_formatter(&|v| number(*v, left.top)),
        )?;
        chart
            .configure_secondary_axes()
            .y_desc(right.y_label)
            .y_label_formatter(&|v| number(*v, right.top))
            .axis_desc_style(text_font())
            .label_style(text_font())
            .draw()?;
        let [first, second] = [PALETTE[0], PALETTE[1]];
        chart.draw_series(LineSeries::new(left.points.iter().copied(), first.stroke_width(2)))?;
        chart.draw_secondary_series(LineSeries::new(right.points.iter().copied(), second.stroke_width(2)))?;
        Ok(())
    })?;
    let mut csv = Csv::new(&["series", x_label, "value"]);
    for line in [left, right] {
        line.points.iter().for_each(|point| csv.row(&[line.name], &[Some(point.0), Some(point.1)]));
    }
    let seen = format!("{} and {} over {x_label}, {} points", left.name, right.name, left.points.len());
    figure.described(seen).with_numbers(csv)
}

/// A number beside a scale with this highest value.
fn number(value: f64, top: f64) -> String {
    if top > 5.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_scales_are_named_and_nothing_is_no_figure() {
        let line =
            |name, y_label, top, points: &[(f64, f64)]| ScaledLine { name, y_label, top, points: points.to_vec() };
        let left = line("weight", "even share = 1", 9.0, &[(1.0, 0.5), (2.0, 9.0)]);
        let right = line("probability", "of covid", 1.0, &[(1.0, 0.2), (2.0, 0.9)]);
        let figure = two_scales("Two", "slice", &left, &right, "A caption.").expect("draws");
        for text in ["weight", "even share = 1", "probability", "of covid", "slice"] {
            assert!(figure.svg().contains(text), "{text}");
        }
        let empty = line("weight", "", 1.0, &[]);
        let error = two_scales("Two", "slice", &empty, &empty, "").expect_err("nothing to draw").to_string();
        assert!(error.contains("there are no values"), "{error}");
    }
}
