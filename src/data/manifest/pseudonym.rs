//! Keyed hashes in the place of patients' numbers.

use crate::base::errors::{Context, Result};
use crate::base::regular_file::read_regular;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Digits shown: 48 bits, so that among a million patients two are confused once in 500 data sets.
const DIGITS: usize = 12;
const KEY: usize = 32;

/// Turns what a file says of who it shows into a name that tells nothing: HMAC-SHA-256 (RFC 2104) under a key that never
/// leaves this machine. Without the key nobody can try all numbers of a hospital.
pub(super) struct Pseudonyms {
    key: [u8; KEY],
}

impl Pseudonyms {
    /// With the key in `COVID_CT_CACHE`, by default `~/.cache/covid-ct`; it is drawn at the first use.
    ///
    /// # Errors
    /// A key that cannot be read or written, or is damaged.
    pub(super) fn open() -> Result<Self> {
        let cache = std::env::var_os("COVID_CT_CACHE").filter(|cache| !cache.is_empty()).map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/covid-ct")));
        Self::with_key_in(&cache.context("finding the key of pseudonyms: neither COVID_CT_CACHE nor HOME is set")?)
    }

    fn with_key_in(folder: &Path) -> Result<Self> {
        let path = folder.join("pseudonyms.key");
        let doing = || format!("reading the key of pseudonyms {}", path.display());
        std::fs::create_dir_all(folder).with_context(doing)?;
        // Complete before it has its name; of two processes that draw one, the first wins.
        if !path.exists() {
            let mut drawn = tempfile::NamedTempFile::new_in(folder).with_context(doing)?;
            let random = File::open("/dev/urandom").with_context(doing)?;
            std::io::copy(&mut random.take(KEY as u64), &mut drawn).with_context(doing)?;
            drawn.as_file().sync_all().with_context(doing)?;
            if let Err(error) = drawn.persist_noclobber(&path)
                && error.error.kind() != ErrorKind::AlreadyExists
            {
                return Err(error.error).with_context(doing);
            }
        }
        let found = read_regular(&path, 1 << 10).with_context(doing)?;
        let length = found.len();
        let key: Result<[u8; KEY], _> = found.try_into();
        let key = key
            .ok()
            .with_context(|| format!("{}: expected {KEY} bytes, found {length}; delete it to draw another", doing()))?;
        Ok(Self { key })
    }

    /// The pseudonym of a value of this kind, for example `patient`; the same value as another kind has another.
    pub(super) fn of(&self, kind: &str, value: &str) -> String {
        // A key of any length is valid, so this does not fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(value.trim().as_bytes());
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        digits[..DIGITS].to_owned()
    }
}

/// What anonymising software writes in the place of a patient's number: it would make one patient of all.
const PLACEHOLDERS: [&str; 16] = [
    "",
    "anonymous",
    "anonymized",
    "anonymised",
    "anon",
    "unknown",
    "none",
    "null",
    "nan",
    "?",
    "x",
    "na",
    "n/a",
    "patient",
    "removed",
    "deidentified",
];

/// Whether a PatientID names no patient.
pub(super) fn is_placeholder(patient: &str) -> bool {
    PLACEHOLDERS.contains(&patient.trim().trim_matches(['^', '_', '-', '.']).to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_drawn_once_and_hides_the_value() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Pseudonyms::with_key_in(folder.path()).expect("draws");
        let again = Pseudonyms::with_key_in(folder.path()).expect("reads");
        let pseudonym = first.of("patient", "4711 ");
        assert_eq!(pseudonym, again.of("patient", "4711"));
        assert_eq!((pseudonym.len(), pseudonym.contains("4711")), (DIGITS, false));
        assert_ne!(pseudonym, first.of("study", "4711"));
        let other = tempfile::tempdir().expect("a folder");
        assert_ne!(pseudonym, Pseudonyms::with_key_in(other.path()).expect("draws").of("patient", "4711"));
        std::fs::write(folder.path().join("pseudonyms.key"), "short").expect("writes");
        let error = Pseudonyms::with_key_in(folder.path()).err().expect("damaged").to_string();
        assert!(error.contains("expected 32 bytes, found 5"), "{error}");
    }

    #[test]
    fn a_known_case_of_hmac() {
        let key: [u8; KEY] = std::array::from_fn(|i| i as u8);
        assert_eq!(Pseudonyms { key }.of("patient", "what do ya want for nothing?"), PYTHON);
    }

    /// `hmac.new(bytes(range(32)), b"patient\0what do ya want for nothing?", "sha256").hexdigest()[:12]`
    const PYTHON: &str = "937a9d5b8daa";

    #[test]
    fn anonymisers_placeholders_name_nobody() {
        assert!(["", "Anonymous", "ANON^", " unknown "].into_iter().all(is_placeholder));
        assert!(!["A0002", "0", "Lung_Dx-A0001"].into_iter().any(is_placeholder));
    }
}
