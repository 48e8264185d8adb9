//! What Google lets things be called.

use crate::base::errors::{Result, ensure};

/// Lower-case letters, digits and hyphens; a letter first, no hyphen last.
pub(super) fn is_label(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The naming rules of buckets (<https://cloud.google.com/storage/docs/buckets#naming>).
pub(super) fn check_bucket(bucket: &str) -> Result<()> {
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let letters = bucket.chars().all(|c| end(c) || "-_.".contains(c));
    let most = if bucket.contains('.') { 222 } else { 63 };
    let parts = bucket.split('.').all(|part| (1..=63).contains(&part.len()));
    let reserved = bucket.starts_with("goog") || bucket.contains("google");
    let address = bucket.split('.').count() == 4 && bucket.split('.').all(|part| part.parse::<u8>().is_ok());
    ensure!(
        letters && (3..=most).contains(&bucket.len()) && parts && bucket.starts_with(end) && bucket.ends_with(end),
        "bucket: expected 3 to 63 lower-case letters, digits, '-', '_' and '.', a letter or digit first and last, \
         found {bucket:?}"
    );
    ensure!(
        !reserved && !address,
        "bucket: expected no \"google\", no \"goog\" first and no IP address, found {bucket:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_named_by_the_rules() {
        for name in ["covid_19_challenge", "abc", "a.b-c_d", "0ct"] {
            check_bucket(name).expect(name);
        }
        for name in ["ab", "Covid", "-abc", "abc_", "a..b", "googx", "my-google", "192.168.5.4", "a b c", "gs://abc"] {
            check_bucket(name).expect_err(name);
        }
        check_bucket(&"a".repeat(64)).expect_err("64 letters");
    }
}
