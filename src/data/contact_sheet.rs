//! Contact sheets of slices.

use crate::base::errors::{Context, Result};
use crate::base::escape::{markup, visible};
use crate::base::figure::Figure;
use crate::data::decode::encode_png;
use crate::data::lungs::LungMask;
use crate::data::pixels::GreyImage;
use crate::data::resize::resize_grey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Images of slices in rows, each with lines of text below, the first of which is its name.
pub(crate) struct ContactSheet {
    title: String,
    tiles: Vec<(Vec<String>, Option<Vec<u8>>)>,
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
        let png = image.map(|image| encode_png(side, &resize_grey(image, side)?)).transpose();
        self.tiles.push((vec![name.to_owned()], png.with_context(|| format!("drawing {name}"))?));
        Ok(())
    }

    /// Adds a square slice under its heat, 0 to 1 for each of its pixels: yellow over orange to red, the hotter the
    /// denser; and the outline of its lungs in blue.
    pub(crate) fn add_explained(
        &mut self,
        lines: &[String],
        image: &GreyImage,
        heat: Option<&[f32]>,
        lungs: &LungMask,
    ) -> Result<()> {
        // Small slices are enlarged, so that the outline stays thin.
        let (side, times) = (image.width as usize, (2 * Self::SIDE / image.width.max(1)).max(1) as usize);
        let large = side * times;
        let outline = lungs.resized(large as u32, large as u32).outline();
        let pixel = |at: usize| {
            let source = at / large / times * side + at % large / times;
            let heat = heat.and_then(|heat| heat.get(source)).copied().unwrap_or(0.0);
            if outline[at] { OUTLINE } else { warmed(image.pixels[source], heat) }
        };
        let pixels: Vec<u8> = (0..large * large).flat_map(pixel).collect();
        let png = encode_png(large as u32, &pixels).with_context(|| format!("drawing {}", lines.join(", ")))?;
        self.tiles.push((lines.to_vec(), Some(png)));
        Ok(())
    }

    pub(crate) fn figure(&self, caption: &str) -> Figure {
        let columns = Self::COLUMNS.min(self.tiles.len().max(2));
        let names: Vec<Vec<String>> = self.tiles.iter().map(|(lines, _)| lines_of(lines)).collect();
        let most = names.iter().map(Vec::len).max().unwrap_or(0).max(2);
        let (cell, row) = (Self::SIDE as usize + 10, Self::SIDE as usize + 16 + 13 * most);
        let rows = self.tiles.len().div_ceil(columns);
        let (width, height) = (columns * cell + 10, 36 + rows.max(1) * row);
        let mut svg = format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" \
             xmlns:xlink=\"http://www.w3.org/1999/xlink\" font-family=\"sans-serif\">\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/><text x=\"10\" y=\"22\" font-size=\"15\">{}</text>",
            markup(&self.title)
        );
        if self.tiles.is_empty() {
            svg.push_str("<text x=\"10\" y=\"70\" font-size=\"13\">nothing to show</text>");
        }
        for (index, (_, png)) in self.tiles.iter().enumerate() {
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
            for (line, text) in names[index].iter().enumerate() {
                svg.push_str(&format!(
                    "<text x=\"{x}\" y=\"{}\" font-size=\"11\" fill=\"#333\">{}</text>",
                    y + side as usize + 13 + 13 * line,
                    markup(text)
                ));
            }
        }
        svg.push_str("</svg>");
        Figure::new(&self.title, caption, &svg)
    }
}

/// Wong's sky blue, which neither a grey slice nor the heat has.
const OUTLINE: [u8; 3] = [86, 180, 233];

fn warmed(grey: u8, heat: f32) -> [u8; 3] {
    let heat = heat.clamp(0.0, 1.0);
    let cover = 0.65 * heat;
    [255.0, 230.0 * (1.0 - heat), 30.0].map(|hot: f32| ((1.0 - cover) * f32::from(grey) + cover * hot).round() as u8)
}

/// Lines cut at slashes and spaces into shorter ones that fit under a picture.
fn lines_of(long: &[String]) -> Vec<String> {
    const FITS: usize = 25;
    let mut lines = Vec::new();
    for line in long.iter().map(visible) {
        let mut rest = line.as_str();
        while rest.chars().count() > FITS {
            let cuts = rest.char_indices().take(FITS).filter(|(_, c)| matches!(c, '/' | ' ')).map(|(at, _)| at + 1);
            let (head, tail) = rest.split_at(cuts.last().unwrap_or(rest.len()));
            lines.push(head.trim_end().to_owned());
            rest = tail;
        }
        if !rest.is_empty() {
            lines.push(rest.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_and_outline_are_drawn_where_they_are() {
        let image = GreyImage { width: 300, height: 300, pixels: vec![100; 90_000] };
        let inside = |x: usize, y: usize| (100..200).contains(&x) && (100..200).contains(&y);
        let mask = (0..90_000).map(|at| inside(at % 300, at / 300)).collect();
        let lungs = LungMask { width: 300, height: 300, inside: mask };
        let heat: Vec<f32> = (0..90_000).map(|at| if at < 300 { 1.0 } else { 0.0 }).collect();
        let mut sheet = ContactSheet::new("x");
        sheet.add_explained(&["a".to_owned()], &image, Some(&heat), &lungs).expect("draws");
        let png = sheet.tiles[0].1.as_ref().expect("a picture");
        let drawn = image::load_from_memory(png).expect("a PNG").to_rgb8();
        let at = |x, y| drawn.get_pixel(x, y).0;
        assert_eq!([at(100, 150), at(199, 150), at(150, 100), at(150, 199)], [OUTLINE; 4]);
        assert_eq!([at(150, 150), at(50, 50), at(201, 150)], [[100; 3]; 3]);
        assert_eq!(at(7, 0), warmed(100, 1.0));
        assert!(at(7, 0)[0] > 190 && at(7, 0)[1] < 40, "{:?}", at(7, 0));
    }

    #[test]
    fn names_are_cut_where_they_may_be() {
        let cut = |lines: &[&str]| lines_of(&lines.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(cut(&["0.jpg"]), ["0.jpg"]);
        assert_eq!(cut(&["train/non-covid/ct_scan_10/5.jpg"]), ["train/non-covid/", "ct_scan_10/5.jpg"]);
        let of_slice = ["val/covid/ct_scan_1/5.jpg", "covid 0.98", "12 % outside"];
        assert_eq!(cut(&of_slice), of_slice);
        assert_eq!(cut(&["a_name_without_any_place_to_cut.jpg"]), ["a_name_without_any_place_to_cut.jpg"]);
        assert_eq!(cut(&["ct\n1/5.jpg"]), [r"ct\n1/5.jpg"]);
        let mut sheet = ContactSheet::new("Patient: <b>");
        sheet.add("ct\n1\u{1b}<b>.jpg", None).expect("draws");
        let figure = sheet.figure("");
        assert!(figure.svg().contains(r"ct\n1\u{1b}&lt;b&gt;.jpg") && figure.svg().contains("Patient: &lt;b&gt;"));
    }
}
