//! Contact sheets of slices.

use crate::base::errors::{Context, Result};
use crate::base::escape::markup;
use crate::base::figure::Figure;
use crate::base::progress::counted;
use crate::data::decode::encode_png;
use crate::data::lungs::LungMask;
use crate::data::pixels::GreyImage;
use crate::data::resize::resize_grey;

mod strip;
mod wrapped_lines;

use strip::{GAP, LINE};
pub(crate) use strip::{Strip, StripPart, Tile, TileMark, TilePicture};

/// Images of slices in rows, with lines of text below.
pub(crate) struct ContactSheet {
    title: String,
    /// Side of a picture as shown, in pixels, and pictures in a row.
    side: u32,
    columns: usize,
    strips: Vec<Strip>,
}

impl ContactSheet {
    const SIDE: u32 = 150;
    const COLUMNS: usize = 6;

    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), side: Self::SIDE, columns: Self::COLUMNS, strips: Vec::new() }
    }

    /// One of more and smaller pictures.
    pub(crate) fn of_small(title: impl Into<String>) -> Self {
        Self { side: 112, columns: 8, ..Self::new(title) }
    }

    /// The longest side that its pictures should have: twice the shown one, for sharp screens.
    pub(crate) fn pixels(&self) -> u32 {
        2 * self.side
    }

    /// Adds pictures that stay side by side; more than a row holds go to further ones.
    pub(crate) fn add_strip(&mut self, strip: Strip) {
        self.strips.push(strip);
    }

    /// Adds a slice; without pixels, an empty frame.
    pub(crate) fn add(&mut self, lines: &[&str], image: Option<&GreyImage>) -> Result<()> {
        let side = self.pixels();
        let png = image.map(|image| encode_png(side, &resize_grey(image, side)?)).transpose();
        let picture = match png.with_context(|| format!("drawing {}", lines.join(", ")))? {
            Some(png) => TilePicture::Encoded("image/png", png),
            None => TilePicture::Missing("no pixels".to_owned()),
        };
        self.strips.push(Strip::of_one(picture, lines.iter().map(ToString::to_string).collect()));
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
        // Pictures are shown at half their size.
        let outline = lungs.resized(large as u32, large as u32).outline(1.0);
        let pixel = |at: usize| {
            let source = at / large / times * side + at % large / times;
            let heat = heat.and_then(|heat| heat.get(source)).copied().unwrap_or(0.0);
            if outline[at] { OUTLINE } else { warmed(image.pixels[source], heat) }
        };
        let pixels: Vec<u8> = (0..large * large).flat_map(pixel).collect();
        let png = encode_png(large as u32, &pixels).with_context(|| format!("drawing {}", lines.join(", ")))?;
        self.strips.push(Strip::of_one(TilePicture::Encoded("image/png", png), lines.to_vec()));
        Ok(())
    }

    /// Whether there is more than empty frames.
    pub(crate) fn has_pictures(&self) -> bool {
        let mut tiles = self.strips.iter().flat_map(|strip| &strip.parts).flat_map(|part| &part.tiles);
        tiles.any(|tile| matches!(tile.picture, TilePicture::Encoded(..)))
    }

    pub(crate) fn figure(&self, caption: &str) -> Figure {
        let side = self.side as usize;
        let rows = self.rows();
        let columns = rows.iter().map(|row| row.iter().map(|strip| strip.tiles()).sum()).max().unwrap_or(0);
        let height_of = |row: &[&Strip]| {
            let lines = row.iter().map(|strip| strip.lines(side)).max().unwrap_or(0);
            side + 2 * GAP + LINE * lines
        };
        let below = rows.iter().map(|row| height_of(row)).sum::<usize>();
        let (width, height) = (columns.max(3) * (side + GAP) + GAP, 36 + below.max(60));
        let mut svg = format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" \
             xmlns:xlink=\"http://www.w3.org/1999/xlink\" font-family=\"sans-serif\">\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/><text x=\"10\" y=\"22\" font-size=\"15\" fill=\"#000000\">{}</text>",
            markup(&self.title)
        );
        if rows.is_empty() {
            svg.push_str("<text x=\"10\" y=\"70\" font-size=\"13\" fill=\"#000000\">nothing to show</text>");
        }
        let mut y = 36;
        for row in &rows {
            let mut x = GAP;
            for strip in row {
                strip.draw(&mut svg, (x, y), side);
                x += strip.tiles() * (side + GAP);
            }
            y += height_of(row);
        }
        svg.push_str("</svg>");
        Figure::new(&self.title, caption, &svg).described(self.in_words())
    }

    /// How many pictures, and of what.
    fn in_words(&self) -> String {
        let pictures: usize = self.strips.iter().map(Strip::tiles).sum();
        let of = self.strips.iter().map(Strip::in_words).collect::<Vec<_>>().join("; ");
        format!("{}: {of}", counted(pictures as u64, "picture"))
    }

    /// The strips in rows, none of them in two; where they are as long as each other they stand in columns.
    fn rows(&self) -> Vec<Vec<&Strip>> {
        let (mut rows, mut used) = (Vec::<Vec<&Strip>>::new(), 0);
        for strip in &self.strips {
            match rows.last_mut().filter(|_| used + strip.tiles() <= self.columns) {
                Some(row) => row.push(strip),
                None => {
                    rows.push(vec![strip]);
                    used = 0;
                }
            }
            used += strip.tiles();
        }
        rows
    }
}

/// Wong's sky blue, which neither a grey slice nor the heat has.
const OUTLINE: [u8; 3] = [86, 180, 233];

/// A grey level under heat, which colours what is bright and lightens a little what is dark: so that tissue stays visible, and
/// white turns red and not pink.
fn warmed(grey: u8, heat: f32) -> [u8; 3] {
    let (grey, heat) = (f32::from(grey) / 255.0, heat.clamp(0.0, 1.0));
    let cover = 0.9 * heat.powf(0.7);
    [1.0, 0.9 * (1.0 - heat), 0.0].map(|hot: f32| {
        let [bright, dark] = [grey * (1.0 - cover + cover * hot), (1.0 - grey) * 0.6 * cover * hot];
        (255.0 * (bright + dark)).round() as u8
    })
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
        let TilePicture::Encoded("image/png", png) = &sheet.strips[0].parts[0].tiles[0].picture else {
            panic!("a picture");
        };
        let drawn = image::load_from_memory(png).expect("a PNG").to_rgb8();
        let at = |x, y| drawn.get_pixel(x, y).0;
        assert_eq!([at(100, 150), at(199, 150), at(150, 100), at(150, 199)], [OUTLINE; 4]);
        assert_eq!([at(99, 150), at(200, 150), at(150, 101), at(150, 200)], [OUTLINE; 4], "three pixels wide");
        assert_eq!([at(150, 150), at(50, 50), at(201, 150), at(102, 150)], [[100; 3]; 4]);
        assert_eq!(at(7, 0), warmed(100, 1.0));
    }

    #[test]
    fn heat_goes_from_yellow_over_orange_to_red_on_white_as_on_black() {
        for grey in [0, 60, 128, 200, 255] {
            assert_eq!(warmed(grey, 0.0), [grey; 3]);
            // The share of green tells yellow from orange from red, however bright they are.
            let greens = [0.15, 0.5, 1.0].map(|heat| {
                let [red, green, blue] = warmed(grey, heat).map(f32::from);
                assert!(red > green && green >= blue, "{grey}");
                green / red
            });
            assert!(greens[0] > greens[1] && greens[1] > greens[2] && greens[2] < 0.2, "{grey}: {greens:?}");
            assert!(warmed(grey, 1.0)[0] > 135, "{grey}");
        }
        let brightness = |grey| warmed(grey, 1.0)[0];
        assert!(brightness(0) < brightness(128) && brightness(128) < brightness(255), "tissue stays visible");
    }

    #[test]
    fn names_are_text_and_no_markup() {
        let mut sheet = ContactSheet::new("Patient: <b>");
        sheet.add(&["ct\n1\u{1b}<b>.jpg"], None).expect("draws");
        let figure = sheet.figure("");
        assert!(figure.svg().contains(r"ct\n1\u{1b}&lt;b&gt;.jpg") && figure.svg().contains("Patient: &lt;b&gt;"));
    }

    #[test]
    fn what_belongs_together_stays_in_one_row() {
        let mut sheet = ContactSheet::new("x");
        let tile = || Tile { picture: TilePicture::Missing("no pixels".into()), name: "1.jpg".into(), mark: None };
        let part =
            |tiles: usize| StripPart { tiles: (0..tiles).map(|_| tile()).collect(), lines: vec!["a/scan".into()] };
        for tiles in [2, 2, 3, 1, 6] {
            sheet.add_strip(Strip { parts: vec![part(tiles)], found: "mirrored".into() });
        }
        let rows: Vec<Vec<usize>> =
            sheet.rows().iter().map(|row| row.iter().map(|strip| strip.tiles()).collect()).collect();
        assert_eq!(rows, [vec![2, 2], vec![3, 1], vec![6]]);
        let svg = sheet.figure("").svg().to_owned();
        assert_eq!(["no pixels", "1.jpg", "a/scan", "mirrored"].map(|text| svg.matches(text).count()), [14, 14, 5, 5]);
    }
}
