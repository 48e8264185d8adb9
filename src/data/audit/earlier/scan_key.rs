//! By what a scan is known again: all that what an audit sees of it depends on, but the contents of its files.

use crate::base::files::Digest;
use crate::data::decode::PictureSettings;
use crate::data::manifest::ListedSlice;
use crate::data::opened::data_beside;
use crate::data::pixels::Turn;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that was changed within this time before it was looked at may change again without another time: some file
/// systems keep times to two seconds.
const TOO_YOUNG: Duration = Duration::from_secs(2);

/// By what one file's contents are known again, without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileStamp(Vec<u8>);

impl FileStamp {
    /// Size, inode, and the times at which contents and inode were changed. `None` where the file cannot be looked at, or was
    /// changed so shortly before `now` that its times do not tell.
    pub(crate) fn of_file(path: &Path, now: SystemTime) -> Option<Self> {
        let latest = now.checked_sub(TOO_YOUNG)?.duration_since(UNIX_EPOCH).ok()?.as_nanos() as i128;
        let mut stamp = Self(Vec::with_capacity(48));
        stamp.add(&fs::metadata(path).ok()?, latest)?;
        if let Some(data) = data_beside(path).ok()? {
            // Without its data the header is a finding.
            fs::metadata(data).map_or(Some(()), |about| stamp.add(&about, latest))?;
        }
        Some(stamp)
    }

    /// What an archive says of one of its files.
    pub(crate) fn of_entry(archive: &str, entry: [u64; 4]) -> Self {
        Self(archive.bytes().chain([0]).chain(entry.into_iter().flat_map(u64::to_le_bytes)).collect())
    }

    fn add(&mut self, about: &Metadata, latest: i128) -> Option<()> {
        let times = [(about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec())];
        let is_old = |(seconds, rest): &(i64, i64)| i128::from(*seconds) * 1_000_000_000 + i128::from(*rest) < latest;
        let numbers = [about.len(), about.ino()].map(u64::to_le_bytes);
        self.0.extend(numbers.as_flattened());
        self.0.extend(times.iter().flat_map(|(seconds, rest)| [seconds.to_le_bytes(), rest.to_le_bytes()]).flatten());
        times.iter().all(is_old).then_some(())
    }
}

/// The key of a scan of these slices, of whose files `stamp` gives the stamps; `None` where a file is not to be known again.
/// Its folder is no part of it: what is seen does not change when a folder is renamed.
pub(super) fn key_of_scan(
    listed: &[ListedSlice],
    turn: Turn,
    said: PictureSettings,
    stamp: impl Fn(usize) -> Option<FileStamp>,
) -> Option<Digest> {
    let mut bytes = format!("{turn:?} {said:?}").into_bytes();
    let mut add = |part: &[u8]| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    };
    // Slices of one volume lie in one file.
    let mut last: Option<(Arc<str>, FileStamp)> = None;
    for (place, slice) in listed.iter().enumerate() {
        let ListedSlice { scan: _, file, at, frame, number, header } = slice;
        let known = last.take().filter(|(path, _)| at.as_ref() == Some(path));
        let stamp = known.map_or_else(|| stamp(place), |(_, stamp)| Some(stamp))?;
        add(file.as_bytes());
        // How a volume is read depends on its name, too.
        add(at.as_deref().and_then(|at| at.rsplit('/').next()).unwrap_or_default().as_bytes());
        add(format!("{frame:?} {number:?} {header:?}").as_bytes());
        add(&stamp.0);
        last = at.clone().map(|at| (at, stamp));
    }
    Some(Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pixels::SixteenBit;

    #[test]
    fn a_stamp_changes_with_size_time_and_inode_and_says_nothing_of_what_is_too_young() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("1.jpg");
        let later = || SystemTime::now() + Duration::from_secs(10);
        let stamp = || FileStamp::of_file(&path, later()).expect("is there");
        fs::write(&path, "one").expect("writes");
        assert_eq!(FileStamp::of_file(&path, SystemTime::now()), None, "too young");
        assert_eq!(FileStamp::of_file(&folder.path().join("2.jpg"), later()), None, "missing");
        let first = stamp();
        assert_eq!(stamp(), first);
        fs::copy(&path, folder.path().join("other")).expect("copies");
        fs::rename(folder.path().join("other"), &path).expect("renames");
        let moved = stamp();
        assert_ne!(moved, first, "another inode");
        let file = fs::File::options().write(true).open(&path).expect("opens");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).expect("sets");
        let touched = stamp();
        assert_ne!(touched, moved, "another time");
        fs::write(&path, "longer").expect("writes");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).expect("sets");
        assert_ne!(stamp(), touched, "another size");
        file.set_modified(later() + Duration::from_secs(60)).expect("sets");
        assert_eq!(FileStamp::of_file(&path, later()), None, "a time to come");
    }

    #[test]
    fn data_beside_a_header_are_a_part_of_its_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let [header, data] = ["v.mhd", "v.raw"].map(|name| folder.path().join(name));
        let stamp = || FileStamp::of_file(&header, SystemTime::now() + Duration::from_secs(10)).expect("is there");
        fs::write(&header, "ObjectType = Image\nNDims = 3\nElementDataFile = v.raw\n").expect("writes");
        let alone = stamp();
        fs::write(&data, [0; 16]).expect("writes");
        let with_data = stamp();
        fs::write(&data, [0; 17]).expect("writes");
        assert!(alone != with_data && with_data != stamp());
    }

    #[test]
    fn a_key_depends_on_all_but_the_folder() {
        let stamp = |_| Some(FileStamp::of_entry("a.zip", [1, 2, 3, 4]));
        let said = |sixteen_bit| PictureSettings { sixteen_bit, accepts_no_end: false };
        let key = |listed: &[ListedSlice]| key_of_scan(listed, Turn::default(), said(None), stamp);
        let (one, two) = (ListedSlice::picture(0, "1.jpg".into()), ListedSlice::picture(0, "2.jpg".into()));
        let both = key(&[one.clone(), two.clone()]);
        assert_eq!(key(&[ListedSlice { scan: 7, ..one.clone() }, ListedSlice { scan: 7, ..two.clone() }]), both);
        let other = ListedSlice { number: Some(9), ..two.clone() };
        let others = [key(std::slice::from_ref(&one)), key(&[two.clone(), one.clone()]), key(&[one.clone(), other])];
        assert!(others.iter().all(|key| key.is_some() && *key != both));
        let listed = [one, two];
        let turned = Turn { flip_x: true, ..Turn::default() };
        assert_ne!(key_of_scan(&listed, turned, said(None), stamp), both);
        assert_ne!(key_of_scan(&listed, Turn::default(), said(Some(SixteenBit::Grey)), stamp), both);
        assert_eq!(key_of_scan(&listed, Turn::default(), said(None), |_| None), None);
    }
}
