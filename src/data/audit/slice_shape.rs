//! What a slice shows, in some 130 bytes that are kept for every slice until its whole scan is judged.

use super::chest_outline::ChestOutline;
use super::grain::Grain;
use super::orientation::Orientation;
use super::thumbnail::Thumbnail;
use crate::data::pixels::GreyImage;

/// Body and lungs of a slice with contrast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SliceShape {
    /// Share of the picture that the body covers.
    pub(super) body: f32,
    /// Share of the body that the lungs cover.
    pub(super) lungs: f32,
    /// Width and height of the lungs in 64ths of the picture.
    pub(super) lung_extent: [u8; 2],
    /// Share of what is dark in the middle of the body.
    pub(super) dark_inside: f32,
    /// Median level of the tissue and of the lungs, where enough of it is seen.
    pub(super) tissue: Option<u8>,
    pub(super) lung_level: Option<u8>,
    /// Lungs in a body in air.
    pub(super) is_chest: bool,
    /// The same in a picture whose grey levels are inverted.
    pub(super) is_inverted_chest: bool,
    /// The body ends as in a coronal or sagittal reformat.
    pub(super) is_cut: bool,
    pub(super) orientation: Option<Orientation>,
    pub(super) grain: Grain,
}

impl SliceShape {
    /// `None` for a slice without contrast.
    pub(super) fn of(image: &GreyImage, thumbnail: &Thumbnail) -> Option<Self> {
        let outline = ChestOutline::of(thumbnail)?;
        let is_chest = outline.is_chest_in_air();
        Some(Self {
            body: outline.body_share(),
            lungs: outline.lung_share(),
            lung_extent: outline.lung_extent().map(|length| length as u8),
            dark_inside: outline.dark_inside(thumbnail),
            tissue: outline.tissue(thumbnail),
            lung_level: outline.lung_level(thumbnail),
            is_chest,
            is_inverted_chest: !is_chest && is_inverted(thumbnail, outline.threshold),
            is_cut: outline.is_cut_above_and_below(),
            orientation: Orientation::of(thumbnail, &outline),
            grain: Grain::of(image),
        })
    }

    /// Something that may be lungs.
    pub(super) fn may_show_lungs(&self) -> bool {
        self.lungs >= 0.05 || self.dark_inside >= 0.1
    }
}

/// Bright lungs in a dark body in bright air: no picture of a patient shows that unless its grey levels are inverted.
fn is_inverted(thumbnail: &Thumbnail, threshold: f32) -> bool {
    const LAST: usize = Thumbnail::SIDE - 1;
    let levels = &thumbnail.0;
    let border = (0..=LAST).flat_map(|at| [levels[0][at], levels[LAST][at], levels[at][0], levels[at][LAST]]);
    let bright = border.filter(|level| *level > threshold).count();
    bright > 2 * Thumbnail::SIDE
        && ChestOutline::of(&Thumbnail(levels.map(|row| row.map(|level| 255.0 - level)))).is_some_and(|outline| {
            outline.is_chest_in_air() && outline.lung_share() > 0.12 && outline.smaller_lung() > 0.15
        })
}
