//! Archives that are named as a part or a class of a data set, and whose folders name none.

use super::archive::Archive;
use super::bucket::Object;
use crate::base::errors::{Result, bail};
use crate::data::manifest::{LABELS, part_said, says_class, says_other_part};

/// # Errors
/// An archive such as `val.zip` in which folders name classes and none the part: its scans would be read as train. One such as
/// `covid.zip` in which none names the class.
pub(super) fn must_name_its_part(object: &Object, archive: &Archive) -> Result<()> {
    check(&object.name, &archive.names()?)
}

fn check(archive: &str, names: &[String]) -> Result<()> {
    let (above, leaf) = archive.rsplit_once('/').unwrap_or(("", archive));
    let stem = leaf.rsplit_once('.').map_or(leaf, |(stem, _)| stem);
    let folders = || names.iter().filter_map(|name| Some(name.rsplit_once('/')?.0)).flat_map(|path| path.split('/'));
    let all = || above.split('/').chain(folders());
    let says_part = || all().any(|of| part_said(of).is_some());
    // A table says the rest.
    let has_table = names.iter().any(|name| name.rsplit('/').next() == Some(LABELS));
    let lacks_part = says_other_part(stem) && folders().any(says_class) && !says_part();
    let lacks_class = says_class(stem)
        && part_said(stem).is_none()
        && folders().count() > 0
        && !all().any(says_class)
        && !says_part();
    let (what, then) = match (lacks_part && !has_table, lacks_class && !has_table) {
        (true, _) => ("part", "its scans would be read as train"),
        (_, true) => ("class", "its scans would have no label"),
        _ => return Ok(()),
    };
    bail!(
        "{archive} is named as a {what} of a data set, and no folder in it is: {then}. Unpack it into a folder of its name, by \
         `unzip '{leaf}' -d '{stem}'`, and audit the folder around that"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_named_as_a_part_says_so_within() {
        let said = |archive: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            check(archive, &names).map_err(|error| error.to_string())
        };
        let error = "COV19/val.zip is named as a part of a data set, and no folder in it is: its scans would be read as train. \
                     Unpack it into a folder of its name, by `unzip 'val.zip' -d 'val'`, and audit the folder around that";
        assert_eq!(said("COV19/val.zip", &["covid/ct_scan_0/0.jpg", "non-covid/"]), Err(error.to_owned()));
        let error = "covid.zip is named as a class of a data set, and no folder in it is: its scans would have no label. Unpack it \
                     into a folder of its name, by `unzip 'covid.zip' -d 'covid'`, and audit the folder around that";
        assert_eq!(said("covid.zip", &["ct_scan_0/0.jpg"]), Err(error.to_owned()));
        for (archive, names) in [
            ("covid.zip", &["covid/ct_scan_0/0.jpg"][..]),
            ("val.zip", &["val/covid/ct_scan_0/0.jpg"]),
            ("val/val.zip", &["covid/ct_scan_0/0.jpg"]),
            ("COV19.zip", &["covid/ct_scan_0/0.jpg"]),
            ("test.zip", &["ct_scan_0/0.jpg"]),
            ("train.zip", &["covid/ct_scan_0/0.jpg"]),
            ("covid19.zip", &["labels.csv", "scans/1/0.jpg"]),
            ("covid.zip", &["train/1/0.jpg"]),
            ("train_logs.zip", &["logs/0.txt", "0.txt"]),
        ] {
            assert_eq!(said(archive, names), Ok(()), "{archive}");
        }
    }
}
