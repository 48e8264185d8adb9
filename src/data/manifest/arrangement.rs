//! Which of the listed folders are scans: the same for folders, and for archives that are not unpacked.

mod labels_below;
mod unread;

use super::acquisition::Rejection;
use super::folder_tree::is_hidden;
use super::folder_word::FolderWord;
use super::layout::{FolderPlace, Layout, Unclear};
use super::listing::{FolderListing, ListedSlice, scan_key};
use super::new_scans::{below, is_picture};
use super::scanner_files::is_named_as_scanners;
use super::slice_order::sort_by_name;
use super::{Rejected, Scan};
use std::collections::{BTreeMap, HashMap};

/// A folder this deep is none of a data set.
const DEEPEST: usize = 40;

/// What is said of files in no folder of their own.
const ROOT: &str = "(root)";

/// One folder of the tree.
#[derive(Default)]
struct TreeFolder<'a> {
    name: &'a str,
    word: FolderWord,
    /// Numbers of the files in it.
    files: Vec<usize>,
    folders: BTreeMap<&'a str, usize>,
    /// Pictures in it and below, by their names.
    pictures: usize,
    /// What may be a slice in it, pictures and scanners' files.
    own_slices: usize,
    /// The same in it and below.
    slices: usize,
    /// The labels that folders below it name.
    labels_below: [bool; 2],
    /// Files and folders below that are part of a scan, or were said to be in none.
    understood: usize,
    /// Slices in it that are part of nothing, and why.
    unclear: Option<Unclear>,
}

/// The listed files and folders, and what has become of them.
pub(super) struct Arrangement<'a> {
    files: Vec<&'a str>,
    folders: Vec<TreeFolder<'a>>,
    scans: Vec<(Scan, Vec<usize>)>,
    strays: Vec<String>,
    /// Files below stray folders.
    inside: BTreeMap<String, Vec<String>>,
    rejected: Vec<Rejected>,
    layout: Layout,
}

/// The parts of a path; `None` where it is none under the root.
fn parts(path: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_none = |part: &&str| part.is_empty() || [".", ".."].contains(part);
    (!parts.iter().any(is_none) && parts.len() <= DEEPEST).then_some(parts)
}

impl<'a> Arrangement<'a> {
    /// Of these paths of files, and of folders, which may have a `/` at their ends. `is_scanners` looks into a file whose name
    /// does not say what it is.
    pub(super) fn of(
        files: Vec<&'a str>,
        folders: impl Iterator<Item = &'a str>,
        is_scanners: &dyn Fn(&str) -> bool,
    ) -> Self {
        let mut tree = vec![TreeFolder::default()];
        let mut known: HashMap<&str, usize> = HashMap::from([("", 0)]);
        for folder in folders {
            if let Some(parts) = parts(folder.trim_end_matches('/')) {
                folder_at(&mut tree, &mut known, folder, &parts);
            }
        }
        for (number, path) in files.iter().enumerate() {
            let Some(parts) = parts(path) else { continue };
            let above = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let at = match known.get(above) {
                Some(at) => *at,
                None => folder_at(&mut tree, &mut known, above, &parts[..parts.len() - 1]),
            };
            tree[at].files.push(number);
        }
        let (scans, strays, inside, rejected) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
        let mut all = Self { files, folders: tree, scans, strays, inside, rejected, layout: Layout::default() };
        all.count(0, is_scanners);
        all.label_degrees();
        all.take_labels(0);
        all.open_folders_around_all();
        all.visit(0, &mut Vec::new());
        all.forget_folders_around_others();
        all.report_unknown(0, &mut Vec::new());
        all.report_without_part();
        all.report_files_beside_scans();
        all
    }

    fn name(&self, file: usize) -> &'a str {
        self.files[file].rsplit('/').next().unwrap_or_default()
    }

    /// Finds the scans in a folder; `way`: the folders to it.
    fn visit(&mut self, at: usize, way: &mut Vec<usize>) {
        let names: Vec<&str> = way.iter().map(|folder| self.folders[*folder].name).collect();
        let path = names.join("/");
        let words: Vec<FolderWord> = way.iter().map(|folder| self.folders[*folder].word).collect();
        let place = FolderPlace::of(&words);
        self.layout.places.insert(path.clone(), place.ok());
        match place {
            Err(why) if words.iter().any(|word| word.says_part()) && self.is_foreign(at, why) => {
                return self.add_stray_folder(&path, at);
            }
            Err(why) => {
                let is_in_a_part = words.iter().any(|word| word.says_part());
                self.folders[at].unclear = (self.folders[at].own_slices > 0).then_some(why);
                // Files without a telling name count as slices all together.
                let all = self.folders[at].own_slices == self.folders[at].files.len();
                self.add_strays(at, |is_slice| is_in_a_part && !is_slice && !all);
            }
            // `test` may hold anything.
            Ok(place)
                if place.anchor == way.len()
                    && self.folders[at].slices == 0
                    && !place.mapped(&names).is_as_delivered() =>
            {
                self.layout.places.insert(path, None);
                return;
            }
            Ok(place) if place.anchor == way.len() => {
                self.layout.mapped.push(place.mapped(&names));
                self.report_loose(&path, at);
                self.add_strays(at, |_| true);
                self.folders[at].understood += self.folders[at].files.len();
                if place.is_labelled_test() && self.folders[at].slices > 0 {
                    let detail = "a test set with classes: its scans are predicted, its labels are not used; judge it with \
                                  `covid-ct validate FOLDER`";
                    self.reject(path.clone(), Rejection::LabelledTest, detail.to_owned());
                }
            }
            // The folders between a class and a scan are looked through.
            Ok(_) if self.folders[at].pictures > 0 && self.pictures_in(at) == 0 => {
                self.add_strays(at, |_| true);
            }
            Ok(place) => return self.add_scan(path, place, at, way),
        }
        for (name, folder) in self.folders[at].folders.clone() {
            if !is_hidden(name) {
                way.push(folder);
                self.visit(folder, way);
                way.pop();
            } else if self.layout.places.get(&path).is_some_and(Option::is_some) {
                self.strays.push(format!("{}/", below(&path, name)));
            }
        }
        self.folders[at].understood +=
            self.folders[at].folders.values().map(|folder| self.folders[*folder].understood).sum::<usize>();
    }

    /// Whether nothing in a folder of a part has to do with scans.
    fn is_foreign(&self, at: usize, why: Unclear) -> bool {
        let of = &self.folders[at];
        let is_part = of.word.says_part();
        why != Unclear::BothClasses && !is_part && of.slices == 0 && of.labels_below == [false; 2]
    }

    fn pictures_in(&self, at: usize) -> usize {
        self.folders[at].files.iter().filter(|file| is_picture(self.name(**file))).count()
    }

    /// A folder of slices; what it holds besides is none of them.
    fn add_scan(&mut self, path: String, place: FolderPlace, at: usize, way: &mut Vec<usize>) {
        let mut files = self.folders[at].files.clone();
        files.sort_unstable();
        let mut named: Vec<(usize, &str)> = files.iter().map(|file| (*file, self.name(*file))).collect();
        sort_by_name(&mut named, |(_, name)| name);
        let files: Vec<usize> = named.into_iter().map(|(file, _)| file).collect();
        self.folders[at].understood += files.len().max(1);
        for (name, folder) in self.folders[at].folders.clone() {
            let inside = below(&path, name);
            let pictures = self.folders[folder].pictures;
            match pictures {
                _ if self.is_closed(&inside, folder, way) => {}
                // Hidden ones were not looked into.
                0 => self.add_stray_folder(&inside, folder),
                _ => self.mark_unclear(folder, Unclear::InAScan),
            }
        }
        let scan = Scan { set: place.set, label: place.label, ..Scan::new(path) };
        self.scans.push((scan, files));
    }

    fn mark_unclear(&mut self, at: usize, why: Unclear) {
        self.folders[at].unclear = (self.folders[at].own_slices > 0).then_some(why);
        self.folders[at].folders.clone().into_values().for_each(|folder| self.mark_unclear(folder, why));
    }

    /// Gives a folder in a scan's place, and those in it, their places, by which series and volumes are read as pictures are: parts
    /// below a class, and what is not to be read. Returns whether the folder itself is not.
    fn is_closed(&mut self, path: &str, at: usize, way: &mut Vec<usize>) -> bool {
        way.push(at);
        let words: Vec<FolderWord> = way.iter().map(|folder| self.folders[*folder].word).collect();
        let place = FolderPlace::of(&words);
        self.layout.places.insert(path.to_owned(), place.ok());
        match place {
            Err(why) => self.mark_unclear(at, why),
            Ok(place) => {
                // Pictures within a scan's folder are not read.
                if place.anchor == way.len() && self.folders[at].slices > self.folders[at].pictures {
                    let names: Vec<&str> = way.iter().map(|folder| self.folders[*folder].name).collect();
                    self.layout.mapped.push(place.mapped(&names));
                }
                for (name, folder) in self.folders[at].folders.clone() {
                    self.is_closed(&below(path, name), folder, way);
                }
            }
        }
        way.pop();
        place.is_err()
    }

    /// A folder that is part of nothing.
    fn add_stray_folder(&mut self, path: &str, at: usize) {
        let mut files = Vec::new();
        let mut rest = vec![at];
        while let Some(folder) = rest.pop() {
            files.extend(self.folders[folder].files.iter().map(|file| self.files[*file].to_owned()));
            rest.extend(self.folders[folder].folders.values());
        }
        self.strays.push(format!("{path}/"));
        self.inside.insert(path.to_owned(), files);
    }

    /// Files beside scans; pictures are said to be loose.
    fn add_strays(&mut self, at: usize, is_stray: impl Fn(bool) -> bool) {
        let names = self.folders[at].files.iter().map(|file| (self.files[*file], self.name(*file)));
        let strays = names.filter(|(_, name)| !is_picture(name) && is_stray(is_named_as_scanners(name)));
        let strays: Vec<String> = strays.map(|(path, _)| path.to_owned()).collect();
        self.strays.extend(strays);
    }

    fn reject(&mut self, path: String, reason: Rejection, detail: String) {
        self.rejected.push(Rejected { path, reason, detail });
    }

    /// The listing, its layout, and for each file its number in the listing; `None` for strays and all that is no part of
    /// the layout.
    pub(super) fn into_listing(self) -> (FolderListing, Layout, Vec<Option<usize>>) {
        let mut numbers = vec![None; self.files.len()];
        let (mut scans, files, mut layout) = (self.scans, self.files, self.layout);
        scans.sort_by_cached_key(|(scan, _)| scan_key(scan));
        let mut listing = FolderListing { inside: self.inside, rejected: self.rejected, ..FolderListing::default() };
        for (scan, of_scan) in scans {
            let before = listing.files.len();
            for file in of_scan {
                numbers[file] = Some(listing.files.len());
                let name = files[file].rsplit('/').next().unwrap_or_default();
                listing.files.push(ListedSlice::picture(listing.scans.len(), name.to_owned()));
            }
            ListedSlice::number(&mut listing.files[before..]);
            listing.scans.push(scan);
        }
        listing.rejected.sort_by(|a, b| a.path.cmp(&b.path));
        listing.strays = self.strays;
        listing.strays.sort();
        layout.mapped.sort_by_cached_key(|of| (of.set, of.label, of.folder.clone()));
        (listing, layout, numbers)
    }
}

/// The number of a folder in the tree, with those above it.
fn folder_at<'a>(
    tree: &mut Vec<TreeFolder<'a>>,
    known: &mut HashMap<&'a str, usize>,
    path: &'a str,
    parts: &[&'a str],
) -> usize {
    let (mut at, mut end) = (0, 0);
    for name in parts {
        end += name.len();
        let next = tree.len();
        let found = *tree[at].folders.entry(name).or_insert(next);
        if found == next {
            tree.push(TreeFolder { name, word: FolderWord::of(name), ..TreeFolder::default() });
        }
        known.insert(&path[..end], found);
        (at, end) = (found, end + 1);
    }
    at
}
