//! How tables look, and what the notebook reads.

use super::*;

fn table() -> Table {
    let mut table = Table::new("Scans", &["Set", "Slices"]);
    table.row(["train", "153,680"]);
    table.row(["<val>", "–"]);
    table.note("Two rows.")
}

#[test]
fn text_is_aligned() {
    assert_eq!(table().text(), "Scans\nSet     Slices\n─────  ───────\ntrain  153,680\n<val>        –\nTwo rows.");
}

/// What evcxr makes of a cell's output: the blocks by their kind, and the other lines. A block may begin anywhere in a line.
fn read_by_notebook(output: &str) -> (Vec<(String, String)>, Vec<&str>) {
    let (mut blocks, mut others, mut lines) = (Vec::new(), Vec::new(), output.lines());
    while let Some(line) = lines.next() {
        match line.split_once("EVCXR_BEGIN_CONTENT ").and_then(|(_, kind)| kind.split(' ').next()) {
            Some(kind) => {
                let content: Vec<&str> = lines.by_ref().take_while(|line| *line != "EVCXR_END_CONTENT").collect();
                blocks.push((kind.to_owned(), content.join("\n")));
            }
            None => others.push(line),
        }
    }
    (blocks, others)
}

#[test]
fn no_name_begins_or_ends_a_block_of_the_notebook() {
    const BLOCK: &str = "\nEVCXR_BEGIN_CONTENT text/html\n<i>x</i>\nEVCXR_END_CONTENT";
    let mut table = Table::new(BLOCK, &[BLOCK, "B"]);
    table.row([BLOCK, "EVCXR_BEGIN_CONTENT text/html"]);
    table.row(["EVCXR_END_CONTENT", "2"]);
    let table = table.note("EVCXR_END_CONTENT");
    let page = Page::new().titled(BLOCK, &table);
    for part in [&table as &dyn Show, &page] {
        let output = blocks(&part.html(), &part.text());
        let (blocks, others) = read_by_notebook(&output);
        let kinds: Vec<&str> = blocks.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!((kinds, others), (vec!["text/html", "text/plain"], Vec::new()), "{output}");
        assert!(!blocks[0].1.contains("<i>") && blocks[1].1 == part.text(), "{output}");
        assert!(read_by_notebook(&part.text()).0.is_empty(), "printed by println");
    }
    let raw = blocks("EVCXR_END_CONTENT", "a\r\u{1b}\nEVCXR_BEGIN_CONTENT text/html");
    assert_eq!(read_by_notebook(&raw).0[1].1, "a\\r\\u{1b}\nEVCXR\\u{5f}BEGIN_CONTENT text/html");
    assert_eq!(table.text().lines().count(), 1 + 2 + 2 + 1);
}

#[test]
fn html_is_escaped_and_numbers_stand_right() {
    let html = table().html();
    assert!(html.contains("&lt;val&gt;") && !html.contains("<val>"));
    assert!(html.contains("text-align:right"));
}

#[test]
fn a_table_has_a_caption_and_its_cells_a_scope() {
    let html = table().html();
    assert!(
        html.contains("<table ") && html.split("<table ").nth(1).is_some_and(|of| of.contains("><caption ")),
        "{html}"
    );
    let count = |of: &str| html.matches(of).count();
    assert_eq!(
        (count("<caption "), count("<th scope=\"col\""), count("<th scope=\"row\""), count("<td ")),
        (1, 2, 2, 2)
    );
}

#[test]
fn rows_of_a_frame_are_one_line_each_and_hashes_short() {
    let (path, hash) = ("train/covid/a_scan_with_a_long_name/0012.jpg", "0123456789abcdef".repeat(4));
    let frame = polars::df!("path" => [path, path], "sha256" => [hash.as_str(), "ab"]).expect("a frame");
    let table = Table::from_frame("2 rows", &frame, 1);
    assert_eq!(table.rows(), [[path, "0123456789ab…"]]);
    assert!(table.html().contains("white-space:nowrap") && table.text().ends_with("The first 1 of 2 rows."));
}
