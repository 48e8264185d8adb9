//! The manifest as a polars frame and as a Parquet file.

use super::{Manifest, Scan, Slice};
use crate::base::errors::{Context, Result, bail};
use crate::base::files::Digest;
use crate::data::decode::{ColourMode, Format, Header};
use polars::prelude::{Column, DataFrame, ParquetReader, ParquetWriter, SerReader};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

pub(super) fn to_frame(manifest: &Manifest) -> Result<DataFrame> {
    let slices = &manifest.slices;
    let scans = || slices.iter().map(|s| manifest.scan_of(s));
    let headers = || slices.iter().map(|s| s.header);
    let texts = |name: &str, values: Vec<Option<String>>| Column::new(name.into(), values);
    let columns = vec![
        texts("path", slices.iter().map(|s| Some(manifest.path(s))).collect()),
        texts("set", scans().map(|s| Some(s.set.to_string())).collect()),
        texts("label", scans().map(|s| s.label.map(|l| l.to_string())).collect()),
        texts("scan", scans().map(|s| Some(s.id().to_owned())).collect()),
        texts("patient", scans().map(|s| s.patient.clone()).collect()),
        Column::new("slice".into(), slices.iter().map(|s| s.number).collect::<Vec<_>>()),
        Column::new("bytes".into(), slices.iter().map(|s| s.bytes).collect::<Vec<_>>()),
        Column::new("width".into(), headers().map(|h| h.map(|h| h.width)).collect::<Vec<_>>()),
        Column::new("height".into(), headers().map(|h| h.map(|h| h.height)).collect::<Vec<_>>()),
        texts("format", headers().map(|h| h.map(|h| h.format.name().to_owned())).collect()),
        texts("colour", headers().map(|h| h.map(|h| colour_name(h.colour).to_owned())).collect()),
        texts("at", slices.iter().map(|s| s.at.as_deref().map(str::to_owned)).collect()),
        Column::new("frame".into(), slices.iter().map(|s| s.frame).collect::<Vec<_>>()),
        texts("sha256", slices.iter().map(|s| Some(s.sha256.to_string())).collect()),
    ];
    DataFrame::new(slices.len(), columns).context("making a frame of the manifest")
}

/// Writes a frame as Parquet, atomically.
pub(crate) fn write_frame(frame: &mut DataFrame, path: &Path) -> Result<()> {
    crate::base::files::write_atomic(path, |file| {
        ParquetWriter::new(file).finish(frame)?;
        Ok(())
    })
}

/// Reads a Parquet file whole.
pub(crate) fn read_frame(path: &Path, what: &str) -> Result<DataFrame> {
    let doing = || format!("reading {what} from {}", path.display());
    let file = crate::base::regular_file::open_regular(path).with_context(doing)?;
    // A damaged footer can make the reader panic; that too is only a bad file.
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ParquetReader::new(file).finish()));
    match read {
        Ok(frame) => frame.with_context(doing),
        Err(_) => bail!("{}: expected a Parquet file, found damaged contents", doing()),
    }
}

/// The values of a text column, `None` where absent.
pub(crate) fn text_column(frame: &DataFrame, name: &str) -> Result<Vec<Option<String>>> {
    Ok(frame.column(name)?.str()?.iter().map(|value| value.map(str::to_owned)).collect())
}

pub(super) fn read_slices(path: &Path, scans: &[Scan]) -> Result<Vec<Slice>> {
    let frame = read_frame(path, "a manifest")?;
    slices_of(&frame, scans).with_context(|| format!("{} is not a manifest of these scans", path.display()))
}

fn slices_of(frame: &DataFrame, scans: &[Scan]) -> Result<Vec<Slice>> {
    let by_folder: HashMap<&str, usize> = scans.iter().enumerate().map(|(i, s)| (s.folder.as_str(), i)).collect();
    let numbers = |name: &str| -> Result<Vec<Option<u32>>> { Ok(frame.column(name)?.u32()?.iter().collect()) };
    let paths = text_column(frame, "path")?;
    let (formats, colours) = (text_column(frame, "format")?, text_column(frame, "colour")?);
    let hashes = text_column(frame, "sha256")?;
    let (slice, width, height) = (numbers("slice")?, numbers("width")?, numbers("height")?);
    let (at, frames) = (text_column(frame, "at")?, numbers("frame")?);
    // Slices of one volume share the text.
    let mut last: Option<Arc<str>> = None;
    let mut shared = |at: &str| match &last {
        Some(known) if **known == *at => Arc::clone(known),
        _ => Arc::clone(last.insert(at.into())),
    };
    let bytes: Vec<Option<u64>> = frame.column("bytes")?.u64()?.iter().collect();
    let mut row = |i: usize| -> Result<Slice> {
        let path = paths[i].as_deref().with_context(|| format!("row {i} has no path"))?;
        let (folder, file) = path.rsplit_once('/').with_context(|| format!("row {i}: {path:?} lies in no folder"))?;
        let scan = *by_folder.get(folder).with_context(|| format!("row {i}: {folder} is no scan of the summary"))?;
        let header = match (&formats[i], &colours[i], width[i], height[i]) {
            (Some(format), Some(colour), Some(width), Some(height)) => {
                Some(Header { format: parse_format(format)?, width, height, colour: parse_colour(colour)? })
            }
            _ => None,
        };
        let sha256 = hashes[i].as_deref().and_then(Digest::parse);
        let sha256 = sha256.with_context(|| format!("row {i}: {:?} is no SHA-256", hashes[i]))?;
        let bytes = bytes[i].with_context(|| format!("row {i} has no file size"))?;
        let (at, frame) = (at[i].as_deref().map(&mut shared), frames[i]);
        Ok(Slice { scan, file: file.to_owned(), at, frame, number: slice[i], bytes, header, sha256 })
    };
    (0..paths.len()).map(&mut row).collect()
}

fn parse_format(name: &str) -> Result<Format> {
    Format::named(name).with_context(|| format!("expected a format such as jpeg, png or dicom, found {name:?}"))
}

fn colour_name(colour: ColourMode) -> &'static str {
    match colour {
        ColourMode::Grey => "grey",
        ColourMode::Colour => "colour",
    }
}

fn parse_colour(name: &str) -> Result<ColourMode> {
    match [ColourMode::Grey, ColourMode::Colour].into_iter().find(|c| colour_name(*c) == name) {
        Some(colour) => Ok(colour),
        None => bail!("expected a colour mode of grey or colour, found {name:?}"),
    }
}
