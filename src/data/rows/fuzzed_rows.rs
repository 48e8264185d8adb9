//! Tables and journals of caches of any bytes: see `fuzzing`.

use super::row_table::{RowIndex, SPOT};
use super::{Building, Checking, Place, Rows};
use std::fs;
use tempfile::TempDir;

/// A folder in memory with these files, and the place of 200 rows in it.
fn place(files: &[(&str, &[u8])]) -> Option<(TempDir, Place)> {
    let folder = tempfile::tempdir_in("/dev/shm").ok()?;
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).ok()?;
    }
    let place = Place { folder: folder.path().to_owned(), file: "rows.bin", rows: 200 };
    Some((folder, place))
}

/// Opens a cache whose table is these bytes, and reads every row.
pub(crate) fn opened(bytes: &[u8]) {
    let rows = [7; 4096];
    // As if these bytes had been written: their hash is right.
    let Ok(index) = serde_json::to_vec(&RowIndex::of(bytes, 0)) else { return };
    let Some((_folder, mut place)) = place(&[("rows.bin.rows", bytes), ("rows.bin", &rows), ("index.json", &index)])
    else {
        return;
    };
    place.rows = bytes.len() / SPOT;
    if let Ok(opened) = Rows::open(&place, &0, Checking::Always) {
        let all: Vec<usize> = (0..place.rows).collect();
        opened.read_ahead(&all);
        all.iter().for_each(|row| _ = opened.read(&[*row], &mut Vec::new()));
        let _ = opened.read(&all, &mut Vec::new());
    }
}

/// Resumes a build whose journal is these bytes: rows that it takes for built are those that are there.
pub(crate) fn resumed(bytes: &[u8]) {
    let rows = [7; 4096];
    let Some((_folder, place)) = place(&[("journal", bytes), ("rows.bin.partial", &rows)]) else { return };
    if let Ok(Some(building)) = Building::begin(&place, |_| ()) {
        let missing: usize = building.missing().iter().map(ExactSizeIterator::len).sum();
        assert_eq!(building.already() + missing, place.rows);
    }
}
