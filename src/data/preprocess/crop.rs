//! The part of a picture that is kept: the whole, the bounding box of the lungs, or the square around them.

use crate::base::errors::{Context, Error, Result, anyhow, ensure};
use crate::data::lungs::LungMask;
use crate::data::pixels::GreyImage;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The part of a picture that a network sees. Written `whole`, `lungs` (with a margin of 5 %) or
/// `lungs:0.1`, `lung-box` or `lung-box:0.1`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Crop {
    /// The whole picture, with its air and table; its width and height become the network's, whatever their ratio.
    #[default]
    Whole,
    /// The square around the lungs, so that they have one size and place whatever the field of view was. The ratio of
    /// width and height is kept.
    ///
    /// Its side is the longer side of the lungs' bounding box and a margin on both ends, but not more than the longer
    /// side of the picture. A square that reaches over an edge is moved into the picture; in a direction in which it
    /// does not fit, the picture lies in its middle and the rest is black. Where no plausible lungs are found
    /// ([`LungMask::is_plausible`]), above and below them and in a crop that lungs fill already, the whole picture is
    /// kept, made square with black.
    Lungs {
        /// At each end, as a share of the longer side of the bounding box, 0 to 1.
        margin: f64,
    },
    /// The bounding box of the lungs, whose width and height become the network's, whatever their ratio: the lungs fill the
    /// picture in both directions. What of the margin lies beyond the picture's edge is left out. Where no plausible lungs are
    /// found, the whole picture is kept.
    LungBox {
        /// At each end, as a share of the box's side in that direction, 0 to 1.
        margin: f64,
    },
}

impl Crop {
    /// The lungs with a margin of 5 %: about 1.5 cm of chest wall.
    pub const LUNGS: Self = Self::Lungs { margin: MARGIN };

    /// The bounding box of the lungs with a margin of 5 %.
    pub const LUNG_BOX: Self = Self::LungBox { margin: MARGIN };

    /// # Errors
    /// A margin that is no share.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Lungs { margin } | Self::LungBox { margin } if !(0.0..=1.0).contains(&margin) => {
                let kind = if matches!(self, Self::Lungs { .. }) { "lungs" } else { "lung-box" };
                Err(anyhow!("preprocess.crop.{kind}.margin: expected 0 to 1, found {margin}"))
            }
            _ => Ok(()),
        }
    }

    /// What it is, for people.
    pub fn described(self) -> String {
        match self {
            Self::Whole => "whole picture, aspect ratio not kept".to_owned(),
            Self::Lungs { margin } => format!(
                "square around the lungs, margin {} %; whole picture where none are found; aspect ratio kept, black \
                 where it does not fit",
                100.0 * margin
            ),
            Self::LungBox { margin } => format!(
                "bounding box of the lungs, margin {} %, aspect ratio not kept; whole picture where none are found",
                100.0 * margin
            ),
        }
    }

    /// The part of a picture that is kept, by its lungs in any size; `None` for all of it in its own proportions.
    pub(super) fn area(self, lungs: Option<&LungMask>, width: u32, height: u32) -> Option<Area> {
        match self {
            Self::Whole => None,
            Self::Lungs { margin } => {
                let of_lungs = lungs.and_then(|lungs| Square::around(lungs, margin, width, height));
                let whole = || Square::placed((0, width), (0, height), width.max(height), width, height);
                Some(of_lungs.unwrap_or_else(whole).area())
            }
            Self::LungBox { margin } => Area::boxed(lungs?, margin, width, height),
        }
    }
}

/// The margin of [`Crop::LUNGS`].
pub(super) const MARGIN: f64 = 0.05;

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.pad("whole"),
            Self::Lungs { margin } if *margin == MARGIN => f.pad("lungs"),
            Self::Lungs { margin } => write!(f, "lungs:{margin}"),
            Self::LungBox { margin } if *margin == MARGIN => f.pad("lung-box"),
            Self::LungBox { margin } => write!(f, "lung-box:{margin}"),
        }
    }
}

impl FromStr for Crop {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = || {
            format!(
                "expected a crop: whole, lungs, lung-box, or one of these with its margin such as lungs:0.1; found {text:?}"
            )
        };
        let text = text.trim().to_ascii_lowercase();
        let (kind, margin) = match text.split_once(':') {
            Some((kind, margin)) => (kind, margin.parse().with_context(expected)?),
            None => (text.as_str(), MARGIN),
        };
        ensure!((0.0..=1.0).contains(&margin), "{}: the margin must be 0 to 1", expected());
        match kind {
            "whole" if text == "whole" => Ok(Self::Whole),
            "lungs" => Ok(Self::Lungs { margin }),
            "lung-box" => Ok(Self::LungBox { margin }),
            _ => Err(anyhow!("{}", expected())),
        }
    }
}

/// A square of a picture, which may reach beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Square {
    /// Its first column and row in the picture's pixels; negative beyond its edge.
    pub(super) left: i64,
    pub(super) top: i64,
    pub(super) side: usize,
}

impl Square {
    /// The square around the bounding box of lungs, in a picture of width × height pixels that the mask may be a
    /// reduction of; `None` for an empty mask.
    pub(super) fn around(lungs: &LungMask, margin: f64, width: u32, height: u32) -> Option<Self> {
        let (columns, rows) = bounds_in(lungs, width, height)?;
        let longer = (columns.1 - columns.0).max(rows.1 - rows.0);
        let side = (f64::from(longer) * (1.0 + 2.0 * margin)).ceil() as u32;
        Some(Self::placed(columns, rows, side.min(width.max(height)), width, height))
    }

    /// A square of this side with a range of columns and one of rows in its middle, moved into the picture.
    pub(super) fn placed(columns: (u32, u32), rows: (u32, u32), side: u32, width: u32, height: u32) -> Self {
        let first = |(first, end): (u32, u32), length: u32| {
            let (side, length) = (i64::from(side), i64::from(length));
            match side > length {
                true => -((side - length) / 2),
                false => ((i64::from(first) + i64::from(end) - side) / 2).clamp(0, length - side),
            }
        };
        Self { left: first(columns, width), top: first(rows, height), side: side as usize }
    }

    /// The same as an area.
    pub(super) fn area(self) -> Area {
        Area { left: self.left, top: self.top, width: self.side, height: self.side }
    }
}

/// First and end of the lungs' columns and rows in a picture of width × height pixels that the mask may be a reduction of: each
/// whole pixel that their bounding box touches. `None` for an empty mask.
fn bounds_in(lungs: &LungMask, width: u32, height: u32) -> Option<((u32, u32), (u32, u32))> {
    let (columns, rows) = lungs.bounds()?;
    let scaled = |(first, end): (u32, u32), from: u32, to: u32| {
        let at = |place: u32| u64::from(place) * u64::from(to);
        ((at(first) / u64::from(from)) as u32, at(end).div_ceil(u64::from(from)) as u32)
    };
    Some((scaled(columns, lungs.width, width), scaled(rows, lungs.height, height)))
}

/// A rectangle of a picture, which may reach beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    /// Its first column and row in the picture's pixels; negative beyond its edge.
    pub(super) left: i64,
    pub(super) top: i64,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Area {
    /// The bounding box of lungs with a margin at each end, as far as it lies in the picture.
    pub(super) fn boxed(lungs: &LungMask, margin: f64, width: u32, height: u32) -> Option<Self> {
        let (columns, rows) = bounds_in(lungs, width, height)?;
        let with_margin = |(first, end): (u32, u32), length: u32| {
            let more = (f64::from(end - first) * margin).ceil() as u32;
            (first.saturating_sub(more), (end + more).min(length))
        };
        let (columns, rows) = (with_margin(columns, width), with_margin(rows, height));
        let (width, height) = ((columns.1 - columns.0) as usize, (rows.1 - rows.0) as usize);
        Some(Self { left: i64::from(columns.0), top: i64::from(rows.0), width, height })
    }

    /// This part of a picture; black beyond its edge.
    pub(super) fn of_picture(self, image: &GreyImage) -> GreyImage {
        let pixels = self.cut(&image.pixels, image.width, image.height);
        GreyImage { width: self.width as u32, height: self.height as u32, pixels }
    }

    /// This part of a picture's mask; nothing is inside beyond the picture's edge.
    pub(super) fn of_mask(self, mask: &LungMask) -> LungMask {
        let inside = self.cut(&mask.inside, mask.width, mask.height);
        LungMask { width: self.width as u32, height: self.height as u32, inside }
    }

    /// Pixels, row by row; the type's default (black, outside) beyond the edge.
    pub(super) fn cut<T: Copy + Default>(self, pixels: &[T], width: u32, height: u32) -> Vec<T> {
        let columns = within(self.left, self.width, width);
        let mut part = vec![T::default(); self.width * self.height];
        let right = (columns.start as i64 - self.left) as usize;
        for y in within(self.top, self.height, height) {
            let at = (y as i64 - self.top) as usize * self.width + right;
            part[at..at + columns.len()].copy_from_slice(&pixels[y * width as usize..][columns.clone()]);
        }
        part
    }
}

/// The columns or rows of a picture, `length` of them, that lie in an area which begins at `first` and is `side` long.
fn within(first: i64, side: usize, length: u32) -> std::ops::Range<usize> {
    let end = (first + side as i64).clamp(0, i64::from(length));
    first.clamp(0, end) as usize..end as usize
}
