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
    building
        .put(block, rows.iter().zip(block.clone()).map(|(row, number)| (row.as_slice(), mark(number))))
        .expect("puts");
}

fn mark(number: usize) -> u8 {
    (number % 3) as u8
}

fn begun(place: &Place) -> Building {
    Building::begin(place, |note| panic!("{note}")).expect("begins").expect("rows to build")
}

fn built(place: &Place) -> Rows {
    let building = begun(place);
    building.missing().iter().for_each(|block| put(&building, block));
    building.finish(&"made of").expect("finishes");
    opened(place, Checking::Always).expect("opens")
}

fn opened(place: &Place, checking: Checking) -> Result<Rows> {
    Rows::open(place, &"made of".to_owned(), checking)
}

/// A row, if it is as it was written.
fn read(rows: &Rows, number: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    rows.read(&[number], &mut bytes).map(|()| bytes)
}

fn message<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

#[test]
fn a_build_that_was_cut_off_keeps_what_it_has_and_ends_as_a_whole_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(folder.path());
    let building = begun(&place);
    assert_eq!(building.missing(), [0..BLOCK, BLOCK..2 * BLOCK, 2 * BLOCK..ROWS]);
    assert_eq!(
        building.put(&(0..BLOCK), [(&[1_u8][..], 0)]).expect_err("too few").to_string(),
        "expected 128 rows for 0..128, found 1"
    );
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
    assert!(Building::begin(&place, |_| ()).expect("looks").is_none(), "a whole file is never built again");
    let rows = opened(&place, Checking::Always).expect("opens");
    for number in 0..ROWS {
        assert_eq!(
            (read(&rows, number).expect("a row"), rows.mark(number).expect("a row")),
            (row(number), mark(number))
        );
    }
    // Together, in any order and repeated.
    let order: Vec<usize> = (0..ROWS).map(|number| number * 100 % ROWS).chain([3, 3, 4, 5]).collect();
    let mut together = b"before".to_vec();
    rows.read(&order, &mut together).expect("rows");
    assert_eq!(together, [b"before".to_vec(), order.iter().flat_map(|number| row(*number)).collect()].concat());
    let beyond = format!("slice {ROWS} is not in the cache {} of {ROWS} slices", place.folder.display());
    assert_eq!((message(read(&rows, ROWS)), message(rows.mark(ROWS))), (beyond.clone(), beyond));
    let other = Rows::open(&place, &"made of something else".to_owned(), Checking::Always);
    assert!(message(other).ends_with("it was made from something else"));
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
fn no_flipped_bit_of_a_journal_changes_a_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(folder.path());
    let building = begun(&place);
    put(&building, &(0..BLOCK));
    put(&building, &(2 * BLOCK..ROWS));
    drop(building);
    let [journal, partial] = [place.folder.join("journal"), place.path(".partial")];
    let [entries, rows] = [&journal, &partial].map(|path| fs::read(path).expect("reads"));
    for bit in (0..entries.len() * 8).step_by(251) {
        fs::remove_dir_all(&place.folder).expect("removes");
        fs::create_dir(&place.folder).expect("creates");
        let mut flipped = entries.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&journal, flipped).expect("writes");
        fs::write(&partial, &rows).expect("writes");
        let building = begun(&place);
        // The first entry that does not fit, and those behind it, are forgotten.
        assert!(building.already() < BLOCK + 3, "bit {bit}");
        building.missing().iter().for_each(|block| put(&building, block));
        building.finish(&"made of").expect("finishes");
        let rows = opened(&place, Checking::Always).expect("opens");
        for number in 0..ROWS {
            let found = (read(&rows, number).expect("a row"), rows.mark(number).expect("a row"));
            assert_eq!(found, (row(number), mark(number)), "bit {bit}");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_whole_file_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(folder.path());
    drop(built(&place));
    let rows = |of: &Rows| (0..ROWS).map(|at| Ok((read(of, at)?, of.mark(at)?))).collect::<Result<Vec<_>>>();
    let whole = rows(&opened(&place, Checking::Always).expect("opens")).expect("rows");
    for (path, all_are_errors) in [(place.path(""), true), (place.path(".rows"), true), (place.index(), false)] {
        let bytes = fs::read(&path).expect("reads");
        for bit in (0..bytes.len() * 8).step_by(bytes.len() / 40 + 1) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).expect("writes");
            // A letter of the index in another case, or another space, is the same JSON.
            match opened(&place, Checking::Once).and_then(|of| rows(&of)) {
                Ok(found) => assert!(found == whole && !all_are_errors, "bit {bit} of {}", path.display()),
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(error.contains(&place.folder.display().to_string()) && error.contains("delete"), "{error}");
                }
            }
            assert!(place.is_built(), "bit {bit} of {}: damage is never taken for an earlier version", path.display());
        }
        // The index ends in a line break.
        for length in [0, bytes.len() / 2, bytes.len() - 2] {
            fs::write(&path, &bytes[..length]).expect("writes");
            let error = message(opened(&place, Checking::Once).and_then(|of| rows(&of)));
            assert!(error.contains("which can be deleted to have it built again"), "{error}");
        }
        fs::write(&path, bytes).expect("writes");
    }
    assert_eq!(rows(&opened(&place, Checking::Once).expect("opens")).expect("rows"), whole);
}

#[test]
fn damage_is_named_with_file_and_row_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(folder.path());
    let rows = built(&place);
    let often_read = opened(&place, Checking::Once).expect("opens");
    assert_eq!(read(&often_read, 200).expect("as written"), row(200));
    let (path, spot) = (place.path(""), rows.table.spot(200).expect("a row"));
    let zeros = File::options().write(true).open(&path).expect("opens");
    zeros.write_all_at(&[0; 200], spot.offset).expect("zeroes a row");
    let (file, cache) = (path.display(), place.folder.display());
    let expected = format!(
        "slice 200 in {file} is damaged: its CRC-32C should be {:08x}, it is {:08x}; delete the folder {cache} and run \
         this again to have it built anew",
        crc32c::crc32c(&row(200)),
        crc32c::crc32c(&[0; 200])
    );
    assert_eq!(message(read(&rows, 200)), expected);
    assert_eq!(message(rows.read(&[199, 200, 201], &mut Vec::new())), expected);
    assert_eq!(read(&rows, 199).expect("untouched"), row(199));
    // Once compared, a row is taken as it is.
    assert_eq!(read(&often_read, 200).expect("not compared again"), [0; 200]);
    // Cut while it is open: an error where a mapped file would end the program.
    zeros.set_len(spot.offset + 100).expect("cuts");
    let (begin, end) = (spot.offset, spot.end());
    let expected = format!(
        "reading slice 200 from the bytes {begin}..{end} of {file}; delete the folder {cache} and run this again to have \
         it built anew: failed to fill whole buffer"
    );
    assert_eq!((message(read(&rows, 200)), message(read(&often_read, 200))), (expected.clone(), expected));
}

#[test]
fn a_file_of_an_earlier_version_is_built_again_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = place(folder.path());
    fs::create_dir_all(&place.folder).expect("creates");
    // As the first version wrote them: spots without checksums, and an index that is the description itself.
    fs::write(place.path(""), vec![9; 40_000]).expect("writes");
    fs::write(place.path(".rows"), vec![0; 12 * ROWS]).expect("writes");
    fs::write(place.index(), "{\n  \"manifest\": \"made of\"\n}\n").expect("writes");
    assert!(!place.is_built());
    let notes = Mutex::new(Vec::new());
    let building = Building::begin(&place, |note| locked(&notes).push(note.to_owned())).expect("begins");
    let building = building.expect("rows to build");
    assert_eq!(*locked(&notes), ["built again: the one there is of an earlier version, without checksums"]);
    assert!(!place.path("").exists() && !place.index().exists());
    building.missing().iter().for_each(|block| put(&building, block));
    building.finish(&"made of").expect("finishes");
    assert_eq!(read(&opened(&place, Checking::Always).expect("opens"), 7).expect("a row"), row(7));
    // A later version's is left alone.
    let index = fs::read_to_string(place.index()).expect("reads").replace("\"format\": 2", "\"format\": 3");
    fs::write(place.index(), index).expect("writes");
    assert!(place.is_built());
    let error = message(opened(&place, Checking::Always));
    assert!(error.ends_with("expected the format 2, found 3, of another version"), "{error}");
}

#[test]
fn whoever_builds_the_same_waits_and_uses_what_was_built_or_goes_on_where_the_other_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    for is_killed in [false, true] {
        let place = Place { folder: folder.path().join(is_killed.to_string()), file: "rows.bin", rows: ROWS };
        let building = begun(&place);
        put(&building, &(0..BLOCK));
        let (said, saying) = std::sync::mpsc::channel();
        let waiting = {
            let place = place.clone();
            std::thread::spawn(move || {
                let say = |note: &str| said.send(note.to_owned()).expect("sends");
                Building::begin(&place, say).expect("begins").map(|building| building.missing())
            })
        };
        assert_eq!(saying.recv().expect("a note"), "another process is building it: waiting for that one to end");
        assert!(!waiting.is_finished());
        if is_killed {
            // A killed process lets go of its lock, too.
            drop(building);
        } else {
            building.missing().iter().for_each(|block| put(&building, block));
            building.finish(&"made of").expect("finishes");
        }
        let found = waiting.join().expect("ends");
        assert_eq!(found, is_killed.then(|| vec![BLOCK..2 * BLOCK, 2 * BLOCK..ROWS]));
    }
}

#[test]
fn a_full_disk_is_said_of_the_file_that_was_written() {
    // A file that is open for reading only stands for one on a full disk.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("slices.bin.partial");
    fs::write(&path, "").expect("writes");
    let growing = Growing { file: File::open(&path).expect("opens"), path: path.clone(), end: Mutex::new(0) };
    let error = message(growing.add(b"a row"));
    assert!(error.starts_with(&format!("writing {}: ", path.display())), "{error}");
}

#[test]
fn what_was_asked_for_ahead_is_read_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place { folder: folder.path().to_owned(), file: "rows.bin", rows: 3 };
    let building = begun(&place);
    let rows: Vec<Vec<u8>> = (1..=3_u8).map(|number| vec![number; 300_000]).collect();
    building.put(&(0..3), rows.iter().map(|row| (row.as_slice(), 0))).expect("puts");
    building.finish(&"made of").expect("finishes");
    let found = opened(&place, Checking::Once).expect("opens");
    // Those beyond the last are left out: advice is never an error.
    found.read_ahead(&[2, 0, 7]);
    assert_eq!(found.pieces(&[2, 0, 7]), [0..300_000, 600_000..900_000], "in the order of the file, and apart");
    assert_eq!(found.pieces(&[1, 2, 0]), vec![0..300_000 * 3; 1], "side by side: one piece");
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(&read(&found, number).expect("a row"), row);
    }
}

#[test]
fn a_filled_file_holds_the_rows_that_are_kept_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let filling = |rows: &[usize]| {
        let filling = Filling::begin(folder.path()).expect("begins");
        for &number in rows {
            filling.put(number, &CachedRow { bytes: row(number), mark: mark(number) }).expect("puts");
        }
        filling
    };
    drop(filling(&[1]));
    let place = Place { folder: folder.path().join("cache"), file: "rows.bin", rows: 2 };
    filling(&[8, 2, 5]).finish(&place, &[2, 8], &"made of").expect("finishes");
    let rows = opened(&place, Checking::Always).expect("opens");
    assert_eq!((read(&rows, 0).expect("a row"), rows.mark(0).expect("a row")), (row(2), mark(2)));
    assert_eq!((read(&rows, 1).expect("a row"), rows.mark(1).expect("a row")), (row(8), mark(8)));
    assert_eq!(message(filling(&[1]).finish(&place, &[4], &"made of")), "row 4 was never filled");
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("lists").flatten().map(|of| of.file_name().into_string());
        let mut names = entries.collect::<Result<Vec<_>, _>>().expect("names");
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["cache"]);
    assert_eq!(names(&place.folder), ["index.json", "lock", "rows.bin", "rows.bin.rows"]);
}
