//! Figures: drawn with plotters as SVG, with a caption.

use crate::base::errors::{Result, anyhow};
use crate::base::escape::{visible, visible_lines};
use crate::base::table::{Show, display};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::{PreEscaped, html};
use plotters::chart::MeshStyle;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::path::Path;

mod bars;
mod csv;
mod flow;
mod histogram;
mod ink;
mod key;
mod lines;
mod of_frame;
mod themes;
mod two_scales;

pub(crate) use bars::{Bar, bars};
pub(crate) use csv::Csv;
pub(crate) use flow::{FlowStep, flow};
pub(crate) use histogram::histogram;
pub(crate) use ink::{ink_on, tinted};
pub(crate) use key::{Key, Mark};
pub(crate) use lines::lines;
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

/// Sizes of text in pixels of the picture: of a title, and of an axis, its numbers and all else.
const TITLE: u32 = 16;
const AXIS: u32 = 14;
/// Text is shown at this size or larger: where a picture would become smaller, it is scrolled.
const LEAST: u32 = 9;
/// A chart's width in pixels; two stand side by side on paper with text of 9 pixels.
pub(crate) const CHART: u32 = 500;

/// A figure in SVG with a caption, a dark variant inside it, what it shows in words, and the numbers behind it. Self-contained:
/// no fonts, scripts or files from elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    title: String,
    caption: String,
    svg: String,
    /// What is seen, for those who do not see it; empty where that is the title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    alt: String,
    /// The numbers that were drawn; empty for pictures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    csv: String,
}

impl Figure {
    /// A figure from existing SVG. XML does not allow control characters: they are shown as escapes.
    pub(crate) fn new(title: &str, caption: &str, svg: &str) -> Self {
        let svg = themes::with_dark_variant(&visible_lines(svg));
        Self { title: visible(title), caption: visible(caption), svg, alt: String::new(), csv: String::new() }
    }

    /// The same with what is seen in words, behind the title: counts and values.
    pub(crate) fn described(self, seen: impl AsRef<str>) -> Self {
        Self { alt: visible(format!("{}: {}", self.title, seen.as_ref())), ..self }
    }

    /// The same with the numbers that were drawn.
    pub(crate) fn with_numbers(self, csv: Csv) -> Result<Self> {
        Ok(Self { csv: csv.text()?, ..self })
    }

    /// What is seen, in words.
    pub fn alt(&self) -> &str {
        if self.alt.is_empty() { &self.title } else { &self.alt }
    }

    /// The numbers that were drawn, as CSV; `None` of pictures.
    pub fn csv(&self) -> Option<&str> {
        (!self.csv.is_empty()).then_some(self.csv.as_str())
    }

    /// Its width and height in pixels; 0 where the SVG does not say.
    pub(crate) fn size(&self) -> (u32, u32) {
        let head = self.svg.split('>').find(|tag| tag.contains("<svg")).unwrap_or_default();
        let of = |name: &str| {
            let value = head.split(name).nth(1)?.split('"').next()?;
            value.parse().ok()
        };
        (of(" width=\"").unwrap_or(0), of(" height=\"").unwrap_or(0))
    }

    /// The size of its smallest text in pixels of the picture.
    fn smallest_text(&self) -> u32 {
        let sizes = self.svg.split(" font-size=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok());
        sizes.filter(|size| *size > 0).min().unwrap_or(AXIS)
    }

    /// The figure around an address of its picture, complete or `data:`.
    pub(crate) fn html_with(&self, address: &str) -> String {
        let (width, height) = self.size();
        let least = (width * LEAST).div_ceil(self.smallest_text());
        html! {
            figure.covid-ct tabindex="0" style="margin:.5em 0;overflow-x:auto" {
                img alt=(self.alt()) width=(width) height=(height)
                    style={ "max-width:100%;height:auto;min-width:" (least) "px" } src=(PreEscaped(address));
                figcaption style="font-size:12px;opacity:.8;padding:2px 8px;max-width:60em" { (self.caption) }
            }
        }
        .into_string()
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
        self.html_with(&format!("data:image/svg+xml;base64,{}", BASE64.encode(&self.svg)))
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
    Ok(Figure::new(title, caption, &tidied(&svg)))
}

/// What plotters writes, without what is not seen: lines of the ground's colour, and what each element repeats.
fn tidied(svg: &str) -> String {
    let seen = svg.lines().filter(|line| !line.starts_with("<line opacity=\"1\" stroke=\"#FFFFFF\""));
    let short = |line: &str| {
        let line = line.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", "");
        match line.split_once(" font-size=\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?))) {
            Some((before, (size, after))) => {
                let size = size.parse::<f64>().map_or(size.to_owned(), |size| format!("{size:.0}"));
                format!("{before} font-size=\"{size}\"{after}")
            }
            None => line,
        }
    };
    let lines: Vec<String> = seen.map(short).collect();
    lines.join("\n").replacen("<svg ", "<svg font-family=\"sans-serif\" ", 1)
}

/// The text of titles.
pub(crate) fn title_font() -> TextStyle<'static> {
    font(TITLE)
}

/// The text of all else.
pub(crate) fn text_font() -> TextStyle<'static> {
    font(AXIS)
}

/// Text of this size in pixels: plotters writes SVG with fonts smaller by this factor.
pub(crate) fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", 1.24 * f64::from(size)).into_font().color(&BLACK)
}

/// The range of the values, at least of length 1 where all are equal; `None` without finite values.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    (low <= high).then_some(if low == high { (low - 0.5, high + 0.5) } else { (low, high) })
}

pub(crate) type Chart<'c, 'svg> = ChartContext<'c, SVGBackend<'svg>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A chart below its title and key, with room for the numbers and names of its axes, so many pixels below.
pub(crate) fn framed<'c, 'svg>(
    area: &'c Canvas<'svg>,
    below: u32,
    x: Range<f64>,
    y: Range<f64>,
) -> Result<Chart<'c, 'svg>, Box<dyn std::error::Error>> {
    let mut frame = ChartBuilder::on(area);
    // Up to four digits fit between the axis and its name.
    let digits = y.start.abs().max(y.end.abs()).max(1.0).log10() as u32;
    let beside = 62 + 9 * digits.saturating_sub(3).min(12);
    frame.margin(12).margin_top(8).x_label_area_size(below).y_label_area_size(beside);
    Ok(frame.build_cartesian_2d(x, y)?)
}

/// Draws the axes with their names and numbers, and thin lines at the numbers.
pub(crate) fn draw_mesh(
    mesh: &mut MeshStyle<'_, '_, RangedCoordf64, RangedCoordf64, SVGBackend<'_>>,
) -> Result<(), Box<dyn std::error::Error>> {
    mesh.axis_desc_style(text_font()).label_style(text_font());
    Ok(mesh.light_line_style(WHITE).bold_line_style(BLACK.mix(0.12)).draw()?)
}

/// Axes from 0 to 1 with the diagonal.
pub(crate) fn unit_square<'c, 'svg>(
    area: &'c Canvas<'svg>,
    x_label: &str,
    y_label: &str,
) -> Result<Chart<'c, 'svg>, Box<dyn std::error::Error>> {
    let mut chart = framed(area, 44, 0.0..1.0, 0.0..1.0)?;
    let number = |value: &f64| format!("{value:.1}");
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x_label).y_desc(y_label).x_label_formatter(&number).y_labels(11).y_label_formatter(&number);
    draw_mesh(&mut mesh)?;
    chart.draw_series([PathElement::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.5).stroke_width(1))])?;
    Ok(chart)
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
            (2, lines(NAME, "x", ("y", None), &series, NAME).expect("draws")),
            (1, histogram(NAME, "x", "y", &[(NAME.to_owned(), vec![1.0, 2.0])], NAME).expect("draws")),
            (3, bars(NAME, "y", (0.0, 1.0), None, &[bar, other], NAME).expect("draws")),
            (4, flow(NAME, &[step], &[vec![NAME.into()]], NAME).expect("draws")),
        ];
        for (number, (times, figure)) in drawn.iter().enumerate() {
            let svg = figure.svg();
            assert_eq!(svg.matches(SHOWN).count(), *times, "figure {number}: {svg}");
            assert!(!svg.contains(|c: char| c.is_control() && c != '\n'), "figure {number}: {svg}");
            assert!(!figure.text().contains(char::is_control) && figure.title() == visible(NAME));
            assert!(figure.alt().starts_with(&format!("{}: ", visible(NAME))), "{}", figure.alt());
            let least = figure.smallest_text();
            assert!(least >= AXIS, "figure {number}: text of {least} pixels");
            // Half of an A4 page between its margins, in CSS pixels.
            let (width, shown) = (figure.size().0, if figure.size().0 <= CHART { 330.0 } else { 688.0 });
            let shown = f64::from(least) * (shown / f64::from(width)).min(1.0);
            assert!(shown >= f64::from(LEAST), "figure {number}: {shown} pixels of {width}");
        }
    }
}
