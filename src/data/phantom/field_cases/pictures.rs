//! Pictures that are no axial slices of a CT scan, among the slices of scans.

use super::CaseDrawing;
use crate::base::errors::Result;

pub(super) fn draw(drawing: &mut CaseDrawing) -> Result<()> {
    // A data set in which most scans are as they should be.
    for class in [0, 0, 1, 1, 2, 3] {
        drawing.healthy_scan(class)?;
    }
    let black = vec![0; drawing.size() * drawing.size()];
    let folder = drawing.healthy_scan(0)?;
    let path = format!("{folder}/{}.jpg", super::SLICES);
    let bytes = drawing.jpeg(&black)?;
    drawing.slice_file(path.clone(), drawing.patient - 1, bytes);
    drawing.note("black-slice", &[&path], "all pixels are zero");
    Ok(())
}
