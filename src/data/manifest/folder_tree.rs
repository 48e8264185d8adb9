//! Every file and folder below a folder, links followed.

use super::Rejected;
use super::acquisition::Rejection;
use super::new_scans::below;
use crate::base::errors::{Context, Result};
use crate::base::regular_file::{FolderId, Lies};
use crate::data::opened::SLICE_AT_MOST;
use rayon::prelude::*;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many folders below the given one are looked into.
const DEEPEST: usize = 12;

/// What lies below a folder; paths are under the root, with `/`.
#[derive(Default)]
pub(super) struct FolderTree {
    pub(super) files: Vec<String>,
    /// Hidden ones too, which are not looked into.
    pub(super) folders: Vec<String>,
    /// What is neither, or cannot be named or listed; the audit reports it, it is no reason to stop.
    pub(super) rejected: Vec<Rejected>,
    /// Paths and lengths of files that are too long for a picture.
    pub(super) large: Vec<(String, u64)>,
}

/// Whether a folder is none of the user's: thumbnails, version control and the like would be read as scans.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

impl FolderTree {
    /// Of `folder` under the root, which is empty for the root itself.
    ///
    /// # Errors
    /// It cannot be listed.
    pub(super) fn below(root: &Path, folder: &str) -> Result<Self> {
        let mut tree = Self::default();
        tree.collect(root, folder, &[]).with_context(|| format!("listing {}", root.join(folder).display()))?;
        Ok(tree)
    }

    /// `above`: the folders on the way to this one.
    fn collect(&mut self, root: &Path, folder: &str, above: &[FolderId]) -> std::io::Result<()> {
        let path = root.join(folder);
        let above = match Lies::at(&path) {
            Lies::Folder(id) if above.contains(&id) => {
                self.rejected.push(Rejected::no_file(folder.to_owned(), "a link to a folder in which it lies"));
                return Ok(());
            }
            Lies::Folder(id) => [above, &[id]].concat(),
            // Removed meanwhile.
            _ if !above.is_empty() => return Ok(()),
            _ => Vec::new(),
        };
        let mut folders = Vec::new();
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    self.rejected.push(Rejected::unreadable_name(folder, &name));
                    continue;
                }
            };
            let at = below(folder, &name);
            // Links are followed, so that a data set put together from links works.
            match Lies::at(&entry.path()) {
                Lies::Folder(_) if is_hidden(&name) => self.folders.push(at),
                Lies::Folder(_) => folders.push(at),
                Lies::File(length) => {
                    self.large.extend((length > SLICE_AT_MOST).then(|| (at.clone(), length)));
                    self.files.push(at);
                }
                Lies::Neither(what) => self.rejected.push(Rejected::no_file(at, &what)),
                Lies::Nothing => {}
            }
        }
        let inside = |folder: &String| {
            let mut tree = Self::default();
            if above.len() > DEEPEST {
                tree.rejected.push(Rejected::too_deep(folder.clone(), DEEPEST));
            } else if let Err(error) = tree.collect(root, folder, &above) {
                let what = format!("a folder that cannot be listed: {error}");
                tree.rejected.push(Rejected::no_file(folder.clone(), &what));
            }
            tree
        };
        let trees: Vec<Self> = folders.par_iter().map(inside).collect();
        self.folders.extend(folders);
        for tree in trees {
            self.files.extend(tree.files);
            self.folders.extend(tree.folders);
            self.rejected.extend(tree.rejected);
            self.large.extend(tree.large);
        }
        Ok(())
    }
}

impl Rejected {
    fn unreadable_name(folder: &str, name: &OsStr) -> Self {
        let mut shown = String::new();
        for part in name.as_bytes().utf8_chunks() {
            shown.push_str(part.valid());
            shown.extend(part.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
        let detail = "its name is not UTF-8, so that nothing of it is read: rename it, for example by \
                      `convmv -r -f latin1 -t utf8 --notest`";
        Self { path: below(folder, &shown), reason: Rejection::UnreadableName, detail: detail.to_owned() }
    }

    fn too_deep(folder: String, deepest: usize) -> Self {
        let detail = format!("more than {deepest} folders deep: it is not looked into");
        Self { path: folder, reason: Rejection::UnknownFolder, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_utf_8_is_shown_with_its_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let odd = |bytes: &[u8]| folder.path().join("a").join(OsStr::from_bytes(bytes));
        fs::create_dir_all(odd(b"pati\xebnt_1")).expect("a folder");
        fs::write(odd(b"pati\xebnt_1").join("1.jpg"), "").expect("writes");
        fs::write(odd(b"\xe91.jpg"), "").expect("writes");
        fs::write(odd("é2.jpg".as_bytes()), "").expect("writes");
        let tree = FolderTree::below(folder.path(), "").expect("lists");
        assert_eq!((tree.files, tree.folders), (vec!["a/é2.jpg".to_owned()], vec!["a".to_owned()]));
        let mut found: Vec<&str> = tree.rejected.iter().map(|of| of.path.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, [r"a/\xe91.jpg", r"a/pati\xebnt_1"]);
        assert!(tree.rejected.iter().all(|of| of.reason == Rejection::UnreadableName));
    }

    #[test]
    fn folders_are_looked_into_up_to_a_depth() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = vec!["d"; DEEPEST + 1].join("/");
        fs::create_dir_all(folder.path().join(&deep)).expect("folders");
        fs::create_dir(folder.path().join(".git")).expect("a folder");
        let tree = FolderTree::below(folder.path(), "").expect("lists");
        assert_eq!(tree.folders.len(), DEEPEST + 2);
        let rejected: Vec<(&str, Rejection)> = tree.rejected.iter().map(|of| (of.path.as_str(), of.reason)).collect();
        assert_eq!(rejected, [(deep.as_str(), Rejection::UnknownFolder)]);
        assert!(FolderTree::below(folder.path(), "nowhere").is_err());
    }
}
