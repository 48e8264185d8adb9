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

fn begun(place: &Place) -> Building {
    Building::begin(place).expect("begins").expect("rows to build")
}

#[test]
fn a_build_that_was_cut_off_keeps_what_it_has_and_ends_as_a_whole_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(folder.path());
    let building = begun(&place);
    assert!(Building::begin(&place).is_err(), "two build the same");
    assert_eq!(building.missing(), [0..BLOCK, BLOCK..2 * BLOCK, 2 * BLOCK..ROWS]);
    put(&building, &(BLOCK..2 * BLOCK));
    put(&building, &(2 * BLOCK..ROWS));
    drop(building);
    // The last entry of the journal was cut off.
    let journal = place.folder.join("journal");
    let bytes = fs::read(&journal).expect("reads");
    fs::write(&journal, &bytes[..bytes.len() - 1]).expect("writes");
    let building = begun(&place);
    assert_eq!(building.missing(), [0..BLOCK, 2 * BLOCK..ROWS]);
    assert_eq!(building.already(), BLOCK);
    building.missing().iter().for_each(|block| put(&building, block));
    building.finish(&"made of").expect("finishes");
    assert!(Building::begin(&place).expect("looks").is_none(), "a whole file is never built again");
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
    let building = begun(&place);
    building.missing().iter().take(2).for_each(|block| put(&building, block));
    drop(building);
    // A power cut: the journal got to the disk, a byte of the second block did not.
    let partial = place.path(".partial");
    let mut bytes = fs::read(&partial).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&partial, bytes).expect("writes");
    let building = begun(&place);
    assert_eq!(building.missing(), [BLOCK..2 * BLOCK, 2 * BLOCK..ROWS]);
}

#[test]
fn what_was_asked_for_or_spared_is_read_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place { folder: folder.path().to_owned(), file: "rows.bin", rows: 3 };
    let building = begun(&place);
    let rows: Vec<Vec<u8>> = (1..=3_u8).map(|number| vec![number; 300_000]).collect();
    building.put(&(0..3), &rows.concat(), &[300_000; 3]).expect("puts");
    building.finish(&"made of").expect("finishes");
    let found = Rows::open(&place, &"made of".to_owned()).expect("opens");
    // Those beyond the last are left out: advice is never an error.
    found.read_ahead(&[2, 0, 7]);
    assert_eq!(found.pieces(&[2, 0, 7]), [0..300_000, 600_000..900_000], "in the order of the file, and apart");
    assert_eq!(found.pieces(&[1, 2, 0]), vec![0..300_000 * 3; 1], "side by side: one piece");
    found.release(&[0, 2]);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(found.row(number).expect("a row"), row);
    }
}
