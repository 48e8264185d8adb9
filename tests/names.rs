//! Names from outside (folders, files, patients, sources) stay text in everything that is written or shown.

use crate::support::{folder, program, run, silent};
use covid_ct::{Audit, Check, Manifest, PhantomConfig, RunFolder, Show, Subset, Workspace, draw_phantom};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What would be markup, an escape sequence, a formula or the notebook's protocol; harmless as such.
const MARKERS: [&str; 6] = [
    "=1+1",
    "<b>marker</b>",
    "\u{1b}[1m",
    "\nEVCXR_BEGIN_CONTENT text/html\n<i>x</i>\nEVCXR_END_CONTENT",
    "cov\u{202e}di\u{2028}\u{9b}",
    "@`x`|*y*_z_&\"'",
];
/// As much of that as one folder's name can hold.
const ROOT: &str = "=1+1 <b>m `x|\u{1b}[1m\nEVCXR_BEGIN_CONTENT x";

/// A small data set of such names, whose table of labels was written by the program and filled in; and the name of each scan.
fn data_set(home: &Path) -> (PathBuf, Vec<String>) {
    let (drawn, data) = (home.join("drawn"), home.join(ROOT));
    let config = PhantomConfig {
        size: 64,
        train_scans: 7,
        val_scans: 4,
        prediction_scans: 3,
        slices: 4,
        defects: false,
        ..PhantomConfig::default()
    };
    draw_phantom(&drawn, &config, silent).expect("draws");
    let of_phantom = Manifest::scan(&drawn, silent).expect("scans");
    let mut names = Vec::new();
    for (scan, marker) in of_phantom.scans.iter().zip(MARKERS.into_iter().cycle()) {
        let name = format!("{marker}#{}", names.len());
        fs::create_dir_all(data.join(&name).parent().expect("a folder")).expect("a folder");
        fs::rename(drawn.join(&scan.folder), data.join(&name)).expect("moves");
        fs::rename(data.join(&name).join("1.jpg"), data.join(&name).join("+1\n\u{1b}[1m<b>.jpg")).expect("renames");
        names.push(name);
    }
    fs::write(data.join("notes\n\u{1b}[1m<b>"), "").expect("writes");
    let table = data.join("labels.csv");
    assert_eq!(Manifest::write_label_table(&data, &table, silent).expect("writes"), names.len());
    let mut rows = cells(&table);
    for row in &mut rows[1..] {
        let number: usize = row[0].rsplit('#').next().and_then(|number| number.parse().ok()).expect("a number");
        let scan = &of_phantom.scans[number];
        let marker = MARKERS[number % MARKERS.len()];
        row[1] = scan.label.map_or(String::new(), |label| label.to_string());
        row[2] = scan.label.map_or(String::new(), |_| scan.set.to_string());
        (row[3], row[4]) = (marker.to_owned(), format!("{marker}P{number}"));
    }
    let mut written = csv::Writer::from_path(&table).expect("a table");
    rows.iter().for_each(|row| written.write_record(row).expect("writes"));
    (data, names)
}

fn cells(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).expect("a table");
    reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect()
}

/// What every output must be: nothing in it is hidden, and no word is the notebook's.
fn seen(what: &str, text: &str) {
    let hidden = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}".contains(c);
    assert!(!text.contains(hidden) && !text.contains("EVCXR_"), "{what}:\n{text:?}");
}

fn no_markup(what: &str, html: &str) {
    seen(what, html);
    for marker in ["<b>m", "<b>.jpg", "<i>x"] {
        assert!(!html.contains(marker), "{what}: {marker} in\n{html}");
    }
}

/// Elements that are closed in order, attributes in quotes, no other `<` and `&` than XML's.
fn is_well_formed(xml: &str) -> Result<(), String> {
    let (mut open, mut rest) = (Vec::new(), xml);
    while let Some((text, after)) = rest.split_once('<') {
        let entities = ["amp;", "lt;", "gt;", "quot;", "apos;"];
        let is_entity = |after: &str| entities.iter().any(|entity| after.starts_with(entity));
        if !text.split('&').skip(1).all(is_entity) || text.contains("]]>") {
            return Err(format!("text {text:?}"));
        }
        let mut quotes = after.split_inclusive('"').scan((0, 0), |(quotes, length), piece| {
            let end = piece.find('>').filter(|_| *quotes % 2 == 0).map(|end| *length + end);
            (*quotes, *length) = (*quotes + 1, *length + piece.len());
            Some(end)
        });
        let end = quotes.find_map(|end| end).ok_or("a tag without an end")?;
        let tag = &after[..end];
        rest = &after[end + 1..];
        let name: String = tag.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        match tag.strip_prefix('/') {
            Some(name) if open.last() != Some(&name.to_owned()) => return Err(format!("</{name}> closes {open:?}")),
            Some(_) => _ = open.pop(),
            None if name.is_empty() || tag.contains('<') || tag.matches('"').count() % 2 != 0 => {
                return Err(tag.to_owned());
            }
            None if !tag.ends_with('/') => open.push(name),
            None => {}
        }
    }
    if open.is_empty() && rest.trim().is_empty() { Ok(()) } else { Err(format!("{open:?} open, {rest:?} after")) }
}

/// Checks a file by its ending; returns the ending.
fn check_file(path: &Path) -> String {
    let what = format!("{path:?}");
    let ending = path.extension().map_or(String::new(), |ending| ending.to_string_lossy().into_owned());
    let text = || fs::read_to_string(path).expect("UTF-8");
    match ending.as_str() {
        "html" => no_markup(&what, &text()),
        "svg" => {
            no_markup(&what, &text());
            assert_eq!(is_well_formed(&text()), Ok(()), "{what}");
        }
        "json" => {
            seen(&what, &text());
            serde_json::from_str::<serde_json::Value>(&text()).expect("JSON");
        }
        "md" => {
            no_markup(&what, &text().replace("\\<", ""));
            assert!(text().contains(r"## Data: =1+1 \<b\>m \`x\|"), "{}", text());
        }
        "csv" => {
            for cell in cells(path).iter().flatten() {
                seen(&what, cell);
                assert!(!cell.starts_with(['=', '+', '-', '@']), "{what}: {cell}");
            }
        }
        _ => {}
    }
    ending
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn the_check_of_xml_can_fail() {
    assert_eq!(is_well_formed("<a><b x=\"1>2\"/>text &lt;</a>\n"), Ok(()));
    for wrong in ["<a>", "<a></b>", "<a>&</a>", "<a x=\"></a>", "<a><b></a></b>", "text", "<a/><"] {
        assert!(is_well_formed(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_name_is_text_in_every_output() {
    let folder = folder();
    let home = folder.path().join("work");
    let (data, names) = data_set(folder.path());
    let elsewhere = folder.path().join("elsewhere <b>m\u{1b}[1m\nEVCXR_BEGIN_CONTENT x");
    symlink(&data, &elsewhere).expect("links");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    let settings = ["--network", "fcn", "--small", "--size", "32", "--epochs", "2", "--device", "cpu"];
    let train = [&["train"], &settings[..]].concat();
    let stages: [&[&str]; 10] = [
        &["audit", "--details", "hidden-characters"],
        &train,
        &["evaluate", "--name", "fcn"],
        &["predict", "--name", "fcn"],
        &["predict", elsewhere, "--name", "fcn"],
        &["validate", elsewhere, "--name", "fcn"],
        &["explain", "--name", "fcn"],
        &["shortcuts"],
        &["export", "--name", "fcn", "card.safetensors"],
        &["report"],
    ];
    for stage in stages {
        let output = program(&home, &data).current_dir(folder.path()).args(stage).output().expect("starts");
        let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
        assert!(output.status.success(), "{stage:?}: {said:?}");
        said.iter().for_each(|said| seen(stage[0], said));
    }

    let mut checked: BTreeMap<String, usize> = BTreeMap::new();
    let cards = ["card.safetensors.md", "card.safetensors.json"].map(|card| folder.path().join(card));
    for path in files_below(&home).into_iter().chain(cards) {
        *checked.entry(check_file(&path)).or_default() += 1;
    }
    let count = |ending: &str| checked.get(ending).copied().unwrap_or(0);
    assert!(count("svg") > 10 && count("html") > 3 && count("json") > 10 && count("csv") > 6, "{checked:?}");
    assert_eq!(count("md"), 1);

    let workspace = Workspace::at(Some(home), Some(data.clone())).expect("opens");
    let audit = workspace.audit().expect("reads");
    every_hidden_character_is_found(&audit, &names);
    shown_in_notebooks(&audit, &workspace.run("fcn"));
    what_is_wrong_is_said_on_one_line(workspace.home(), &data);
}

fn every_hidden_character_is_found(audit: &Audit, names: &[String]) {
    let manifest = audit.manifest();
    assert_eq!(manifest.scans.len(), names.len());
    assert!(names.iter().all(|name| manifest.scans.iter().any(|scan| scan.folder == *name)), "{:?}", manifest.scans);
    assert_eq!(audit.count(Check::UnmatchedRow), 0, "{}", audit.details(Check::UnmatchedRow));
    let found: BTreeMap<&str, &str> = audit
        .findings()
        .iter()
        .filter(|of| of.check == Check::HiddenCharacters)
        .map(|of| (of.path.as_str(), of.detail.as_str()))
        .collect();
    let hides = |name: &&String| name.contains(['\n', '\u{1b}', '\u{202e}']);
    // The data set, a stray file, a slice of each scan, and the scans that hide something.
    assert_eq!(found.len(), 2 + names.len() + names.iter().filter(hides).count(), "{found:#?}");
    assert_eq!(found[ROOT], "U+000A, U+001B in its name");
    assert_eq!(found["notes\n\u{1b}[1m<b>"], "U+000A, U+001B in its name");
    assert_eq!(
        found[names[2].as_str()],
        "U+001B in its path; U+001B in its patient's name; U+001B in its source's name"
    );
    assert_eq!(found["=1+1#0/+1\n\u{1b}[1m<b>.jpg"], "U+000A, U+001B in its name");
    let accepted = audit.accepted();
    assert_eq!(accepted.slices.len(), manifest.slices.len(), "all are kept: {audit}");
    assert!(accepted.scans.iter().all(|scan| scan.source.is_some() && scan.patient.is_some()));
}

fn shown_in_notebooks(audit: &Audit, run: &RunFolder) {
    let (manifest, accepted) = (audit.manifest(), audit.accepted());
    let sheet = audit.contact_sheet(Check::HiddenCharacters, 30).expect("draws");
    assert!(sheet.svg().contains(r"+1\n\u{1b}[1m&lt;b&gt;.jpg") && is_well_formed(sheet.svg()) == Ok(()));
    let split = run.split(&accepted).expect("reads");
    let evaluation = run.evaluation().expect("reads");
    let frame = manifest.to_frame().expect("a frame");
    let inference = run.inference().expect("reads");
    let details = audit.details(Check::HiddenCharacters);
    let overlaps = split.overlap_table(20);
    let predictions = run.predictions(Subset::Test).expect("reads");
    let shown: [&dyn Show; 12] = [
        manifest,
        audit,
        &sheet,
        &details,
        &split,
        &overlaps,
        &frame,
        &evaluation,
        &inference,
        &predictions,
        &predictions.by_scan(&evaluation.rule),
        run,
    ];
    for (number, part) in shown.into_iter().enumerate() {
        seen(&format!("text {number}"), &part.text());
        no_markup(&format!("html {number}"), &part.html());
    }
    assert!(
        details.html().replace("<wbr>", "").contains(r"\nEVCXR\u{5f}BEGIN_CONTENT text/html\n&lt;i&gt;x&lt;/i&gt;")
    );
}

fn what_is_wrong_is_said_on_one_line(home: &Path, data: &Path) {
    let missing = data.join("missing\n\u{1b}[1m");
    let missing = missing.to_str().expect("UTF-8");
    // The names of runs are letters and digits; the path of a folder may be any.
    let wrong: [&[&str]; 4] = [
        &["predict", missing, "--name", "fcn"],
        &["train", "--name", "=1+1\u{1b}"],
        &["evaluate", "--name", "<b>\u{1b}[1m\nEVCXR_BEGIN_CONTENT text"],
        &["predict", missing, "--name", "no/such\n\u{1b}[1m"],
    ];
    for arguments in wrong {
        let output = run(home, data, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.lines().count() == 1, "{arguments:?}: {said}");
        seen("an error", &said);
    }
    let name = run(home, data, wrong[1]);
    let said = String::from_utf8_lossy(&name.stderr).into_owned();
    assert!(said.contains(r#"name: expected letters, digits, '-', '_' and '.', found "=1+1\u{1b}""#), "{said}");
    let error = Manifest::of_new_scans(missing, silent).expect_err("nothing there");
    for said in [error.to_string(), format!("{error:#}")] {
        assert!(said.lines().count() == 1 && said.contains(r"missing\n\u{1b}[1m"), "{said}");
        seen("an error in a cell", &said);
    }
}
