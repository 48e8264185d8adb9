//! Grouped bar charts with intervals.

use super::{Canvas, Chart, Csv, Figure, Key, Mark, PALETTE, draw, draw_mesh, framed, text_font};
use crate::base::errors::{Result, ensure};
use crate::base::escape::visible;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// One bar.
pub(crate) struct Bar {
    /// The name below its group.
    pub(crate) group: String,
    /// The series, which has one colour in all groups.
    pub(crate) series: String,
    pub(crate) value: f64,
    /// Its interval, low and high.
    pub(crate) interval: Option<(f64, f64)>,
}

/// Bars side by side in groups, one colour for each series. The axis goes from `range.0` to `range.1`; bars start at 0 if
/// it lies between. `line` is a value to compare the bars with, and its name.
pub(crate) fn bars(
    title: &str,
    y_label: &str,
    range: (f64, f64),
    line: Option<(f64, &str)>,
    bars: &[Bar],
    caption: &str,
) -> Result<Figure> {
    ensure!(!bars.is_empty(), "drawing the figure {title:?}: there are no values");
    let plot = Plot::new(range, bars);
    // Room at the right for the name of the line.
    let right = if line.is_some() { 80.0 / f64::from(plot.group_pixels()) } else { 0.0 };
    let x = -0.5..plot.groups.len() as f64 - 0.5 + right;
    let key = Key::of_several(Mark::Bar, plot.series.iter().copied(), plot.width());
    let figure = draw(title, caption, (plot.width(), 380 + key.height()), |canvas| {
        // Values stand above their bars, of which the highest may end where the axis does.
        let area = key.below_title(canvas, title)?.margin(14, 0, 0, 0);
        let mut chart = framed(&area, 34, x.clone(), range.0..range.1)?;
        plot.draw_axes(&mut chart, y_label)?;
        for index in 0..plot.series.len() {
            plot.draw_series(&mut chart, index)?;
        }
        if let Some((value, name)) = line {
            let stroke = BLACK.mix(0.6).stroke_width(1);
            chart.draw_series([PathElement::new([(x.start, value), (x.end, value)], stroke)])?;
            let style = text_font().pos(Pos::new(HPos::Right, VPos::Bottom));
            chart.draw_series([Text::new(visible(name), (x.end, value), style)])?;
        }
        plot.draw_group_names(canvas, &chart)?;
        Ok(())
    })?;
    let mut csv = Csv::new(&["group", "series", y_label, "low", "high"]);
    for bar in bars {
        let (low, high) = (bar.interval.map(|of| of.0), bar.interval.map(|of| of.1));
        csv.row(&[bar.group.as_str(), bar.series.as_str()], &[Some(bar.value), low, high]);
    }
    let seen: Vec<String> = bars.iter().map(|bar| plot.in_words(bar)).collect();
    figure.described(format!("{y_label}; {}", seen.join("; "))).with_numbers(csv)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The bars with the names of their groups and series, each in order of first appearance. Group `i` is drawn around
/// x = `i`.
struct Plot<'a> {
    range: (f64, f64),
    bars: &'a [Bar],
    groups: Vec<&'a str>,
    series: Vec<&'a str>,
}

impl<'a> Plot<'a> {
    fn new(range: (f64, f64), bars: &'a [Bar]) -> Self {
        let groups = distinct(bars.iter().map(|bar| bar.group.as_str()));
        let series = distinct(bars.iter().map(|bar| bar.series.as_str()));
        Self { range, bars, groups, series }
    }

    /// Width of a group in pixels.
    fn group_pixels(&self) -> u32 {
        if self.series.len() > 1 { 190 } else { 90 }
    }

    /// Width of the figure in pixels.
    fn width(&self) -> u32 {
        (self.groups.len() as u32 * self.group_pixels() + 120).max(480)
    }

    fn span(&self) -> f64 {
        self.range.1 - self.range.0
    }

    /// Left and right edge of a bar.
    fn edges(&self, bar: &Bar) -> (f64, f64) {
        let group = self.groups.iter().position(|name| *name == bar.group).unwrap_or(0) as f64;
        let column = self.series.iter().position(|name| *name == bar.series).unwrap_or(0) as f64;
        let width = 0.8 / self.series.len() as f64;
        (group - 0.4 + column * width + 0.04, group - 0.4 + (column + 1.0) * width - 0.04)
    }

    fn axis_label(&self, value: f64) -> String {
        if self.span() > 5.0 { format!("{value:.0}") } else { format!("{value:.2}") }
    }

    /// `split by patient, labels true: 62.1 (50.0 to 71.4)`.
    fn in_words(&self, bar: &Bar) -> String {
        let series = if self.series.len() > 1 { format!(", {}", bar.series) } else { String::new() };
        let interval = bar.interval.map(|(low, high)| format!(" ({} to {})", self.number(low), self.number(high)));
        format!("{}{series}: {}{}", bar.group, self.number(bar.value), interval.unwrap_or_default())
    }

    fn number(&self, value: f64) -> String {
        if self.span() > 5.0 { format!("{value:.1}") } else { format!("{value:.3}") }
    }

    fn draw_axes(&self, chart: &mut Chart<'_, '_>, y_label: &str) -> Drawn {
        draw_mesh(
            chart
                .configure_mesh()
                .disable_x_mesh()
                .disable_x_axis()
                .y_desc(y_label)
                .y_label_formatter(&|value| self.axis_label(*value)),
        )
    }

    fn draw_series(&self, chart: &mut Chart<'_, '_>, index: usize) -> Drawn {
        let name = self.series[index];
        let colour = PALETTE[index % PALETTE.len()];
        let of_series = || self.bars.iter().filter(|bar| bar.series == name);
        chart.draw_series(of_series().map(|bar| {
            let (left, right) = self.edges(bar);
            Rectangle::new([(left, self.range.0.max(0.0)), (right, bar.value)], colour.filled())
        }))?;
        for bar in of_series() {
            self.draw_interval_and_value(chart, bar)?;
        }
        Ok(())
    }

    fn draw_interval_and_value(&self, chart: &mut Chart<'_, '_>, bar: &Bar) -> Drawn {
        let (left, right) = self.edges(bar);
        let middle = (left + right) / 2.0;
        let top = bar.interval.map_or(bar.value, |interval| interval.1.max(bar.value));
        if let Some((low, high)) = bar.interval {
            chart.draw_series([PathElement::new([(middle, low), (middle, high)], BLACK.stroke_width(2))])?;
        }
        let value = self.number(bar.value);
        let style = text_font().pos(Pos::new(HPos::Center, VPos::Bottom));
        chart.draw_series([Text::new(value, (middle, top + 0.01 * self.span()), style)])?;
        Ok(())
    }

    fn draw_group_names(&self, canvas: &Canvas<'_>, chart: &Chart<'_, '_>) -> Drawn {
        for (index, name) in self.groups.iter().enumerate() {
            let at = chart.backend_coord(&(index as f64, self.range.0));
            let style = text_font().pos(Pos::new(HPos::Center, VPos::Top));
            canvas.draw(&Text::new(visible(name), (at.0, at.1 + 8), style))?;
        }
        Ok(())
    }
}

/// Names in order of their first appearance.
fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in all {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}
