//! Bars in groups, with their intervals.

use super::{Figure, PALETTE, draw, font, legend};
use anyhow::{Result, ensure};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// One bar.
pub(crate) struct Bar {
    /// What stands under the group it belongs to.
    pub(crate) group: String,
    /// Which colour it has, in every group.
    pub(crate) series: String,
    pub(crate) value: f64,
    /// Its interval, low and high.
    pub(crate) interval: Option<(f64, f64)>,
}

/// Names in order of their first appearance.
fn names<'a>(all: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut found = Vec::new();
    all.for_each(|name| {
        if !found.contains(&name) {
            found.push(name);
        }
    });
    found
}

/// Bars side by side in groups, one colour a series, on an axis from `range.0` to `range.1` and standing on 0 where it lies
/// between; `line` is a value to hold them
/// against, with its name.
pub(crate) fn bars(
    title: &str,
    y_label: &str,
    range: (f64, f64),
    line: Option<(f64, &str)>,
    bars: &[Bar],
    caption: &str,
) -> Result<Figure> {
    ensure!(!bars.is_empty(), "drawing the figure {title:?}: there are no values");
    let (groups, series) = (names(bars.iter().map(|b| &b.group)), names(bars.iter().map(|b| &b.series)));
    let room = if series.len() > 1 { 0.22 } else { 0.06 } * (range.1 - range.0);
    let each = if series.len() > 1 { 190 } else { 90 };
    let width = (groups.len() as u32 * each + 120).max(480);
    // Room at the right for the name of the line.
    let beside = if line.is_some() { 80.0 / f64::from(each) } else { 0.0 };
    let place = |bar: &Bar| {
        let group = groups.iter().position(|name| **name == bar.group).unwrap_or(0) as f64;
        let column = series.iter().position(|name| **name == bar.series).unwrap_or(0) as f64;
        let each = 0.8 / series.len() as f64;
        (group - 0.4 + column * each + 0.04, group - 0.4 + (column + 1.0) * each - 0.04)
    };
    draw(title, caption, (width, 400), |canvas| {
        let last = groups.len() as f64 - 0.5;
        let x = -0.5..last + beside;
        let mut chart = ChartBuilder::on(canvas)
            .caption(title, font(18))
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(62)
            .build_cartesian_2d(x.clone(), range.0..range.1 + room)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .y_desc(y_label)
            .y_label_formatter(&|v| match v {
                // The room above the range is the legend's.
                v if *v > range.1 + 1e-9 => String::new(),
                v if range.1 - range.0 > 5.0 => format!("{v:.0}"),
                v => format!("{v:.2}"),
            })
            .axis_desc_style(font(14))
            .label_style(font(13))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        for (index, name) in series.iter().enumerate() {
            let colour = PALETTE[index % PALETTE.len()];
            let of_series = || bars.iter().filter(|bar| bar.series == **name);
            chart
                .draw_series(of_series().map(|bar| {
                    let (left, right) = place(bar);
                    Rectangle::new([(left, range.0.max(0.0)), (right, bar.value)], colour.filled())
                }))?
                .label(name.as_str())
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
            for bar in of_series() {
                let (left, right) = place(bar);
                let middle = (left + right) / 2.0;
                let top = bar.interval.map_or(bar.value, |interval| interval.1.max(bar.value));
                if let Some((low, high)) = bar.interval {
                    chart.draw_series([PathElement::new([(middle, low), (middle, high)], BLACK.stroke_width(2))])?;
                }
                let style = font(13).pos(Pos::new(HPos::Center, VPos::Bottom));
                let said =
                    if range.1 - range.0 > 5.0 { format!("{:.1}", bar.value) } else { format!("{:.3}", bar.value) };
                chart.draw_series([Text::new(said, (middle, top + 0.01 * (range.1 - range.0)), style)])?;
            }
        }
        if let Some((value, name)) = line {
            chart
                .draw_series([PathElement::new([(x.start, value), (x.end, value)], BLACK.mix(0.6).stroke_width(1))])?;
            let style = font(12).pos(Pos::new(HPos::Right, VPos::Bottom));
            chart.draw_series([Text::new(name.to_owned(), (x.end, value), style)])?;
        }
        for (index, name) in groups.iter().enumerate() {
            let at = chart.backend_coord(&(index as f64, range.0));
            let style = font(13).pos(Pos::new(HPos::Center, VPos::Top));
            canvas.draw(&Text::new((*name).clone(), (at.0, at.1 + 8), style))?;
        }
        if series.len() > 1 {
            legend(&mut chart, SeriesLabelPosition::UpperRight)?;
        }
        Ok(())
    })
}
