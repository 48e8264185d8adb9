//! Refuses names that occur twice, and files where another name needs a folder, within an archive and across all
//! sources of one folder. Checked before anything is written.

use super::bucket::Object;
use super::directory::Directory;
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::progress::thousands;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// A source of names, with `/` between folders and at the end of a folder's name.
pub(super) enum Names<'a> {
    /// The entries of an archive, which are unpacked below the folder `above`.
    Archive { key: &'a str, above: &'a str, directory: &'a Directory },
    /// Objects that are fetched whole.
    Objects(&'a [&'a Object]),
}

/// Ordered so that a path's files come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NameKind {
    File,
    Folder,
    /// A folder that only the name of something below it implies.
    Implied,
}

/// The hash of a path, and where its name can be read again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SeenNames {
    hash: u64,
    kind: NameKind,
    source: u32,
    at: u64,
}

impl Names<'_> {
    fn each(&self, visit: &mut dyn FnMut(u64, &str) -> Result<()>) -> Result<()> {
        match self {
            Self::Archive { above, directory, .. } => {
                directory.each(|at, record| visit(at, &below(above, &record.name))).map(|_| ())
            }
            Self::Objects(objects) => (0..).zip(*objects).try_for_each(|(at, object)| visit(at, &object.name)),
        }
    }

    fn name(&self, at: u64) -> Result<String> {
        match self {
            Self::Archive { above, directory, .. } => Ok(below(above, &directory.record_at(at)?.name)),
            Self::Objects(objects) => Ok(objects.get(at as usize).context("there is no such object")?.name.clone()),
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Archive { key, .. } => format!("the archive {key}"),
            Self::Objects(_) => "the bucket".to_owned(),
        }
    }

    fn unit(&self) -> &'static str {
        if matches!(self, Self::Archive { .. }) { "entry" } else { "object" }
    }
}

/// The name of something below a folder, which may be empty.
pub(super) fn below(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }
}

fn path_of(name: &str) -> &str {
    name.strip_suffix('/').unwrap_or(name)
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

/// Refuses names of `sources` that conflict, and more than `most` of them with their folders.
/// Paths are compared by a hash with a secret key, and in full only where two hashes are equal.
pub(super) fn check(sources: &[Names], most: u64) -> Result<()> {
    let mut seen = collect(sources, most)?;
    seen.sort_unstable();
    for pair in seen.windows(2) {
        if let [one, other] = pair
            && one.hash == other.hash
        {
            compare(sources, *one, *other)?;
        }
    }
    Ok(())
}

fn collect(sources: &[Names], most: u64) -> Result<Vec<SeenNames>> {
    let keys = RandomState::new();
    let mut seen = Vec::new();
    for (source, names) in (0..).zip(sources) {
        let (mut folders, mut parent) = (HashSet::new(), String::new());
        names.each(&mut |at, name| {
            let path = path_of(name);
            let kind = if path.len() < name.len() { NameKind::Folder } else { NameKind::File };
            seen.push(SeenNames { hash: keys.hash_one(path), kind, source, at });
            let mut above = folder_of(path);
            if above != parent {
                parent = above.to_owned();
                // If a folder is known, all above it are: each is visited once.
                while !above.is_empty() && folders.insert(keys.hash_one(above)) {
                    seen.push(SeenNames { hash: keys.hash_one(above), kind: NameKind::Implied, source, at });
                    above = folder_of(above);
                }
            }
            ensure!(
                seen.len() as u64 <= most,
                "{} {name:?}: with it and its folders there are more than {}, which is the limit",
                names.unit(),
                thousands(most)
            );
            Ok(())
        })?;
    }
    Ok(seen)
}

fn compare(sources: &[Names], one: SeenNames, other: SeenNames) -> Result<()> {
    let source = |seen: SeenNames| sources.get(seen.source as usize).context("there is no such source");
    let (first, second) = (source(one)?, source(other)?);
    let twice = one.kind == NameKind::File || (other.kind == NameKind::Folder && one.source == other.source);
    if !twice {
        return Ok(());
    }
    let (name, other_name) = (first.name(one.at)?, second.name(other.at)?);
    let path = path_of(&name);
    let same = if other.kind == NameKind::Implied {
        other_name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
    } else {
        path_of(&other_name) == path
    };
    let unit = first.unit();
    match other.kind {
        _ if !same => Ok(()),
        _ if one.source != other.source => bail!(
            "{path:?}: it is a file of {} and a {} of {}; stage one of them to another folder",
            first.title(),
            if other.kind == NameKind::File { "file" } else { "folder" },
            second.title()
        ),
        NameKind::Implied if unit == "object" => {
            bail!("{unit} {other_name:?}: its folder {path:?} is an object as well")
        }
        NameKind::Implied => bail!("{unit} {other_name:?}: its folder {path:?} is a file of the same archive"),
        _ if name == other_name => bail!("{unit} {name:?}: it occurs twice"),
        _ => bail!("{unit} {path:?}: it is both a file and a folder"),
    }
}
