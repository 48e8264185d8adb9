//! Names of scans and pictures that say another class than the one they have.

use super::{Label, Manifest};

impl Manifest {
    /// Scans whose own name, or the names of half of their pictures and more, say the other class: the scan's index, and what
    /// says so.
    pub(crate) fn contradicting_names(&self) -> Vec<(usize, String)> {
        let slices = self.slices_by_scan();
        let contradicts = |(index, slices): (usize, &Vec<usize>)| {
            let scan = &self.scans[index];
            let label = scan.label?;
            let says_other = |name: &str| said_by(name).is_some_and(|said| said != label);
            if says_other(scan.id()) {
                return Some((index, format!("named {}, and labelled {label}", scan.id())));
            }
            let pictures = || slices.iter().map(|slice| self.slices[*slice].file.as_str());
            let others: Vec<&str> = pictures().filter(|name| says_other(name)).collect();
            let first = others.first().filter(|_| 2 * others.len() >= slices.len())?;
            Some((
                index,
                format!("{} of {} pictures, {first} the first, and labelled {label}", others.len(), slices.len()),
            ))
        };
        slices.iter().enumerate().filter_map(contradicts).collect()
    }
}

/// The class that a name says before its first number: `Covid (3).png`, `NCP_96_1328_0005.png`.
fn said_by(name: &str) -> Option<Label> {
    let before = name.split(|c: char| c.is_ascii_digit()).next()?;
    let word = before.trim_matches([' ', '_', '-', '(', '.', '=']);
    // `pos_-35` is a position, `control 2` a second examination.
    let means_others =
        ["pos", "posi", "neg", "control", "controls"].iter().any(|other| word.eq_ignore_ascii_case(other));
    Label::named(word).filter(|_| !means_others)
}

#[cfg(test)]
mod tests {
    use super::super::Slice;
    use super::*;

    #[test]
    fn names_of_the_other_class_are_seen() {
        let folders = ["train/covid/Normal_7", "train/covid/ct_scan_1", "train/covid/ct_scan_2", "val/non-covid/1"];
        let files = ["0.jpg", "Normal (1).png", "Normal (2).png", "NCP_96_1328_0005.png", "NCP_96_1328_0006.png"];
        let of_scan = [0, 1, 1, 2, 2];
        let mut slices: Vec<Slice> =
            of_scan.into_iter().zip(files).map(|(scan, file)| Slice::of_bytes(scan, file.to_owned(), b"")).collect();
        slices.push(Slice::of_bytes(3, "Normal-3.png".to_owned(), b""));
        assert_eq!(["pos_-35.png", "control_2.png", "Covid (1).png"].map(said_by), [None, None, Some(Label::Covid)]);
        let manifest = Manifest::of_folders("names", folders.map(str::to_owned).to_vec(), slices);
        let found = manifest.contradicting_names();
        let expected = [
            (0, "named Normal_7, and labelled covid".to_owned()),
            (1, "2 of 2 pictures, Normal (1).png the first, and labelled covid".to_owned()),
        ];
        assert_eq!(found, expected);
    }
}
