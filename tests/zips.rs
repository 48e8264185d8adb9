//! Zip archives built byte by byte, with the inconsistencies that a test needs.

use std::io::Write;

/// An entry, honest until changed.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub local_name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc32: u32,
    pub data: Vec<u8>,
    pub compressed: u64,
    pub size: u64,
    pub attributes: u32,
    /// Where the directory says that it begins, if not where it does.
    pub offset: Option<u64>,
    /// Sizes and offset in a zip64 field.
    pub wide: bool,
}

pub fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(content).expect("deflates");
    encoder.finish().expect("deflates")
}

pub fn entry(name: &str, content: &[u8]) -> Entry {
    let data = deflated(content);
    let (compressed, crc32) = (data.len() as u64, crc32fast::hash(content));
    let name = name.as_bytes().to_vec();
    let size = content.len() as u64;
    let local_name = name.clone();
    Entry {
        name,
        local_name,
        flags: 0,
        method: 8,
        crc32,
        data,
        compressed,
        size,
        attributes: 0,
        offset: None,
        wide: false,
    }
}

pub fn stored(name: &str, content: &[u8]) -> Entry {
    Entry { method: 0, data: content.to_vec(), compressed: content.len() as u64, ..entry(name, content) }
}

fn put(out: &mut Vec<u8>, fields: &[(u64, usize)]) {
    for (value, width) in fields {
        out.extend(&value.to_le_bytes()[..*width]);
    }
}

/// The bytes of an archive; with a zip64 end where it is asked for or needed.
pub fn zip(entries: &[Entry], end_64: bool) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = entry.offset.unwrap_or(out.len() as u64);
        let (flags, method, crc32) = (u64::from(entry.flags), u64::from(entry.method), u64::from(entry.crc32));
        let narrow = |value: u64| if entry.wide { 0xffff_ffff } else { value };
        let (compressed, size) = (narrow(entry.compressed), narrow(entry.size));
        let mut extra = Vec::new();
        if entry.wide {
            put(&mut extra, &[(1, 2), (24, 2), (entry.size, 8), (entry.compressed, 8), (offset, 8)]);
        }
        put(&mut out, &[(0x0403_4b50, 4), (20, 2), (flags, 2), (method, 2), (0, 4), (crc32, 4)]);
        put(&mut out, &[(compressed, 4), (size, 4), (entry.local_name.len() as u64, 2), (0, 2)]);
        out.extend(&entry.local_name);
        out.extend(&entry.data);
        put(&mut directory, &[(0x0201_4b50, 4), (0x031e, 2), (20, 2), (flags, 2), (method, 2), (0, 4), (crc32, 4)]);
        put(&mut directory, &[(compressed, 4), (size, 4), (entry.name.len() as u64, 2), (extra.len() as u64, 2)]);
        put(&mut directory, &[(0, 2), (0, 2), (0, 2), (u64::from(entry.attributes), 4), (narrow(offset), 4)]);
        directory.extend(&entry.name);
        directory.extend(&extra);
    }
    let (start, size, count) = (out.len() as u64, directory.len() as u64, entries.len() as u64);
    out.extend(directory);
    let wide = end_64 || count >= 0xffff;
    if wide {
        let at = out.len() as u64;
        put(&mut out, &[(0x0606_4b50, 4), (44, 8), (45, 2), (45, 2), (0, 4), (0, 4), (count, 8), (count, 8)]);
        put(&mut out, &[(size, 8), (start, 8), (0x0706_4b50, 4), (0, 4), (at, 8), (1, 4)]);
    }
    let (count, start) = if wide { (0xffff, 0xffff_ffff) } else { (count, start) };
    put(&mut out, &[(0x0605_4b50, 4), (0, 4), (count, 2), (count, 2), (size, 4), (start, 4), (0, 2)]);
    out
}

/// Bytes that are nearly incompressible, as those of a JPEG; the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // A little to compress.
        (state >> 32) as u8 & 0xdf
    };
    (0..length).map(|_| step()).collect()
}
