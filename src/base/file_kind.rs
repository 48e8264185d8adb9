//! What kind of file it is that lies where another was expected, by its first bytes, and what to do with it.
//!
//! Marks are those that each format's own specification gives (named in the table); file(1) has the same.

/// What a kind of file is good for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileUse {
    /// A picture, or pictures one after the other.
    Picture,
    /// Files packed into one.
    Archive,
    /// Leftovers of systems and programs, and texts.
    Other,
}

/// A kind of file that is known by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileKind {
    /// With its article, for example `a GIF picture`.
    pub(crate) name: &'static str,
    /// What to do with it.
    pub(crate) advice: &'static str,
    pub(crate) is: FileUse,
}

const TO_PNG: &str = "convert it, for example by `ffmpeg -i FILE out.png`";
const FRAMES: &str = "if its pictures are slices, take them out by `ffmpeg -i FILE slice-%03d.png`";
const REMOVE: &str = "it is no slice: move it away";
const COPY_AGAIN: &str = "a copy or a download that broke off: fetch it again";
const SEVEN_Z: &str = "unpack it first, by `7z x FILE`";
const UNZIP: &str = "unpack it first, by `unzip FILE`";
const TAR: &str = "unpack it first, by `tar xf FILE`";

/// What browsers and aria2 end a download's name with until it is whole.
const UNFINISHED: [&str; 5] = ["part", "partial", "crdownload", "download", "aria2"];

/// Where the mark lies, the mark, and what it stands for.
type Mark = (usize, &'static [u8], FileKind);

const fn kind(name: &'static str, is: FileUse, advice: &'static str) -> FileKind {
    FileKind { name, advice, is }
}

use FileUse::{Archive, Other, Picture};

#[rustfmt::skip]
const MARKS: &[Mark] = &[
    // GIF89a specification, 17.
    (0, b"GIF87a", kind("a GIF picture", Picture, TO_PNG)),
    (0, b"GIF89a", kind("a GIF picture", Picture, TO_PNG)),
    // ISO/IEC 15444-1, A.4.1 (codestream: SOC, SIZ) and I.5.1 (signature box).
    (0, b"\0\0\0\x0CjP  \r\n\x87\n", kind("a JPEG 2000 picture", Picture, TO_PNG)),
    (0, b"\xFF\x4F\xFF\x51", kind("a JPEG 2000 picture", Picture, TO_PNG)),
    // ISO/IEC 18181-2: codestream, container.
    (0, b"\xFF\x0A", kind("a JPEG XL picture", Picture, "convert it by `djxl FILE out.png` (libjxl)")),
    (0, b"\0\0\0\x0CJXL \r\n\x87\n", kind("a JPEG XL picture", Picture, "convert it by `djxl FILE out.png` (libjxl)")),
    // ISO/IEC 23008-12 and AV1 Image File Format: brands of an ISO base media file; all other brands are video.
    (4, b"ftypheic", kind("an HEIC picture", Picture, "convert it by `heif-convert FILE out.png` (libheif)")),
    (4, b"ftypheix", kind("an HEIC picture", Picture, "convert it by `heif-convert FILE out.png` (libheif)")),
    (4, b"ftypmif1", kind("an HEIF picture", Picture, "convert it by `heif-convert FILE out.png` (libheif)")),
    (4, b"ftypavif", kind("an AVIF picture", Picture, "convert it by `avifdec FILE out.png` (libavif)")),
    (4, b"ftyp", kind("a video (MP4 or QuickTime)", Picture, FRAMES)),
    // Older QuickTime files begin with one of its atoms (QuickTime File Format).
    (4, b"moov", kind("a video (QuickTime)", Picture, FRAMES)),
    (4, b"mdat", kind("a video (QuickTime)", Picture, FRAMES)),
    // RFC 9559 (EBML); ISO/IEC 13818-1 (pack header).
    (0, b"\x1A\x45\xDF\xA3", kind("a video (Matroska or WebM)", Picture, FRAMES)),
    (0, b"\0\0\x01\xBA", kind("a video (MPEG)", Picture, FRAMES)),
    // Adobe Photoshop File Formats Specification.
    (0, b"8BPS", kind("a Photoshop picture", Picture, TO_PNG)),
    // BigTIFF design (version 43); Netpbm's formats: the letter P, a number, white space.
    (0, b"II+\0", kind("a BigTIFF picture", Picture, "save it as an ordinary TIFF, or as PNG")),
    (0, b"MM\0+", kind("a BigTIFF picture", Picture, "save it as an ordinary TIFF, or as PNG")),
    (0, b"P2\n", kind("a PGM picture", Picture, TO_PNG)),
    (0, b"P5\n", kind("a PGM picture", Picture, TO_PNG)),
    (0, b"P5 ", kind("a PGM picture", Picture, TO_PNG)),
    (0, b"P3\n", kind("a PPM picture", Picture, TO_PNG)),
    (0, b"P6\n", kind("a PPM picture", Picture, TO_PNG)),
    (0, b"P6 ", kind("a PPM picture", Picture, TO_PNG)),
    // APPNOTE.TXT 4.3.7 and 4.3.16 (an empty one); RFC 1952; bzip2; xz 2.1.1.1; RFC 8878.
    (0, b"PK\x03\x04", kind("a zip archive", Archive, UNZIP)),
    (0, b"PK\x05\x06", kind("an empty zip archive", Archive, REMOVE)),
    (0, b"\x1F\x8B", kind("gzip data", Archive, "unpack it first, by `tar xf FILE`, or `gunzip` where it is one file; a NIfTI volume is read as it is, with the ending .nii.gz")),
    (0, b"BZh", kind("bzip2 data", Archive, TAR)),
    (0, b"\xFD7zXZ\0", kind("xz data", Archive, TAR)),
    (0, b"\x28\xB5\x2F\xFD", kind("Zstandard data", Archive, TAR)),
    // 7zFormat.txt; RAR 5.0 archive format (RAR 4 has 00 in the place of 01 00); POSIX.1-1988 ustar.
    (0, b"7z\xBC\xAF\x27\x1C", kind("a 7z archive", Archive, SEVEN_Z)),
    (0, b"Rar!\x1A\x07", kind("a RAR archive", Archive, "unpack it first, by `unrar x FILE` or `7z x FILE`")),
    (257, b"ustar", kind("a tar archive", Archive, TAR)),
    // ISO 32000-1, 7.5.2; SQLite file format, 1.3; MS-CFB 2.2; HDF5 file format, II.A; NumPy's format.
    (0, b"%PDF-", kind("a PDF document", Other, REMOVE)),
    (0, b"SQLite format 3\0", kind("an SQLite data base", Other, REMOVE)),
    (0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", kind("an OLE2 file, such as Windows' Thumbs.db", Other, REMOVE)),
    (0, b"\x89HDF\r\n\x1A\n", kind("an HDF5 file", Other, "export its slices as PNG, or as a NIfTI volume")),
    (0, b"\x93NUMPY", kind("a NumPy array", Other, "export its slices as PNG, or as a NIfTI volume")),
    // RFC 1740 (AppleDouble); the header of Finder's .DS_Store.
    (0, b"\0\x05\x16\x07", kind("macOS' companion of a file (AppleDouble)", Other, REMOVE)),
    (0, b"\0\0\0\x01Bud1", kind("macOS' .DS_Store", Other, REMOVE)),
];

impl FileKind {
    /// Of the file that begins with `first`, of which 4096 bytes are enough; `None` where nothing is known of it.
    pub(crate) fn of(first: &[u8]) -> Option<Self> {
        let marked = |(at, mark, _): &&Mark| first.get(*at..).is_some_and(|rest| rest.starts_with(mark));
        MARKS.iter().find(marked).map(|(.., kind)| *kind).or_else(|| Self::of_structure(first))
    }

    /// Kinds that one mark does not tell.
    fn of_structure(first: &[u8]) -> Option<Self> {
        // Multimedia Programming Interface and Data Specifications 1.0: RIFF, a length, the form.
        if let [b'R', b'I', b'F', b'F', _, _, _, _, form @ ..] = first {
            return match form.get(..4)? {
                b"WEBP" => Some(kind("a WebP picture", Picture, TO_PNG)),
                b"AVI " => Some(kind("a video (AVI)", Picture, FRAMES)),
                _ => None,
            };
        }
        // BITMAPFILEHEADER: four reserved zeros after the length.
        if first.starts_with(b"BM") && first.get(6..10) == Some(&[0; 4]) {
            return Some(kind("a BMP picture", Picture, TO_PNG));
        }
        if !first.is_empty() && first.iter().all(|byte| *byte == 0) {
            return Some(kind("nothing but zeros", Other, COPY_AGAIN));
        }
        Self::of_text(first)
    }

    fn of_text(first: &[u8]) -> Option<Self> {
        // A letter may be cut at the end of what was read.
        let valid = str::from_utf8(first).map_or_else(|error| error.valid_up_to(), |_| first.len());
        let text =
            str::from_utf8(first.get(..valid)?).ok().filter(|text| !text.is_empty() && valid + 4 > first.len())?;
        if text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()) {
            return None;
        }
        let start: String = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).chars().take(16).collect();
        let start = start.to_ascii_lowercase();
        Some(match () {
            () if start.starts_with("<!doctype html") || start.starts_with("<html") => {
                kind("an HTML page", Other, "often an error of the server in the place of a download: fetch it again")
            }
            () if start.starts_with("<?xml") || start.starts_with("<svg") => kind("an XML text", Other, REMOVE),
            () if start.starts_with("version https:/") => {
                kind("a pointer of Git LFS", Other, "fetch the file itself, by `git lfs pull`")
            }
            () => kind("a text", Other, REMOVE),
        })
    }

    /// Whether a name ends as that of a download that is not whole.
    pub(crate) fn is_unfinished(name: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(_, ending)| UNFINISHED.iter().any(|of| ending.eq_ignore_ascii_case(of)))
    }

    /// An archive of any kind, whole or in part, by its ending.
    pub(crate) fn packed_named(name: &str) -> Option<Self> {
        let is_zip = name.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("zip"));
        match () {
            () if is_zip => Some(kind("a zip archive", Archive, UNZIP)),
            () if Self::is_unfinished(name) => {
                Some(kind("an unfinished download", Other, "fetch it again, as a whole"))
            }
            () => Self::archive_named(name),
        }
    }

    /// An archive that is not read, by its ending; for names alone.
    pub(crate) fn archive_named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        Some(match () {
            () if ends(&[".rar"]) => {
                kind("a RAR archive", Archive, "unpack it first, by `unrar x FILE` or `7z x FILE`")
            }
            () if ends(&[".7z"]) => kind("a 7z archive", Archive, SEVEN_Z),
            () if ends(&[".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst"]) => kind("a tar archive", Archive, TAR),
            () if ends(&[".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"]) => kind("a tar archive", Archive, TAR),
            // The other parts of a zip archive of several.
            () if name.rsplit_once(".z").is_some_and(|(_, part)| part.len() == 2 && part.parse::<u8>().is_ok()) => {
                kind(
                    "a part of a split zip archive",
                    Archive,
                    "join the parts first, by `zip -s 0 FILE.zip --out whole.zip`",
                )
            }
            () => return None,
        })
    }

    /// What it is and what to do, with the file's name in the command.
    pub(crate) fn told(self, file: &str) -> String {
        format!("{}: {}", self.name, self.advice.replace("FILE", file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(first: &[u8]) -> &'static str {
        FileKind::of(first).map_or("unknown", |kind| kind.name)
    }

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let tar = [&[b'a'; 100][..], &[0; 157], b"ustar\x0000"].concat();
        let cases: [(&[u8], &str); 26] = [
            (b"GIF89a\x01\0", "a GIF picture"),
            (b"BM\x36\x04\0\0\0\0\0\0\x36", "a BMP picture"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP picture"),
            (b"RIFF\x10\0\0\0AVI LIST", "a video (AVI)"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video (MP4 or QuickTime)"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "an HEIC picture"),
            (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF picture"),
            (b"\x1A\x45\xDF\xA3\x01\0\0\0", "a video (Matroska or WebM)"),
            (b"\0\0\0\x0CjP  \r\n\x87\n\0\0", "a JPEG 2000 picture"),
            (b"\xFF\x4F\xFF\x51\0\x2F", "a JPEG 2000 picture"),
            (b"\xFF\x0A\x00", "a JPEG XL picture"),
            (b"%PDF-1.4\n%\xE2", "a PDF document"),
            (b"PK\x03\x04\x14\0", "a zip archive"),
            (b"\x1F\x8B\x08\0", "gzip data"),
            (b"Rar!\x1A\x07\x01\0", "a RAR archive"),
            (b"7z\xBC\xAF\x27\x1C\0\x04", "a 7z archive"),
            (&tar, "a tar archive"),
            (b"SQLite format 3\0\x10", "an SQLite data base"),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0", "an OLE2 file, such as Windows' Thumbs.db"),
            (b"\0\x05\x16\x07\0\x02", "macOS' companion of a file (AppleDouble)"),
            (b"\n<!DOCTYPE html><html>", "an HTML page"),
            (b"<?xml version=\"1.0\"?>", "an XML text"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
            ("Größe\tä".as_bytes(), "a text"),
            (&[0; 40], "nothing but zeros"),
            (b"\x89HDF\r\n\x1A\n\0", "an HDF5 file"),
        ];
        for (first, expected) in cases {
            assert_eq!(name(first), expected);
        }
        for none in [b"".as_slice(), b"\xFF\xD8\xFF\xE0", b"BM\xFFyzxyzxyz", b"abc\x01\x02", b"\xE4hnlich wie Latin-1"]
        {
            assert_eq!(name(none), "unknown", "{none:?}");
        }
        // A letter that is cut.
        assert_eq!(name(&"ää".as_bytes()[..3]), "a text");
    }

    #[test]
    fn archives_are_known_by_their_endings_and_the_tool_is_named() {
        let told = |name: &str| FileKind::archive_named(name).map(|kind| kind.told(name));
        assert_eq!(
            told("a.RAR").as_deref(),
            Some("a RAR archive: unpack it first, by `unrar x a.RAR` or `7z x a.RAR`")
        );
        assert_eq!(told("b.7z").as_deref(), Some("a 7z archive: unpack it first, by `7z x b.7z`"));
        assert_eq!(told("c.tar.zst").as_deref(), Some("a tar archive: unpack it first, by `tar xf c.tar.zst`"));
        assert!(told("d.z01").is_some_and(|told| told.starts_with("a part of a split zip archive: ")));
        assert_eq!([told("e.zip"), told("f.zfp"), told("g")], [None, None, None]);
    }
}
