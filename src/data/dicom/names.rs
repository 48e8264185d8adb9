//! Names of the standard's identifiers.

use dicom_core::dictionary::{UidDictionary, UidDictionaryEntry};
use dicom_dictionary_std::StandardSopClassDictionary;
use dicom_encoding::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// Retired JPEG processes, which no registry lists; the number is the last part of the identifier.
const RETIRED_JPEG: &str = "1.2.840.10008.1.2.4.";
const RETIRED: [(&str, &str); 6] = [
    ("52", "JPEG extended, arithmetic coding"),
    ("53", "JPEG spectral selection"),
    ("54", "JPEG spectral selection, arithmetic coding"),
    ("55", "JPEG full progression"),
    ("56", "JPEG full progression, arithmetic coding"),
    ("58", "JPEG lossless, arithmetic coding"),
];

/// The name of an SOP class, for example "CT Image Storage"; `None` for one that the standard does not list.
pub(crate) fn sop_class_name(uid: &str) -> Option<&'static str> {
    StandardSopClassDictionary.by_uid(uid).map(|entry| entry.name())
}

/// The name of a transfer syntax, for example "RLE Lossless"; `None` for private ones.
pub(crate) fn syntax_name(uid: &str) -> Option<&'static str> {
    let retired = || {
        let number = uid.strip_prefix(RETIRED_JPEG)?;
        RETIRED.iter().find(|(retired, _)| *retired == number).map(|&(_, name)| name)
    };
    TransferSyntaxRegistry.get(uid).map(|syntax| syntax.name()).or_else(retired)
}
