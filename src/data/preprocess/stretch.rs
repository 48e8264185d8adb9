//! One scale of grey levels for pictures that went through unknown windows.

use super::crop::{MARGIN, Square};
use crate::base::errors::{Error, Result, bail};
use crate::data::lungs::{LungMask, otsu_threshold};
use crate::data::pixels::GreyImage;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How grey levels are made comparable between pictures. Written `as-is` or `lung-to-tissue`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stretch {
    /// Grey levels stay as they are.
    #[default]
    AsIs,
    /// A straight line through two levels that every chest has: air in the lungs (the 5th percentile inside the lung
    /// mask) becomes 20, and soft tissue (the median of what is brighter than Otsu's threshold outside the lungs, in
    /// the square around them) 220; what lies beyond 0 and 255 is cut. Bone and contrast agent do not move it, and
    /// neither does the share of a lung that is diseased, as long as a twentieth of it holds air.
    ///
    /// Where no lungs are found, both levels come from the whole picture: the 5th percentile of what is darker than
    /// Otsu's threshold, the median of what is brighter. A picture in which the two are less than 8 levels apart stays
    /// as it is. What a window cut off before, such as lungs in a window of the mediastinum, does not come back.
    LungToTissue,
}

/// Where lung and tissue end up, grey levels.
const TARGET: (f64, f64) = (20.0, 220.0);
/// The percentile of lung that is taken as air, 0 to 1: below most diseased lung, and above noise and bronchi.
const AIR: f64 = 0.05;
/// Between lung and tissue, at the least, grey levels: less is noise.
const LEAST: u8 = 8;

impl Stretch {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::AsIs, Self::LungToTissue];

    /// As it is written.
    pub fn name(self) -> &'static str {
        ["as-is", "lung-to-tissue"][self as usize]
    }

    /// What it is, for people.
    pub fn described(self) -> &'static str {
        match self {
            Self::AsIs => "as they are",
            Self::LungToTissue => "stretched: air in the lungs to 20, soft tissue to 220",
        }
    }

    /// The new level of each grey level of a picture, by its reduction and the lungs in that; `None` where all stay.
    pub(super) fn levels(self, picture: &GreyImage, lungs: Option<&LungMask>) -> Option<[u8; 256]> {
        if self == Self::AsIs {
            return None;
        }
        let (air, tissue) = lungs.map_or_else(|| of_whole(picture), |lungs| of_lungs(picture, lungs))?;
        if tissue < air.saturating_add(LEAST) {
            return None;
        }
        let scale = (TARGET.1 - TARGET.0) / f64::from(tissue - air);
        let level = |level: usize| (TARGET.0 + (level as f64 - f64::from(air)) * scale).round().clamp(0.0, 255.0) as u8;
        Some(std::array::from_fn(level))
    }
}

/// The levels of lung and of tissue.
fn of_lungs(picture: &GreyImage, lungs: &LungMask) -> Option<(u8, u8)> {
    let GreyImage { width, height, .. } = *picture;
    let square = Square::around(lungs, MARGIN, width, height)?.area();
    // What lies beyond the picture's edge has no level.
    let known = square.cut(&vec![true; picture.pixels.len()], width, height);
    let (grey, inside) = (square.of_picture(picture).pixels, square.of_mask(lungs).inside);
    let mut counts = [[0_u32; 256]; 2];
    let known = grey.iter().zip(inside).zip(known).filter(|(_, known)| *known);
    known.for_each(|((level, inside), _)| counts[usize::from(inside)][usize::from(*level)] += 1);
    let [outside, inside] = counts;
    let threshold = otsu_threshold(&std::array::from_fn(|level| outside[level] + inside[level]))?;
    Some((percentile(&inside, AIR, 0..=255)?, percentile(&outside, 0.5, above(threshold))?))
}

/// The levels of air and of tissue where no lungs were found.
fn of_whole(picture: &GreyImage) -> Option<(u8, u8)> {
    let mut counts = [0_u32; 256];
    picture.pixels.iter().for_each(|level| counts[usize::from(*level)] += 1);
    let threshold = otsu_threshold(&counts)?;
    Some((percentile(&counts, AIR, 0..=threshold)?, percentile(&counts, 0.5, above(threshold))?))
}

/// Otsu's threshold is the highest level of the dark class, and never the highest of all.
fn above(threshold: u8) -> std::ops::RangeInclusive<u8> {
    threshold.saturating_add(1)..=255
}

/// The lowest of these levels at or below which this share of their pixels lies; `None` without pixels.
fn percentile(counts: &[u32; 256], share: f64, mut levels: std::ops::RangeInclusive<u8>) -> Option<u8> {
    let count = |level: u8| f64::from(counts[usize::from(level)]);
    let all: f64 = levels.clone().map(count).sum();
    let mut seen = 0.0;
    levels.find(|level| {
        seen += count(*level);
        seen > 0.0 && seen >= share * all
    })
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Stretch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(text.trim())) {
            Some(known) => Ok(known),
            None => bail!("expected a stretch of grey levels: as-is or lung-to-tissue; found {text:?}"),
        }
    }
}
