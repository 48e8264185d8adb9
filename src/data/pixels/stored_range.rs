//! What the values of a 16-bit picture probably mean, by their range.

use super::SixteenBit;

/// The values of a 16-bit picture of which nobody said what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRange {
    /// The lowest and the highest.
    pub values: (u16, u16),
    /// The lowest and the highest when the first bit is read as a sign.
    pub signed: (i16, i16),
    /// The same with the two bytes of each value exchanged.
    pub swapped: (i16, i16),
}

impl StoredRange {
    pub(crate) fn of(stored: &[u16]) -> Self {
        let signed = || stored.iter().map(|value| value.cast_signed());
        let values = || stored.iter().copied();
        Self {
            values: (values().min().unwrap_or(0), values().max().unwrap_or(0)),
            signed: (signed().min().unwrap_or(0), signed().max().unwrap_or(0)),
            swapped: (
                signed().map(i16::swap_bytes).min().unwrap_or(0),
                signed().map(i16::swap_bytes).max().unwrap_or(0),
            ),
        }
    }

    /// Values that only make sense with their bytes exchanged: of 12 bits or so, which else fill all of 16. What was 8 bits in the upper
    /// byte stays below 256.
    fn has_swapped_bytes(&self) -> bool {
        let (low, high) = self.swapped;
        self.values.1 >= 0x8000 && (-8192..8192).contains(&low) && (256..8192).contains(&high)
    }

    /// What the values probably mean, and why; of a CT slice some are air (-1000 HU) and few are above 3,071 HU.
    pub fn likely(&self) -> (SixteenBit, String) {
        let ((low, high), (below, above)) = (self.values, self.signed);
        let (from, to) = (i32::from(low), i32::from(high));
        match () {
            () if (-8192..-200).contains(&below) && above < 8192 => {
                (SixteenBit::Hounsfield, format!("probably Hounsfield units with a sign, {below} to {above} HU"))
            }
            () if from >= 32768 - 8192 && to < 32768 + 8192 => {
                (SixteenBit::Plus32768, format!("probably HU + 32768, {} to {} HU", from - 32768, to - 32768))
            }
            () if to < 8192 => (
                SixteenBit::Plus1024,
                format!(
                    "as many bits as a scanner stores, so probably HU + 1024, {} to {} HU (if they are grey levels of 12 \
                     bits instead, multiply them by 16 and set it to grey)",
                    from - 1024,
                    to - 1024
                ),
            ),
            () => (SixteenBit::Grey, "probably grey levels that went through a window".to_owned()),
        }
    }
}

impl std::fmt::Display for StoredRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (meaning, why) = self.likely();
        let ((low, high), name) = (self.values, meaning.name());
        if meaning == SixteenBit::Grey && self.has_swapped_bytes() {
            let (from, to) = self.swapped;
            return write!(
                f,
                "16 bits a pixel with values from {low} to {high}, the bytes of each probably exchanged: else they are {from} to \
                 {to}. Write the pictures again with the other byte order"
            );
        }
        write!(
            f,
            "16 bits a pixel with values from {low} to {high}, and the file does not say what they mean: {why}; set \
             COVID_CT_SIXTEEN_BIT={name} (others: hu, hu+1024, hu+32768, grey)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_values_are_told_by_their_range() {
        let said = |values: &[u16]| StoredRange::of(values).to_string();
        let [hu, shifted, plus, grey] = [
            said(&[64_512, 0, 300]),
            said(&[31_744, 32_768, 35_839]),
            said(&[0, 1024, 4095]),
            said(&[0, 30_000, 65_535]),
        ];
        let begin = |low: u32, high: u32| {
            format!("16 bits a pixel with values from {low} to {high}, and the file does not say what they mean: ")
        };
        let end = |name: &str| format!("; set COVID_CT_SIXTEEN_BIT={name} (others: hu, hu+1024, hu+32768, grey)");
        let full = begin(0, 64_512) + "probably Hounsfield units with a sign, -1024 to 300 HU" + &end("hu");
        assert_eq!(hu, full);
        assert_eq!(shifted, begin(31_744, 35_839) + "probably HU + 32768, -1024 to 3071 HU" + &end("hu+32768"));
        let twelve = "as many bits as a scanner stores, so probably HU + 1024, -1024 to 3071 HU (if they are grey levels of \
                      12 bits instead, multiply them by 16 and set it to grey)";
        assert_eq!(plus, begin(0, 4095) + twelve + &end("hu+1024"));
        let windowed = "probably grey levels that went through a window";
        assert_eq!(grey, begin(0, 65_535) + windowed + &end("grey"));
        // 0, 1024, 896 and 3071 of little endian, as big endian.
        let swapped = said(&[0, 0x0004, 0x8003, 0xFF0B]);
        assert!(swapped.ends_with(
            "probably exchanged: else they are 0 to 3071. Write the pictures again with the other byte order"
        ));
        // 8 bits in the upper byte.
        assert_eq!(said(&[0, 0x8000, 0xFF00]), begin(0, 0xFF00) + windowed + &end("grey"));
    }
}
