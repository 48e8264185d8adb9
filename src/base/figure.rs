//! Figures: drawn with plotters as SVG, with a caption.

use crate::base::errors::{Context, Result, anyhow};
use crate::base::escape::{visible, visible_lines};
use crate::base::table::{Show, display};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::html;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

mod bars;
mod flow;
mod of_frame;
mod two_scales;

pub(crate) use bars::{Bar, bars};
pub(crate) use flow::{FlowStep, flow};
pub(crate) use two_scales::{ScaledLine, two_scales};

/// Wong's palette, distinguishable with every kind of colour vision (Nature Methods 8, 441, 2011).
pub(crate) const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A figure in SVG with a caption. Self-contained: no fonts, scripts or files from elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    title: String,
    caption: String,
    svg: String,
}

impl Figure {
    /// A figure from existing SVG. XML does not allow control characters: they are shown as escapes.
    pub(crate) fn new(title: &str, caption: &str, svg: &str) -> Self {
        Self { title: visible(title), caption: visible(caption), svg: visible_lines(svg) }
    }

    /// The SVG text.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The caption below the figure.
    pub fn caption(&self) -> &str {
        &self.caption
    }

    /// Writes the SVG, atomically.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::base::files::write_text(path.as_ref(), &self.svg)
    }

    /// Shows the figure in a notebook.
    pub fn evcxr_display(&self) {
        display(&self.html(), &self.text());
    }
}

impl Show for Figure {
    /// An `img` with the SVG inside: JupyterLab strips bare SVG from notebooks it does not trust.
    fn html(&self) -> String {
        let picture = BASE64.encode(&self.svg);
        html! {
            figure.covid-ct style="margin:.5em 0" {
                img alt=(self.title) style="max-width:100%;height:auto" src={ "data:image/svg+xml;base64," (picture) };
                figcaption style="font-size:12px;opacity:.75;padding:2px 8px;max-width:60em" { (self.caption) }
            }
        }
        .into_string()
    }

    fn text(&self) -> String {
        // As read from a file, perhaps.
        visible(format!("[figure] {}: {}", self.title, self.caption))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

pub(crate) type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws on a white canvas; a plotters error names the figure.
pub(crate) fn draw(
    title: &str,
    caption: &str,
    size: (u32, u32),
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<Figure> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        canvas
            .fill(&WHITE)
            .map_err(Into::into)
            .and_then(|()| paint(&canvas))
            .and_then(|()| canvas.present().map_err(Into::into))
            .map_err(|error: Box<dyn std::error::Error>| anyhow!("drawing the figure {title:?}: {error}"))?;
    }
    Ok(Figure::new(title, caption, &svg))
}

pub(crate) fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

/// The range of the values, at least of length 1 where all are equal; `None` without finite values.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    (low <= high).then_some(if low == high { (low - 0.5, high + 0.5) } else { (low, high) })
}

/// The share by which an axis of `height` pixels is extended so that a legend at the top covers no data.
pub(crate) fn legend_share(series: usize, height: u32) -> f64 {
    let share = if series > 1 { (17.0 * series as f64 + 16.0) / f64::from(height) } else { 0.0 };
    share / (1.0 - share.min(0.9))
}

pub(crate) type Chart<'c, 'svg> = ChartContext<'c, SVGBackend<'svg>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The names of the series drawn, in a box inside the chart.
pub(crate) fn legend<'c, 'svg: 'c>(
    chart: &mut Chart<'c, 'svg>,
    position: SeriesLabelPosition,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut labels = chart.configure_series_labels();
    labels.position(position).background_style(WHITE.mix(0.85)).border_style(BLACK.mix(0.3)).label_font(font(13));
    Ok(labels.draw()?)
}

/// Axes from 0 to 1 with the diagonal, and from 1 to `top` room for a legend.
pub(crate) fn unit_square<'c, 'svg>(
    canvas: &'c Canvas<'svg>,
    title: &str,
    x_label: &str,
    y_label: &str,
    top: f64,
) -> Result<Chart<'c, 'svg>, Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(canvas)
        .caption(visible(title), font(18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(62)
        .build_cartesian_2d(0.0..1.0, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc(x_label)
        .y_desc(y_label)
        .x_label_formatter(&|v| format!("{v:.1}"))
        .y_labels(11)
        .y_label_formatter(&|v| if *v > 1.01 { String::new() } else { format!("{v:.1}") })
        .axis_desc_style(font(14))
        .label_style(font(13))
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    chart.draw_series([PathElement::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.5).stroke_width(1))])?;
    Ok(chart)
}

/// Lines through points, one colour a series.
pub(crate) fn lines(
    title: &str,
    x_label: &str,
    y_label: &str,
    series: &[(String, Vec<(f64, f64)>)],
    caption: &str,
) -> Result<Figure> {
    let nothing = || format!("drawing the figure {title:?}: there are no values");
    let points = || series.iter().flat_map(|(_, points)| points.iter());
    let x = range(points().map(|p| p.0)).with_context(nothing)?;
    let y = range(points().map(|p| p.1)).with_context(nothing)?;
    let room = 0.06 * (y.1 - y.0);
    let above = room + legend_share(series.len(), 290) * (y.1 - y.0);
    draw(title, caption, (640, 380), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(visible(title), font(18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(62)
            .build_cartesian_2d(x.0..x.1, y.0 - room..y.1 + above)?;
        let whole = x.1 - x.0 <= 20.0 && points().all(|p| p.0.fract() == 0.0);
        chart
            .configure_mesh()
            .x_desc(x_label)
            .y_desc(y_label)
            .x_labels(if whole { (x.1 - x.0) as usize + 1 } else { 9 })
            .x_label_formatter(&|v| if whole || v.abs() >= 10.0 { format!("{v:.0}") } else { format!("{v:.2}") })
            .axis_desc_style(font(14))
            .label_style(font(13))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        for (index, (name, points)) in series.iter().enumerate() {
            let colour = PALETTE[index % PALETTE.len()];
            let drawn = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            if series.len() > 1 {
                drawn
                    .label(visible(name))
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
            }
            if points.len() <= 20 {
                chart.draw_series(points.iter().map(|p| Circle::new(*p, 3, colour.filled())))?;
            }
        }
        if series.len() > 1 {
            legend(&mut chart, SeriesLabelPosition::UpperRight)?;
        }
        Ok(())
    })
}

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
    draw(title, caption, (640, 360), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(visible(title), font(18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(62)
            .build_cartesian_2d(edge(0)..edge(bins), 0.0..f64::from(tallest) * 1.3)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc(x_label)
            .y_desc(y_label)
            .y_label_formatter(&|v| format!("{v:.0}"))
            .x_label_formatter(&|v| format!("{v:.0}"))
            .axis_desc_style(font(14))
            .label_style(font(13))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        let bar = width / (series.len() as f64 + 0.4);
        for (index, ((name, _), counts)) in series.iter().zip(&counted).enumerate() {
            let colour = PALETTE[index % PALETTE.len()];
            let bars = counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(bin, n)| {
                let left = edge(bin) + (index as f64 + 0.2) * bar;
                Rectangle::new([(left, 0.0), (left + bar, f64::from(*n))], colour.filled())
            });
            chart
                .draw_series(bars)?
                .label(visible(name))
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
        }
        legend(&mut chart, SeriesLabelPosition::UpperRight)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_figure_are_text_that_xml_allows() {
        const NAME: &str = "ct\n1\u{1b}[1m\0<b>marker</b>\u{ffff}\u{202e}";
        const SHOWN: &str = r"ct\n1\u{1b}[1m\u{0}&lt;b&gt;marker&lt;/b&gt;\u{ffff}\u{202e}";
        let points = || vec![(0.0, 0.0), (1.0, 1.0)];
        let series = [(NAME.to_owned(), points()), ("other".to_owned(), points())];
        let bar = Bar { group: NAME.into(), series: NAME.into(), value: 0.5, interval: None };
        let other = Bar { series: "other".into(), group: NAME.into(), ..bar };
        let bar = Bar { group: NAME.into(), series: NAME.into(), value: 0.5, interval: None };
        let step = FlowStep { stays: vec![NAME.into()], leaves: vec![NAME.into()] };
        let drawn = [
            (2, lines(NAME, "x", "y", &series, NAME).expect("draws")),
            (2, histogram(NAME, "x", "y", &[(NAME.to_owned(), vec![1.0, 2.0])], NAME).expect("draws")),
            (3, bars(NAME, "y", (0.0, 1.0), None, &[bar, other], NAME).expect("draws")),
            (4, flow(NAME, &[step], &[vec![NAME.into()]], NAME).expect("draws")),
        ];
        for (number, (times, figure)) in drawn.iter().enumerate() {
            let svg = figure.svg();
            assert_eq!(svg.matches(SHOWN).count(), *times, "figure {number}: {svg}");
            assert!(!svg.contains(|c: char| c.is_control() && c != '\n'), "figure {number}: {svg}");
            assert!(!figure.text().contains(char::is_control) && figure.title() == visible(NAME));
        }
    }
}
