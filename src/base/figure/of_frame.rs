//! Figures of a polars frame's columns, for a reader's own questions.

use super::bars::{Bar, bars};
use super::{Figure, Key, Mark, PALETTE, draw, draw_mesh, framed, histogram, range};
use crate::base::errors::{Context, Result, ensure};
use crate::base::escape::visible;
use crate::base::progress::counted;
use plotters::prelude::*;
use polars::prelude::{AnyValue, Column, DataFrame, DataType};

/// The most bars, boxes or series that a figure of a frame has room for.
const MOST_GROUPS: usize = 40;
/// The most points that are drawn.
const MOST_POINTS: usize = 5_000;
/// The group of rows that have none.
const NONE: &str = "–";

impl Figure {
    /// How often the values of a column of numbers occur; one colour for each value of the column `by`, if there is one.
    ///
    /// # Errors
    /// A column that is not there or holds no number; more than six groups.
    pub fn histogram(frame: &DataFrame, column: &str, by: Option<&str>) -> Result<Self> {
        let (series, caption) = grouped(frame, column, by)?;
        ensure!(
            series.len() <= PALETTE.len(),
            "{} groups in {by:?}: a histogram has {} colours",
            series.len(),
            PALETTE.len()
        );
        let title = by.map_or(column.to_owned(), |by| format!("{column} by {by}"));
        histogram(&title, column, "rows", &series, &caption)
    }

    /// A bar for each row: its height from the column `values`, its name from the column `names`.
    ///
    /// # Errors
    /// A column that is not there, a name that comes twice (group the frame first), more than 40 rows.
    pub fn bars(frame: &DataFrame, names: &str, values: &str) -> Result<Self> {
        let (named, numbers) = (texts(frame, names)?, numbers(frame, values)?);
        ensure!(
            named.len() <= MOST_GROUPS,
            "{} bars: expected {MOST_GROUPS} at most; take the first rows",
            named.len()
        );
        let drawn: Vec<Bar> = named
            .iter()
            .zip(&numbers)
            .filter_map(|(name, value)| {
                Some(Bar { group: name.clone(), series: values.to_owned(), value: (*value)?, interval: None })
            })
            .collect();
        for (at, bar) in drawn.iter().enumerate() {
            let twice = drawn[..at].iter().any(|other| other.group == bar.group);
            ensure!(!twice, "the name {:?} comes twice in {names}: group the frame by it first", bar.group);
        }
        let (low, high) = range(drawn.iter().map(|bar| bar.value)).context("drawing bars: there are no values")?;
        let (low, high) = (low.min(0.0), high.max(0.0));
        let room = 0.05 * (high - low);
        let range = (if low < 0.0 { low - room } else { 0.0 }, if high > 0.0 { high + room } else { 0.0 });
        let caption = caption(drawn.len(), named.len() - drawn.len());
        bars(&format!("{values} by {names}"), values, range, None, &drawn, &caption)
    }

    /// A point for each row; one colour for each value of the column `by`, if there is one. Of more than 5,000 rows as many are
    /// drawn, at equal distances.
    ///
    /// # Errors
    /// A column that is not there or holds no number; more than six groups.
    pub fn scatter(frame: &DataFrame, x: &str, y: &str, by: Option<&str>) -> Result<Self> {
        let (across, up) = (numbers(frame, x)?, numbers(frame, y)?);
        let groups = by.map(|by| texts(frame, by)).transpose()?;
        let step = across.len().div_ceil(MOST_POINTS).max(1);
        let mut series: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
        for row in (0..across.len()).step_by(step) {
            let (Some(x), Some(y)) = (across[row], up[row]) else { continue };
            add(&mut series, groups.as_ref().map_or("", |groups| &groups[row]), (x, y));
        }
        ensure!(
            series.len() <= PALETTE.len(),
            "{} groups in {by:?}: a figure has {} colours",
            series.len(),
            PALETTE.len()
        );
        let drawn = series.iter().map(|(_, points)| points.len()).sum::<usize>();
        let mut caption = caption(drawn, across.len().div_ceil(step) - drawn);
        if step > 1 {
            caption += &format!(" One of {step} rows is drawn.");
        }
        points(&format!("{y} against {x}"), x, y, &series, &caption)
    }

    /// The distribution of a column of numbers in each group of the rows: quartiles as a box, the median as a line, whiskers to
    /// the last value within 1.5 interquartile ranges (Tukey, 1977), and each value beyond as a point.
    ///
    /// # Errors
    /// A column that is not there or holds no number; more than 40 groups.
    pub fn boxes(frame: &DataFrame, column: &str, by: &str) -> Result<Self> {
        let (series, caption) = grouped(frame, column, Some(by))?;
        ensure!(series.len() <= MOST_GROUPS, "{} groups in {by}: expected {MOST_GROUPS} at most", series.len());
        let boxes: Vec<(&str, Quartiles)> = series.iter().map(|(name, all)| (&**name, Quartiles::of(all))).collect();
        draw_boxes(&format!("{column} by {by}"), column, &boxes, &caption)
    }
}

fn column<'a>(frame: &'a DataFrame, name: &str) -> Result<&'a Column> {
    frame.column(name).ok().with_context(|| {
        let there: Vec<String> = frame.get_column_names().iter().map(|name| name.to_string()).collect();
        format!("expected a column {name:?}, found {}", there.join(", "))
    })
}

/// A column's values; `None` where there is none.
fn numbers(frame: &DataFrame, name: &str) -> Result<Vec<Option<f64>>> {
    let of = column(frame, name)?;
    let is_number = of.dtype().is_primitive_numeric() || *of.dtype() == DataType::Boolean;
    ensure!(is_number, "expected numbers in the column {name:?}, found {}", of.dtype());
    let values = of.cast(&DataType::Float64).with_context(|| format!("reading the column {name:?}"))?;
    Ok(values.f64()?.iter().map(|value| value.filter(|value| value.is_finite())).collect())
}

/// A column's values as they are shown.
fn texts(frame: &DataFrame, name: &str) -> Result<Vec<String>> {
    let of = column(frame, name)?;
    let shown = |value: AnyValue<'_>| match value {
        AnyValue::Null => NONE.to_owned(),
        AnyValue::String(text) => text.to_owned(),
        other => other.to_string(),
    };
    (0..of.len()).map(|row| Ok(shown(of.get(row)?))).collect()
}

fn add<T>(series: &mut Vec<(String, Vec<T>)>, name: &str, value: T) {
    match series.iter_mut().find(|(of, _)| of == name) {
        Some((_, values)) => values.push(value),
        None => series.push((name.to_owned(), vec![value])),
    }
}

/// Groups with their values.
type Groups = Vec<(String, Vec<f64>)>;

/// The values of each group in order of the groups' names, and the caption that counts them.
fn grouped(frame: &DataFrame, column: &str, by: Option<&str>) -> Result<(Groups, String)> {
    let values = numbers(frame, column)?;
    let groups = by.map(|by| texts(frame, by)).transpose()?;
    let mut series = Vec::new();
    for (row, value) in values.iter().enumerate() {
        if let Some(value) = value {
            add(&mut series, groups.as_ref().map_or(column, |groups| &groups[row]), *value);
        }
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let found = values.iter().flatten().count();
    ensure!(found > 0, "there are no values in the column {column:?}");
    Ok((series, caption(found, values.len() - found)))
}

fn caption(rows: usize, without: usize) -> String {
    let left_out =
        if without > 0 { format!("; {} without a value", counted(without as u64, "row")) } else { String::new() };
    format!("{}{left_out}.", counted(rows as u64, "row"))
}

/// Labels of an axis that long: whole numbers where two are far apart.
fn ticks(length: f64) -> impl Fn(&f64) -> String {
    move |value| match length {
        8.0.. => format!("{value:.0}"),
        0.5.. => format!("{value:.1}"),
        _ => format!("{value:.3e}"),
    }
}

fn points(title: &str, x: &str, y: &str, series: &[(String, Vec<(f64, f64)>)], caption: &str) -> Result<Figure> {
    let nothing = || format!("drawing the figure {title:?}: there are no values");
    let all = || series.iter().flat_map(|(_, points)| points);
    let (left, right) = range(all().map(|point| point.0)).with_context(nothing)?;
    let (low, high) = range(all().map(|point| point.1)).with_context(nothing)?;
    let (side, room) = (0.03 * (right - left), 0.05 * (high - low));
    let key = Key::of_several(Mark::Point, series.iter().map(|(name, _)| name.as_str()), 640);
    draw(title, caption, (640, 380 + key.height()), |canvas| {
        let area = key.below_title(canvas, title)?;
        let mut chart = framed(&area, 44, left - side..right + side, low - room..high + room)?;
        let (across, up) = (ticks(right - left), ticks(high - low));
        let mut mesh = chart.configure_mesh();
        mesh.x_label_formatter(&across).y_label_formatter(&up).x_desc(visible(x)).y_desc(visible(y));
        draw_mesh(&mut mesh)?;
        for ((_, points), colour) in series.iter().zip(PALETTE) {
            chart.draw_series(points.iter().map(|at| Circle::new(*at, 3, colour.mix(0.55).filled())))?;
        }
        Ok(())
    })
}

/// What a box shows of a group.
#[derive(Debug, PartialEq)]
struct Quartiles {
    /// First quartile, median, third quartile, interpolated linearly as numpy does.
    box_of: [f64; 3],
    whiskers: [f64; 2],
    beyond: Vec<f64>,
    count: usize,
}

impl Quartiles {
    /// Of at least one value.
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        let box_of = [at(0.25), at(0.5), at(0.75)];
        let reach = 1.5 * (box_of[2] - box_of[0]);
        let is_near = |value: &f64| *value >= box_of[0] - reach && *value <= box_of[2] + reach;
        let mut near = sorted.iter().copied().filter(is_near);
        let first = near.next().unwrap_or(box_of[0]);
        let last = near.next_back().unwrap_or(first);
        let beyond = sorted.iter().copied().filter(|value| !is_near(value)).collect();
        Self { box_of, whiskers: [first, last], beyond, count: sorted.len() }
    }
}

fn draw_boxes(title: &str, unit: &str, boxes: &[(&str, Quartiles)], caption: &str) -> Result<Figure> {
    let ends = boxes.iter().flat_map(|(_, of)| of.whiskers.iter().chain(&of.beyond)).copied();
    let (low, high) = range(ends).with_context(|| format!("drawing the figure {title:?}: there are no values"))?;
    let room = 0.05 * (high - low);
    let width = (110 * boxes.len() as u32 + 100).max(360);
    draw(title, caption, (width, 380), |canvas| {
        let area = Key::new([], width).below_title(canvas, title)?;
        let mut chart = framed(&area, 34, -0.5..boxes.len() as f64 - 0.5, low - room..high + room)?;
        let name = |x: &f64| match boxes.get(x.round() as usize) {
            Some((name, of)) if (x - x.round()).abs() < 0.01 && *x > -0.01 => {
                format!("{} ({})", visible(name), of.count)
            }
            _ => String::new(),
        };
        let up = ticks(high - low);
        let mut mesh = chart.configure_mesh();
        mesh.y_label_formatter(&up).disable_x_mesh().x_labels(boxes.len() * 2 + 1).x_label_formatter(&name);
        draw_mesh(mesh.y_desc(visible(unit)))?;
        for (index, (_, of)) in boxes.iter().enumerate() {
            let (middle, colour) = (index as f64, PALETTE[index % PALETTE.len()]);
            let [first, median, third] = of.box_of;
            let corners = [(middle - 0.3, first), (middle + 0.3, third)];
            chart.draw_series([Rectangle::new(corners, colour.mix(0.35).filled())])?;
            chart.draw_series([Rectangle::new(corners, colour.stroke_width(2))])?;
            let line = |from: (f64, f64), to: (f64, f64)| PathElement::new([from, to], colour.stroke_width(2));
            let across = |half: f64, at: f64| line((middle - half, at), (middle + half, at));
            let up = |from: f64, to: f64| line((middle, from), (middle, to));
            let [lower, upper] = of.whiskers;
            chart.draw_series([up(lower, first), up(third, upper), across(0.12, lower), across(0.12, upper)])?;
            chart.draw_series([PathElement::new(
                [(middle - 0.3, median), (middle + 0.3, median)],
                BLACK.stroke_width(2),
            )])?;
            chart.draw_series(of.beyond.iter().map(|value| Circle::new((middle, *value), 3, colour.filled())))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;

    fn frame() -> DataFrame {
        df!("label" => ["covid", "non-covid", "covid", "covid"], "bytes" => [Some(1_u64), Some(2), Some(3), None],
            "scan" => ["a", "b", "c", "a"])
        .expect("a frame")
    }

    #[test]
    fn quartiles_are_numpys_and_whiskers_tukeys() {
        // numpy.percentile([1, 2, 3, 4, 100], [25, 50, 75]) = [2, 3, 4].
        let of = Quartiles::of(&[4.0, 100.0, 1.0, 3.0, 2.0]);
        let expected = Quartiles { box_of: [2.0, 3.0, 4.0], whiskers: [1.0, 4.0], beyond: vec![100.0], count: 5 };
        assert_eq!(of, expected);
        // numpy.percentile([1, 2, 3, 4], [25, 50, 75]) = [1.75, 2.5, 3.25].
        assert_eq!(Quartiles::of(&[1.0, 2.0, 3.0, 4.0]).box_of, [1.75, 2.5, 3.25]);
        assert_eq!(Quartiles::of(&[7.0]).whiskers, [7.0, 7.0]);
    }

    #[test]
    fn a_figure_is_one_call_and_counts_its_rows() {
        let frame = frame();
        let figures = [
            (Figure::histogram(&frame, "bytes", Some("label")), "3 rows; 1 row without a value."),
            (Figure::boxes(&frame, "bytes", "label"), "3 rows; 1 row without a value."),
            (Figure::scatter(&frame, "bytes", "bytes", Some("label")), "3 rows; 1 row without a value."),
            (Figure::bars(&frame.head(Some(3)), "scan", "bytes"), "3 rows."),
        ];
        for (figure, caption) in figures {
            let figure = figure.expect("draws");
            assert_eq!(figure.caption(), caption, "{}", figure.title());
            assert!(figure.svg().contains("bytes"));
        }
        let boxes = Figure::boxes(&frame, "bytes", "label").expect("draws");
        assert!(boxes.svg().contains("covid (2)") && boxes.svg().contains("non-covid (1)"), "{}", boxes.svg());
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        let said = |figure: Result<Figure>| format!("{:#}", figure.expect_err("cannot be drawn"));
        let frame = frame();
        let missing = said(Figure::histogram(&frame, "size", None));
        assert_eq!(missing, "expected a column \"size\", found label, bytes, scan");
        let text = said(Figure::boxes(&frame, "label", "scan"));
        assert_eq!(text, "expected numbers in the column \"label\", found str");
        let twice = said(Figure::bars(&frame.head(Some(3)), "label", "bytes"));
        assert_eq!(twice, "the name \"covid\" comes twice in label: group the frame by it first");
    }
}
