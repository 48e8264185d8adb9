//! Pictures that stay side by side on a contact sheet, and the text under them.

use super::wrapped_lines::{shortened_name, wrapped};
use crate::base::escape::markup;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// One picture.
pub(crate) struct Tile {
    pub(crate) picture: TilePicture,
    /// A line of its own under the picture; none where it is empty.
    pub(crate) name: String,
    pub(crate) mark: Option<TileMark>,
}

/// What is seen in a tile.
pub(crate) enum TilePicture {
    /// A picture of any proportions: its media type, and the bytes of its file.
    Encoded(&'static str, Vec<u8>),
    /// An empty frame, with what there is instead of a picture.
    Missing(String),
}

/// A coloured frame around a tile, with a word under it, which may be empty.
#[derive(Clone)]
pub(crate) enum TileMark {
    /// Red.
    LeftOut(String),
    /// Orange.
    Doubtful(String),
}

impl TileMark {
    /// Red, and Wong's orange; for the word darker, so that it can be read.
    fn colours(&self) -> (&'static str, &'static str) {
        match self {
            Self::LeftOut(_) => ("#d0021b", "#a80015"),
            Self::Doubtful(_) => ("#e69f00", "#7a5500"),
        }
    }
}

/// Tiles of one subject, and lines of text across all of them.
pub(crate) struct StripPart {
    pub(crate) tiles: Vec<Tile>,
    pub(crate) lines: Vec<String>,
}

/// Subjects that are seen side by side, and what was found, across all of them.
pub(crate) struct Strip {
    pub(crate) parts: Vec<StripPart>,
    pub(crate) found: String,
}

/// Sizes in pixels.
pub(super) const GAP: usize = 10;
pub(super) const LINE: usize = 15;
/// The mean width of a letter at the size of the text.
const LETTER: usize = 7;
/// Lines that a name takes at the most, and a finding.
const MOST_LINES: usize = 5;

impl Strip {
    /// One picture with lines of text.
    pub(super) fn of_one(picture: TilePicture, lines: Vec<String>) -> Self {
        let tile = Tile { picture, name: String::new(), mark: None };
        Self { parts: vec![StripPart { tiles: vec![tile], lines }], found: String::new() }
    }

    /// The lines below the pictures.
    pub(super) fn in_words(&self) -> String {
        let found = Some(self.found.as_str()).filter(|found| !found.is_empty());
        self.parts
            .iter()
            .map(|part| part.lines.join(", "))
            .chain(found.map(str::to_owned))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Pictures in it.
    pub(super) fn tiles(&self) -> usize {
        self.parts.iter().map(|part| part.tiles.len()).sum()
    }

    /// Lines of text below the pictures, where these are `side` pixels wide.
    pub(super) fn lines(&self, side: usize) -> usize {
        let of_parts = self.parts.iter().map(|part| part.names() + part.wrapped(side).len()).max().unwrap_or(0);
        of_parts + self.found_lines(side).len()
    }

    fn found_lines(&self, side: usize) -> Vec<String> {
        wrapped(&self.found, fits(self.tiles(), side), MOST_LINES)
    }

    /// Draws it with its upper left corner at x, y.
    pub(super) fn draw(&self, svg: &mut String, (x, y): (usize, usize), side: usize) {
        if self.tiles() > 1 {
            let (width, height) = (self.tiles() * (side + GAP) - GAP + 8, side + 9 + LINE * self.lines(side));
            svg.push_str(&format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\" rx=\"4\" fill=\"#f2f2f2\"/>",
                x - 4,
                y - 4
            ));
        }
        let (mut left, mut lowest) = (x, 0);
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 && self.tiles() > 2 {
                // Between two scans.
                svg.push_str(&format!(
                    "<rect x=\"{}\" y=\"{}\" width=\"2\" height=\"{}\" fill=\"#888\"/>",
                    left - GAP / 2 - 1,
                    y - 4,
                    side + 4
                ));
            }
            lowest = lowest.max(part.draw(svg, (left, y), side));
            left += part.tiles.len() * (side + GAP);
        }
        for (line, text) in (lowest..).zip(self.found_lines(side)) {
            line_of_text(svg, (x, y + side + LINE * (line + 1)), &text, "#000000");
        }
    }
}

impl StripPart {
    /// Lines that the names and marks of its tiles take.
    fn names(&self) -> usize {
        let lines = |tile: &Tile| usize::from(!tile.name.is_empty()) + usize::from(tile.word().is_some());
        self.tiles.iter().map(lines).max().unwrap_or(0)
    }

    fn wrapped(&self, side: usize) -> Vec<String> {
        let fits = fits(self.tiles.len(), side);
        self.lines.iter().flat_map(|line| wrapped(line, fits, MOST_LINES)).collect()
    }

    /// Draws it; returns the number of lines below the pictures.
    fn draw(&self, svg: &mut String, (x, y): (usize, usize), side: usize) -> usize {
        for (number, tile) in self.tiles.iter().enumerate() {
            tile.draw(svg, (x + number * (side + GAP), y), side);
        }
        let lines = self.wrapped(side);
        for (line, text) in (self.names()..).zip(&lines) {
            line_of_text(svg, (x, y + side + LINE * (line + 1)), text, "#000000");
        }
        self.names() + lines.len()
    }
}

impl Tile {
    /// The word of its mark.
    fn word(&self) -> Option<&str> {
        let (TileMark::LeftOut(word) | TileMark::Doubtful(word)) = self.mark.as_ref()?;
        Some(word.as_str()).filter(|word| !word.is_empty())
    }

    fn draw(&self, svg: &mut String, (x, y): (usize, usize), side: usize) {
        match &self.picture {
            // The ground shows where a picture is not square.
            TilePicture::Encoded(media, bytes) => svg.push_str(&format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"#ddd\"/>\
                 <image x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" href=\"data:{media};base64,{}\"/>",
                BASE64.encode(bytes)
            )),
            TilePicture::Missing(why) => empty_frame(svg, (x, y), side, why),
        }
        let below = y + side + LINE;
        if !self.name.is_empty() {
            line_of_text(svg, (x, below), &shortened_name(&self.name, fits(1, side)), "#000000");
        }
        if let Some(mark) = &self.mark {
            let (frame, colour) = mark.colours();
            svg.push_str(&format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"{frame}\" stroke-width=\"3\"/>",
                x + 1,
                y + 1,
                side - 2,
                side - 2
            ));
            if let Some(word) = self.word() {
                let line = if self.name.is_empty() { 0 } else { LINE };
                line_of_text(svg, (x, below + line), &shortened_name(word, fits(1, side)), colour);
            }
        }
    }
}

/// Letters that fit under so many pictures.
fn fits(tiles: usize, side: usize) -> usize {
    (tiles * (side + GAP) - GAP) / LETTER
}

fn empty_frame(svg: &mut String, (x, y): (usize, usize), side: usize, why: &str) {
    svg.push_str(&format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill=\"#eee\" stroke=\"#999\"/>"
    ));
    let lines = wrapped(why, fits(1, side).saturating_sub(2), side / LINE - 1);
    let first = y + (side - LINE * lines.len()) / 2 + LINE - 3;
    for (number, text) in lines.iter().enumerate() {
        svg.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" font-size=\"13\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
            x + side / 2,
            first + LINE * number,
            markup(text)
        ));
    }
}

fn line_of_text(svg: &mut String, (x, y): (usize, usize), text: &str, colour: &str) {
    svg.push_str(&format!("<text x=\"{x}\" y=\"{y}\" font-size=\"13\" fill=\"{colour}\">{}</text>", markup(text)));
}
