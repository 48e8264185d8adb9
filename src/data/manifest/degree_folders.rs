//! Folders named for how much of the lungs a pneumonia takes, as MosMedData's are: CT-0 without signs of one, CT-1 to CT-4 for up to a
//! quarter, a half, three quarters and more (<https://arxiv.org/abs/2005.06465>).

use super::Label;
use super::folder_word::FolderWord;
use std::collections::{BTreeMap, HashSet};

/// Of which data set such names are, for the table of the layout.
pub(super) const DEGREES: &str = "MosMedData's degrees, CT-0 without signs of pneumonia";

/// What the name of one such folder says.
pub(super) fn label_of_degree(name: &str) -> Option<Label> {
    let (first, degree) = name.split_at_checked(3).filter(|_| name.is_ascii())?;
    match degree {
        "0" if first.eq_ignore_ascii_case("ct-") => Some(Label::NonCovid),
        "1" | "2" | "3" | "4" if first.eq_ignore_ascii_case("ct-") => Some(Label::Covid),
        _ => None,
    }
}

/// Folders beside each other with slices below them, masks and what is not to be used left out.
#[derive(Default)]
pub(super) struct FoldersBeside<'a> {
    pub(super) names: HashSet<&'a str>,
    /// Whether the folder around them says a part of the data set.
    pub(super) in_part: bool,
    /// Whether each of them is one scan itself.
    pub(super) all_are_scans: bool,
}

/// Which of all these are such ones: those that have only such names, CT-0 and another among them. Where a patient's folder holds the
/// patient's own CT-0 and CT-1, there are many folders that do; they are taken only where there is one, or each is a part, and where not
/// each degree is a scan.
pub(super) fn say_degrees(all: &[FoldersBeside<'_>]) -> Vec<bool> {
    let labels =
        |of: &FoldersBeside<'_>| of.names.iter().map(|name| label_of_degree(name)).collect::<Option<HashSet<Label>>>();
    let each: Vec<_> = all.iter().map(|of| labels(of).filter(|found| !found.is_empty())).collect();
    let found = || each.iter().zip(all).filter_map(|(found, of)| Some((found.as_ref()?, of)));
    let together: HashSet<&Label> = found().flat_map(|(found, _)| found).collect();
    let hold_several = !found().all(|(_, of)| of.all_are_scans);
    let are_some = hold_several && together.len() == 2 && (found().count() == 1 || found().all(|(_, of)| of.in_part));
    each.iter().map(|found| are_some && found.is_some()).collect()
}

/// Gives such folders on the way to scans their label; not those in a class, unless its name says other things as well.
pub(super) fn label_degrees(ways: &[Vec<&str>], words: &mut [Vec<FolderWord>]) {
    let mut beside: BTreeMap<&[&str], FoldersBeside<'_>> = BTreeMap::new();
    for (way, words) in ways.iter().zip(words.iter()) {
        for depth in (0..way.len()).take_while(|depth| is_open(&words[..*depth]) && !words[*depth].is_closed()) {
            let of = beside.entry(&way[..depth]).or_default();
            of.names.insert(way[depth]);
            of.in_part = depth > 0 && words[depth - 1].says_part();
        }
    }
    let scans: HashSet<&[&str]> = ways.iter().map(Vec::as_slice).collect();
    for (above, of) in &mut beside {
        of.all_are_scans = of.names.iter().all(|name| scans.contains([above, &[*name][..]].concat().as_slice()));
    }
    let (above, all): (Vec<_>, Vec<_>) = beside.into_iter().unzip();
    let say = above.iter().zip(say_degrees(&all)).filter(|(_, say)| *say);
    let say: HashSet<&[&str]> = say.map(|(above, _)| *above).collect();
    for (way, words) in ways.iter().zip(words) {
        if let Some(depth) = (0..way.len()).find(|depth| is_open(&words[..*depth]) && say.contains(&way[..*depth])) {
            words[..depth].iter_mut().for_each(|word| word.label = None);
            words[depth].label = label_of_degree(way[depth]);
        }
    }
}

/// Whether folders on the way leave it open which class follows.
fn is_open(words: &[FolderWord]) -> bool {
    words.iter().all(FolderWord::leaves_class_open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifest::layout::words_on_the_way;

    #[test]
    fn degrees_are_known_where_all_folders_beside_each_other_are_some() {
        let of = |names: &[&'static str]| FoldersBeside {
            names: names.iter().copied().collect(),
            ..FoldersBeside::default()
        };
        assert_eq!(say_degrees(&[of(&["CT-0", "ct-1", "CT-4"]), of(&["a", "b"])]), [true, false]);
        for others in [&["CT-0"][..], &["CT-1", "CT-2"], &["CT-0", "CT-1", "CT-5"], &["CT-0", "CT-1", "x"], &[]] {
            assert_eq!(say_degrees(&[of(others)]), [false], "{others:?}");
        }
        // Visits of two patients; two parts, of which one has no CT-0.
        let visits = || of(&["CT-0", "CT-1"]);
        assert_eq!(say_degrees(&[visits(), visits()]), [false; 2]);
        let part = |names: &[&'static str]| FoldersBeside { in_part: true, ..of(names) };
        assert_eq!(say_degrees(&[part(&["CT-0", "CT-2"]), part(&["CT-1", "CT-2"])]), [true; 2]);
        for other in ["CT-", "CT_0", "CT-00", "CT0", "CТ-0", "ét-0"] {
            assert_eq!(label_of_degree(other), None, "{other}");
        }
    }

    #[test]
    fn scans_below_degrees_have_their_label_and_scans_named_so_have_none() {
        let labels = |ways: &[&str]| -> Vec<Option<Label>> {
            let words = words_on_the_way(ways.iter().copied());
            words.iter().map(|words| words.iter().find_map(|word| word.label)).collect()
        };
        let (covid, non) = (Some(Label::Covid), Some(Label::NonCovid));
        assert_eq!(labels(&["s/CT-0/a.nii.gz", "s/CT-1/b.nii.gz", "s/CT-3/c.nii.gz"]), [non, covid, covid]);
        // Degrees of one volume, and masks beside them.
        assert_eq!(labels(&["s/CT-0/a.nii.gz", "s/CT-0/b.nii.gz", "s/CT-4"]), [non, non, covid]);
        assert_eq!(labels(&["s/CT-0/a.nii.gz", "s/CT-3/b.nii.gz", "s/masks/a.nii.gz"]), [non, covid, None]);
        assert_eq!(labels(&["s/CT-0", "s/CT-1", "s/CT-2"]), [None; 3]);
        assert_eq!(labels(&["p_0/CT-0/a", "p_0/CT-1/a", "p_1/CT-0/a", "p_1/CT-1/a"]), [None; 4]);
        assert_eq!(labels(&["covid/CT-0/a", "covid/CT-1/b", "covid/CT-2/c"]), [covid; 3]);
        assert_eq!(labels(&["COVID-19 scans/CT-0/a", "COVID-19 scans/CT-1/b"]), [non, covid]);
    }
}
