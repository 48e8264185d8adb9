//! Patients that come again, their slices altered on the way.

use super::CaseDrawing;
use crate::base::errors::{Context, Result};
use crate::data::alteration::Alteration;
use crate::data::pixels::GreyImage;

/// Names of [`Alteration`]s that keep the size of a slice.
const ALTERED: [&str; 6] = [
    "mirrored",
    "turned by 90° to the left",
    "turned by 180°",
    "inverted",
    "cropped by 12 % at each side, enlarged to its size",
    "narrower window",
];

pub(super) fn draw(drawing: &mut CaseDrawing) -> Result<()> {
    for (name, class) in ALTERED.into_iter().zip([0, 1, 2, 3].into_iter().cycle()) {
        let alteration = Alteration::ALL.iter().find(|of| of.name == name);
        let alteration = alteration.with_context(|| format!("no alteration is called {name:?}"))?;
        let patient = drawing.new_patient();
        let slices = drawing.slices(patient, class, super::SLICES, 0);
        let first = drawing.scan(patient, class, &slices)?;
        let size = drawing.config.size;
        let altered = |pixels| alteration.of(&GreyImage { width: size, height: size, pixels }).pixels;
        let slices: Vec<_> = slices.into_iter().map(altered).collect();
        let second = drawing.scan(patient, class, &slices)?;
        drawing.note("same-patient", &[&first, &second], &format!("the second is {name}"));
        // Such a scan is also wrong by itself. Of mirrored ones half are told.
        let check = match name {
            "turned by 90° to the left" => "turned",
            "turned by 180°" => "upside-down",
            "inverted" => name,
            _ => continue,
        };
        drawing.note(check, &[&second], &format!("the twin of {first} is {name}"));
    }
    Ok(())
}
