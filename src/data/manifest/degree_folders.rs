//! Folders named for how much of the lungs a pneumonia takes, as MosMedData's are: CT-0 without signs of one, CT-1 to CT-4 for up to a
//! quarter, a half, three quarters and more (<https://arxiv.org/abs/2005.06465>).

use super::Label;
use super::folder_word::FolderWord;
use std::collections::{HashMap, HashSet};

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

/// Whether folders beside each other are such ones: all of them, CT-0 and another at least.
pub(super) fn are_degrees<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let labels: Option<HashSet<Label>> = names.map(label_of_degree).collect();
    labels.is_some_and(|labels| labels.len() == 2)
}

/// Gives such folders on the way to scans their label; not those that are scans, nor those in a class.
pub(super) fn label_degrees(ways: &[Vec<&str>], words: &mut [Vec<FolderWord>]) {
    let mut beside: HashMap<&[&str], HashSet<&str>> = HashMap::new();
    for way in ways {
        for (depth, name) in way.iter().enumerate() {
            beside.entry(&way[..depth]).or_default().insert(name);
        }
    }
    let scans: HashSet<&[&str]> = ways.iter().map(Vec::as_slice).collect();
    let are_degrees_below = |above: &[&str]| {
        let names = &beside[above];
        let is_scan = |name: &&str| scans.contains([above, &[*name]].concat().as_slice());
        are_degrees(names.iter().copied()) && !names.iter().any(is_scan)
    };
    let above: HashSet<&[&str]> = beside.keys().copied().filter(|above| are_degrees_below(above)).collect();
    for (way, words) in ways.iter().zip(words) {
        let Some(depth) = (0..way.len()).find(|depth| above.contains(&way[..*depth])) else { continue };
        if words[..depth].iter().all(|word| word.label.is_none()) {
            words[depth].label = label_of_degree(way[depth]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifest::layout::words_on_the_way;

    #[test]
    fn degrees_are_known_where_all_folders_beside_each_other_are_some() {
        assert!(are_degrees(["CT-0", "ct-1", "CT-4"].into_iter()));
        for others in [&["CT-0"][..], &["CT-1", "CT-2"], &["CT-0", "CT-1", "CT-5"], &["CT-0", "CT-1", "masks"], &[]] {
            assert!(!are_degrees(others.iter().copied()), "{others:?}");
        }
        for other in ["CT-", "CT_0", "CT-00", "CT0", "CТ-0", "ét-0"] {
            assert_eq!(label_of_degree(other), None, "{other}");
        }
    }

    #[test]
    fn scans_below_degrees_have_their_label_and_scans_named_so_have_none() {
        let labels = |ways: [&str; 3]| -> Vec<Option<Label>> {
            let words = words_on_the_way(ways.into_iter());
            words.iter().map(|words| words.iter().find_map(|word| word.label)).collect()
        };
        let (covid, non) = (Some(Label::Covid), Some(Label::NonCovid));
        assert_eq!(labels(["s/CT-0/a.nii.gz", "s/CT-1/b.nii.gz", "s/CT-3/c.nii.gz"]), [non, covid, covid]);
        assert_eq!(labels(["s/CT-0", "s/CT-1", "s/CT-2"]), [None; 3]);
        assert_eq!(labels(["covid/CT-0/a", "covid/CT-1/b", "covid/CT-2/c"]), [covid; 3]);
    }
}
