//! Refuses to stage a folder of this machine to itself.

use super::connect::local_path;
use crate::base::errors::{Result, ensure};
use std::path::{Path, PathBuf};

/// # Errors
/// `url` names a folder of this machine that is `target`, lies in it, or holds it, also by links; or a file that staging
/// would copy to itself (one that is unpacked may lie in the target).
pub(super) fn must_lie_apart(url: &str, target: &Path, unpacks: bool) -> Result<()> {
    let (Some(source), target) = (local_path(url), resolved(target)) else { return Ok(()) };
    let unpacks = unpacks && source.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
    if source.is_file() {
        let is_own = source.file_name().is_some_and(|name| resolved(&target.join(name)) == source);
        ensure!(unpacks || !is_own, "the file lies in the folder to fill already; expected another folder");
        return Ok(());
    }
    let how = match () {
        () if source == target => "is",
        () if target.starts_with(&source) => "lies in",
        () if source.starts_with(&target) => "holds",
        () => return Ok(()),
    };
    crate::base::errors::bail!(
        "the folder to fill {how} the one that is copied; expected a folder apart from {}",
        source.display()
    )
}

/// The path without links on the way, as far as there is something.
fn resolved(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in whole.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), whole.strip_prefix(above)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_is_not_staged_to_itself_nor_into_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a path");
        let at = |name: &str| root.join(name);
        fs::create_dir_all(at("data/train")).expect("folders");
        fs::write(at("data/all.zip"), "").expect("writes");
        symlink(at("data"), at("link")).expect("links");
        let stage = |source: &str, target: &str, unpacks| {
            let url = format!("file://{}", at(source).display());
            must_lie_apart(&url, &at(target), unpacks).map_err(|error| error.to_string())
        };
        let refused = |how: &str, source: &str| {
            let apart = at(source);
            let expected = format!("expected a folder apart from {}", apart.display());
            Err(format!("the folder to fill {how} the one that is copied; {expected}"))
        };
        assert_eq!(stage("data", "data", false), refused("is", "data"));
        assert_eq!(stage("data", "link", true), refused("is", "data"));
        assert_eq!(stage("link", "data/./train/..", false), refused("is", "data"));
        assert_eq!(stage("data", "link/new/deep", false), refused("lies in", "data"));
        assert_eq!(stage("data/train", "data", false), refused("holds", "data/train"));
        assert_eq!(stage("data", "data-2", false), Ok(()));
        let own = "the file lies in the folder to fill already; expected another folder";
        assert_eq!(stage("data/all.zip", "link", false), Err(own.to_owned()));
        assert_eq!(stage("data/all.zip", "data", true), Ok(()));
        assert_eq!(stage("data/all.zip", "other", false), Ok(()));
        assert!(must_lie_apart("gs://bucket/data", &at("data"), false).is_ok());
    }
}
