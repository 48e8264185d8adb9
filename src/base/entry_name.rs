//! Names of the entries of archives, as different systems write them.

/// A name with `/` between folders, and in UTF-8.
///
/// Backslashes are separators: .NET up to 4.6, and PowerShell 5 with it, write them, against APPNOTE.TXT 4.4.17.1. Parts `.` are
/// left away, so that `./` alone is empty. A byte that is no UTF-8, of a name in Latin-1 or another encoding that nothing in the
/// archive names, is shown as `%E4`, and in such names `%` as `%25`: different names stay different. Whether the name leads out
/// of a folder is for the caller to see, afterwards.
pub(crate) fn entry_name(stored: &[u8]) -> String {
    let is_utf8 = str::from_utf8(stored).is_ok();
    let mut name = String::with_capacity(stored.len());
    for chunk in stored.utf8_chunks() {
        match is_utf8 {
            true => name.push_str(chunk.valid()),
            false => name.push_str(&chunk.valid().replace('%', "%25")),
        }
        name.extend(chunk.invalid().iter().map(|byte| format!("%{byte:02X}")));
    }
    let name = name.replace('\\', "/");
    if !name.split('/').any(|part| part == ".") {
        return name;
    }
    name.split('/').filter(|part| *part != ".").collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_folders_whatever_wrote_them() {
        let same = ["train/covid/1.jpg", "a//b", "/etc/x", "../x", "Größe/1.jpg", "100%/1.jpg", "", "a.b/..c", "C:/x"];
        for name in same {
            assert_eq!(entry_name(name.as_bytes()), name);
        }
        let cases: [(&[u8], &str); 9] = [
            (b"train\\covid\\ct_scan_1\\0.jpg", "train/covid/ct_scan_1/0.jpg"),
            (b"train\\covid\\", "train/covid/"),
            (b"..\\..\\x", "../../x"),
            (b"./train/./1.jpg", "train/1.jpg"),
            (b"./", ""),
            (b".\\train\\1.jpg", "train/1.jpg"),
            (b"Gr\xF6\xDFe/1.jpg", "Gr%F6%DFe/1.jpg"),
            (b"Gr\xF6%F6/1.jpg", "Gr%F6%25F6/1.jpg"),
            (b"\xC3\xA4\xE4", "ä%E4"),
        ];
        for (stored, name) in cases {
            assert_eq!(entry_name(stored), name);
        }
    }
}
