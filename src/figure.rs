//! Pictures: plotters drawn to SVG, with a caption, and contact sheets of slices.

use crate::decode::{GreyImage, encode_png};
use crate::metrics::{ConfusionMatrix, Predicted, Truth};
use crate::progress::thousands;
use crate::resize::resize_grey;
use crate::table::{Show, display, escape, percent};
use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plotters::prelude::*;
use std::fmt;
use std::path::Path;

/// Wong's palette: told apart with every kind of colour vision (Nature Methods 8, 441, 2011).
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A picture in SVG with a caption. Self-contained: no fonts, scripts or files from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    title: String,
    caption: String,
    svg: String,
}

impl Figure {
    /// The SVG text.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The sentence under the picture.
    pub fn caption(&self) -> &str {
        &self.caption
    }

    /// Writes the SVG, atomically.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::files::write_text(path.as_ref(), &self.svg)
    }

    /// Shows the figure in a notebook.
    pub fn evcxr_display(&self) {
        display(&self.html(), &self.text());
    }
}

impl Show for Figure {
    /// An `img` with the SVG inside: JupyterLab strips bare SVG from notebooks it does not trust.
    fn html(&self) -> String {
        format!(
            "<figure class=\"covid-ct\" style=\"margin:.5em 0\"><img alt=\"{}\" style=\"max-width:100%;height:auto\" \
             src=\"data:image/svg+xml;base64,{}\"/><figcaption style=\"font-size:12px;opacity:.75;padding:2px \
             8px;max-width:60em\">{}</figcaption></figure>",
            escape(&self.title),
            BASE64.encode(&self.svg),
            escape(&self.caption)
        )
    }

    fn text(&self) -> String {
        format!("[figure] {}: {}", self.title, self.caption)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws on a white canvas; a plotters error names the figure.
fn draw(
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
    Ok(Figure { title: title.to_owned(), caption: caption.to_owned(), svg })
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

/// Axes from the least to the greatest value with a little room; never of no length.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    (low <= high).then_some(if low == high { (low - 0.5, high + 0.5) } else { (low, high) })
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
    // Room for the legend, which stands inside the axes at the top.
    let room = 0.06 * (y.1 - y.0);
    draw(title, caption, (640, 380), |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(title, font(18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(62)
            .build_cartesian_2d(x.0..x.1, y.0 - room..y.1 + if series.len() > 1 { 5.0 * room } else { room })?;
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
                    .label(name.as_str())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
            }
            if points.len() <= 20 {
                chart.draw_series(points.iter().map(|p| Circle::new(*p, 3, colour.filled())))?;
            }
        }
        if series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.3))
                .label_font(font(13))
                .draw()?;
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
            .caption(title, font(18))
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
                .label(name.as_str())
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(font(13))
            .draw()?;
        Ok(())
    })
}

/// A confusion matrix: counts and shares of each true class.
pub(crate) fn confusion(title: &str, matrix: &ConfusionMatrix) -> Result<Figure> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let classes = matrix.classes();
    let cell = 120_i32;
    let (left, top) = (130, 76);
    let size = (left + cell * classes.len() as i32 + 24, top + cell * classes.len() as i32 + 56);
    let caption = format!(
        "{} of {} correct (accuracy {}). Rows are the truth, columns the predictions; shares are of the row.",
        thousands(matrix.correct()),
        thousands(matrix.total()),
        percent(matrix.accuracy())
    );
    draw(title, &caption, (size.0.max(330) as u32, size.1 as u32), |canvas| {
        let centred = |size: u32| font(size).pos(Pos::new(HPos::Center, VPos::Center));
        let middle = left + cell * classes.len() as i32 / 2;
        canvas.draw(&Text::new(title.to_owned(), (size.0.max(330) / 2, 18), centred(18)))?;
        canvas.draw(&Text::new("predicted", (middle, 44), centred(14)))?;
        canvas.draw(&Text::new("truth", (34, top + cell * classes.len() as i32 / 2), centred(14)))?;
        for (row, name) in classes.iter().enumerate() {
            let y = top + cell * row as i32;
            canvas.draw(&Text::new(
                name.clone(),
                (left - 8, y + cell / 2),
                font(14).pos(Pos::new(HPos::Right, VPos::Center)),
            ))?;
            canvas.draw(&Text::new(name.clone(), (left + cell * row as i32 + cell / 2, top - 12), centred(14)))?;
            let support: u64 = matrix.rows()[row].iter().sum();
            for column in 0..classes.len() {
                let x = left + cell * column as i32;
                let count = matrix.count(Truth(row), Predicted(column));
                let share = (support > 0).then(|| count as f64 / support as f64);
                let strength = share.unwrap_or(0.0);
                let corners = [(x, y), (x + cell, y + cell)];
                canvas.draw(&Rectangle::new(corners, PALETTE[0].mix(0.06 + 0.94 * strength).filled()))?;
                canvas.draw(&Rectangle::new(corners, BLACK.mix(0.25)))?;
                let ink = if strength > 0.5 { WHITE } else { BLACK };
                let centre = (x + cell / 2, y + cell / 2);
                canvas.draw(&Text::new(thousands(count), (centre.0, centre.1 - 9), centred(20).color(&ink)))?;
                canvas.draw(&Text::new(percent(share), (centre.0, centre.1 + 14), centred(13).color(&ink)))?;
            }
        }
        Ok(())
    })
}

/// Pictures of slices in rows, each with its name under it.
pub(crate) struct ContactSheet {
    title: String,
    tiles: Vec<(String, Option<Vec<u8>>)>,
}

impl ContactSheet {
    const SIDE: u32 = 150;
    const COLUMNS: usize = 6;

    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), tiles: Vec::new() }
    }

    /// Adds a slice; without pixels, an empty frame.
    pub(crate) fn add(&mut self, name: &str, image: Option<&GreyImage>) -> Result<()> {
        // Twice the shown side, for sharp screens.
        let side = 2 * Self::SIDE;
        let png = image.map(|image| encode_png(side, side, &resize_grey(image, side)?)).transpose();
        self.tiles.push((name.to_owned(), png.with_context(|| format!("drawing {name}"))?));
        Ok(())
    }

    pub(crate) fn figure(&self, caption: &str) -> Figure {
        let columns = Self::COLUMNS.min(self.tiles.len().max(2));
        let (cell, row) = (Self::SIDE as usize + 10, Self::SIDE as usize + 42);
        let rows = self.tiles.len().div_ceil(columns);
        let (width, height) = (columns * cell + 10, 36 + rows.max(1) * row);
        let mut svg = format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" \
             xmlns:xlink=\"http://www.w3.org/1999/xlink\" font-family=\"sans-serif\">\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/><text x=\"10\" y=\"22\" font-size=\"15\">{}</text>",
            escape(&self.title)
        );
        if self.tiles.is_empty() {
            svg.push_str("<text x=\"10\" y=\"70\" font-size=\"13\">nothing to show</text>");
        }
        for (index, (name, png)) in self.tiles.iter().enumerate() {
            let (x, y) = (10 + index % columns * cell, 34 + index / columns * row);
            let side = Self::SIDE;
            match png {
                Some(png) => svg.push_str(&format!(
                    "<image x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" href=\"data:image/png;base64,{}\"/>",
                    BASE64.encode(png)
                )),
                None => svg.push_str(&format!(
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"#eee\" stroke=\"#999\"/>\
                     <text x=\"{}\" y=\"{}\" font-size=\"12\" text-anchor=\"middle\" fill=\"#666\">no pixels</text>",
                    x + side as usize / 2,
                    y + side as usize / 2
                )),
            }
            let (head, tail) = two_lines(name);
            for (line, text) in [head, tail].into_iter().enumerate() {
                svg.push_str(&format!(
                    "<text x=\"{x}\" y=\"{}\" font-size=\"11\" fill=\"#333\">{}</text>",
                    y + side as usize + 13 + 13 * line,
                    escape(text)
                ));
            }
        }
        svg.push_str("</svg>");
        Figure { title: self.title.clone(), caption: caption.to_owned(), svg }
    }
}

/// A path cut at a slash, so that both parts fit under a picture.
fn two_lines(name: &str) -> (&str, &str) {
    if name.chars().count() <= 24 {
        return (name, "");
    }
    let mut slashes = name.match_indices(['/', ' ']).map(|(at, _)| at).filter(|at| *at <= 24);
    match slashes.next_back() {
        Some(at) => name.split_at(at + 1),
        None => (name, ""),
    }
}
