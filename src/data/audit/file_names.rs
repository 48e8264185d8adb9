//! What the names of files show: what is no picture, and the order of slices.

use super::{Check, Finding};
use crate::data::manifest::{Manifest, NamedOrder, OrderedBy};

/// Numbers and names that a finding lists.
const SHOWN: usize = 5;

/// What a file is that is not named as a picture, by its name.
pub(super) fn kind_of(name: &str) -> String {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let known = match (name, ending.as_deref()) {
        (".DS_Store", _) => "settings of a folder in macOS' Finder",
        (name, _) if name.eq_ignore_ascii_case("thumbs.db") => "thumbnails of Windows",
        (name, _) if name.eq_ignore_ascii_case("desktop.ini") => "settings of a folder in Windows",
        (name, _) if name.starts_with("._") => "AppleDouble, which macOS writes beside a file",
        (name, _) if name.starts_with('.') => "a hidden file",
        (_, Some("txt" | "md" | "log" | "csv" | "tsv" | "json" | "xml" | "html" | "ini")) => "a text or a table",
        (_, Some("pdf" | "doc" | "docx" | "xls" | "xlsx" | "ppt" | "pptx")) => "a document",
        (_, Some("mp4" | "avi" | "mov" | "mkv" | "webm" | "wmv")) => "a video",
        (_, Some("zip" | "rar" | "7z" | "tar" | "gz" | "tgz")) => "an archive: unpack it",
        (_, Some("bmp" | "gif" | "webp" | "jp2" | "heic" | "svg")) => "a picture that is not read: convert it to PNG",
        (_, Some("hdr" | "img")) => {
            "Analyze, or NIfTI in two files: convert it to one .nii.gz, for example with nibabel"
        }
        (_, Some("npy" | "npz" | "mat" | "h5" | "raw" | "bin")) => "numbers in a form that is not read",
        (_, Some("dcm" | "dicom" | "ima" | "nii" | "nrrd" | "nhdr" | "mha" | "mhd")) => {
            "named as a scanner's file, and not read as one"
        }
        (_, None) => "a name without an ending",
        (_, Some(other)) => return format!("“.{other}” is no ending of a picture"),
    };
    known.to_owned()
}

/// Whether systems name a copy so: `1 copy.jpg`, `1 - Copy (2).jpg`, `Copy of 1.jpg`, `1_copy.jpg`.
pub(super) fn named_as_copy(name: &str) -> bool {
    name.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| word == "copy")
}

/// Scans whose slices' order is doubtful, and scans with one number several times.
pub(super) fn order_findings(manifest: &Manifest) -> Vec<Finding> {
    let findings = |of: NamedOrder| {
        let path = &manifest.scans[of.scan].folder;
        let finding = |check, detail: String| Finding { check, path: path.clone(), detail, with: None };
        let doubtful = match &of.by {
            OrderedBy::Number => None,
            OrderedBy::Names(why) => {
                Some(finding(Check::DoubtfulOrder, format!("in the natural order of the names: {why}")))
            }
        };
        let shown = of.repeated.iter().take(SHOWN).map(|(number, names)| {
            let more = if names.len() > SHOWN { ", …" } else { "" };
            let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
            format!("{number} is that of {}{more}", first.join(", "))
        });
        let shown: Vec<String> = shown.collect();
        let more = if of.repeated.len() > SHOWN { "; …" } else { "" };
        let repeated = (!shown.is_empty()).then(|| {
            let count = of.repeated.len();
            let numbers = if count == 1 { "1 number".to_owned() } else { format!("{count} numbers") };
            finding(Check::RepeatedNumber, format!("{numbers} several times: {}{more}", shown.join("; ")))
        });
        doubtful.into_iter().chain(repeated)
    };
    manifest.orders().into_iter().flat_map(findings).collect()
}

/// Where two paths lie in two folders of a cross-validation, such as `fold1` and `fold_2`, that of the first.
pub(super) fn fold_of<'a>(one: &'a str, other: &str) -> Option<&'a str> {
    let (fold, number) = fold(one)?;
    (number != self::fold(other)?.1).then_some(fold)
}

/// The path of the first folder named as a fold, and its number.
fn fold(path: &str) -> Option<(&str, u32)> {
    let ends = path.match_indices('/').map(|(end, _)| end);
    ends.into_iter().find_map(|end| {
        let name = path[..end].rsplit('/').next()?.to_ascii_lowercase();
        let number = name.strip_prefix("fold")?.trim_start_matches(['_', '-', ' ']).parse().ok()?;
        Some((&path[..end], number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_known_by_their_names() {
        for name in ["1 copy.jpg", "1 - Copy (2).jpg", "Copy of 1.jpg", "1_copy.jpg", "1 copy 2.JPG"] {
            assert!(named_as_copy(name), "{name}");
        }
        for name in ["1.jpg", "Covid (3).png", "photocopy1.jpg", "copyright.png"] {
            assert!(!named_as_copy(name), "{name}");
        }
    }

    #[test]
    fn folds_are_known_by_their_numbers() {
        let fold = fold_of("data/Fold1/train/covid/x/1.png", "data/fold_2/val/covid/x/1.png");
        assert_eq!(fold, Some("data/Fold1"));
        assert_eq!(fold_of("fold1/train/x/1.png", "fold1/val/x/1.png"), None);
        assert_eq!(fold_of("folded/x/1.png", "fold2/x/1.png"), None);
    }

    #[test]
    fn a_file_among_slices_is_called_what_it_is() {
        for (name, kind) in [
            ("._9.jpg", "AppleDouble, which macOS writes beside a file"),
            (".DS_Store", "settings of a folder in macOS' Finder"),
            ("Thumbs.db", "thumbnails of Windows"),
            ("report.TXT", "a text or a table"),
            ("scan.mp4", "a video"),
            ("scan.nii.gz", "an archive: unpack it"),
            ("README", "a name without an ending"),
            ("x.abc", "“.abc” is no ending of a picture"),
        ] {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }
}
