//! How much of each slice of a scan the lungs cover.

use crate::base::errors::Result;
use crate::base::figure::{Csv, Figure, Key, Mark, PALETTE, draw, draw_mesh, framed};
use plotters::prelude::*;

/// Pixels.
const WIDTH: u32 = 900;

/// A slice in the curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct LungPoint {
    pub(super) number: u32,
    /// The share of its picture that the lungs cover; `None` where it cannot be seen.
    pub(super) share: Option<f64>,
    pub(super) is_left_out: bool,
}

/// The curve, broken where slices are missing or left out; those are crosses on the axis.
pub(super) fn lung_curve(scan: &str, points: &[LungPoint]) -> Result<Figure> {
    let title = format!("{scan}: area of the lungs");
    let numbers = || points.iter().map(|point| f64::from(point.number));
    let (first, last) = (numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max));
    let most = points.iter().filter_map(|point| point.share).fold(0.0, f64::max) * 100.0;
    let top = 1.05 * most.max(10.0);
    let left_out: Vec<f64> =
        points.iter().filter(|point| point.is_left_out || point.share.is_none()).map(|p| f64::from(p.number)).collect();
    let caption = "The share of each slice's picture inside the lungs, as they are found without training. In a whole axial scan it \
                   rises from the apices to the middle and falls towards the diaphragm; a jump is a slice out of place, another \
                   part of the body, or a failure to find them.";
    let names = [(Mark::Line, "used"), (Mark::Cross, "left out")];
    let key = Key::new(names.into_iter().filter(|_| !left_out.is_empty()), WIDTH);
    let figure = draw(&title, caption, (WIDTH, 300 + key.height()), |canvas| {
        let area = key.below_title(canvas, &title)?;
        let mut chart = framed(&area, 44, first - 0.5..last + 0.5, 0.0..top)?;
        draw_mesh(
            chart
                .configure_mesh()
                .x_desc("slice number")
                .y_desc("lungs (% of the picture)")
                .x_labels(((last - first) as usize + 1).clamp(2, 16))
                .x_label_formatter(&|x| if x.fract().abs() < 1e-6 { format!("{x:.0}") } else { String::new() })
                .y_label_formatter(&|y| format!("{y:.0}")),
        )?;
        let line = PALETTE[0];
        for piece in pieces(points) {
            chart.draw_series(LineSeries::new(piece.iter().copied(), line.stroke_width(2)))?;
            if piece.len() == 1 || points.len() <= 80 {
                chart.draw_series(piece.iter().map(|at| Circle::new(*at, 3, line.filled())))?;
            }
        }
        if !left_out.is_empty() {
            let crosses =
                left_out.iter().map(|number| Cross::new((*number, 0.04 * top), 4, PALETTE[1].stroke_width(2)));
            chart.draw_series(crosses)?;
        }
        Ok(())
    })?;
    let mut csv = Csv::new(&["used", "slice number", "lungs (share of the picture)"]);
    for point in points {
        csv.row(&[if point.is_left_out { "left out" } else { "used" }], &[Some(f64::from(point.number)), point.share]);
    }
    let seen =
        format!("{} slices, {} of them left out; at most {most:.0} % of a picture", points.len(), left_out.len());
    figure.described(seen).with_numbers(csv)
}

/// Runs of slices whose numbers follow each other, none of them left out, in percent.
fn pieces(points: &[LungPoint]) -> Vec<Vec<(f64, f64)>> {
    let (mut pieces, mut before) = (Vec::<Vec<(f64, f64)>>::new(), None);
    for point in points.iter().filter(|point| !point.is_left_out) {
        let Some(share) = point.share else { continue };
        let at = (f64::from(point.number), 100.0 * share);
        match pieces.last_mut().filter(|_| before.is_some_and(|before: u32| point.number <= before.saturating_add(1))) {
            Some(piece) => piece.push(at),
            None => pieces.push(vec![at]),
        }
        before = Some(point.number);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_broken_at_gaps_and_slices_left_out() {
        let point = |number, share, is_left_out| LungPoint { number, share, is_left_out };
        let points = [
            point(1, Some(0.1), false),
            point(2, Some(0.2), false),
            point(3, Some(0.9), true),
            point(4, Some(0.3), false),
            point(5, None, false),
            point(8, Some(0.2), false),
            point(8, Some(0.3), false),
        ];
        let expected = [vec![(1.0, 10.0), (2.0, 20.0)], vec![(4.0, 30.0)], vec![(8.0, 20.0), (8.0, 30.0)]];
        assert_eq!(pieces(&points), expected);
        let svg = lung_curve("train/covid/ct_scan_<0>", &points).expect("draws").svg().to_owned();
        assert!(svg.contains("train/covid/ct_scan_&lt;0&gt;: area of the lungs") && svg.contains("left out"), "{svg}");
    }
}
