use super::*;

const ROWS: usize = 2 * BLOCK + 3;

fn place(folder: &Path) -> Place {
    Place { folder: folder.join("cache"), file: "rows.bin", rows: ROWS }
}

/// Row 7 is `7` seven times, and so on: every row has another length.
fn row(number: usize) -> Vec<u8> {
    vec![number as u8; number]
}

fn put(building: &Building, block: &Range<usize>) {
    let rows: Vec<Vec<u8>> = block.clone().map(row).collect();
    let lengths: Vec<u32> = rows.iter().map(|row| row.len() as u32).collect();
    building.put(block, &rows.concat(), &lengths).expect("puts");
}

#[test]
fn a_build_that_was_cut_off_keeps_what_it_has_and_ends_as_a_whole_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(folder.path());
    let building = Building::begin(&place).expect("begins");
    assert!(Building::begin(&place).is_err(), "two build the same");
    assert_eq!(building.missing(), [0..BLOCK, BLOCK..2 * BLOCK, 2 * BLOCK..ROWS]);
    put(&building, &(BLOCK..2 * BLOCK));
    put(&building, &(2 * BLOCK..ROWS));
    drop(building);
    // The last entry of the journal was cut off.
    let journal = place.folder.join("journal");
    let bytes = fs::read(&journal).expect("reads");
    fs::write(&journal, &bytes[..bytes.len() - 1]).expect("writes");
    let building = Building::begin(&place).expect("goes on");
    assert_eq!(building.missing(), [0..BLOCK, 2 * BLOCK..ROWS]);
    assert_eq!(building.already(), BLOCK);
    building.missing().iter().for_each(|block| put(&building, block));
    building.finish(&"made of").expect("finishes");
    let rows = Rows::open(&place, &"made of".to_owned()).expect("opens");
    for number in 0..ROWS {
        assert_eq!(rows.row(number).expect("a row"), row(number));
    }
    assert!(rows.row(ROWS).is_err());
    assert!(Rows::open(&place, &"made of something else".to_owned()).is_err());
}

#[test]
fn rows_that_a_machine_took_along_are_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(folder.path());
    let building = Building::begin(&place).expect("begins");
    building.missing().iter().take(2).for_each(|block| put(&building, block));
    drop(building);
    // A power cut: the journal got to the disk, a byte of the second block did not.
    let partial = place.path(".partial");
    let mut bytes = fs::read(&partial).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&partial, bytes).expect("writes");
    let building = Building::begin(&place).expect("goes on");
    assert_eq!(building.missing(), [BLOCK..2 * BLOCK, 2 * BLOCK..ROWS]);
}
