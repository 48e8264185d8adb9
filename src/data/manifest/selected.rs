//! A manifest with some of its slices.

use super::Manifest;

impl Manifest {
    /// The same scans without slices.
    pub(crate) fn without_slices(&self) -> Self {
        self.filtered(&[])
    }

    /// The same manifest with only the slices for which `keep` is true.
    pub(crate) fn filtered(&self, keep: &[bool]) -> Self {
        let slices = self.slices.iter().zip(keep).filter(|(_, keep)| **keep).map(|(slice, _)| slice.clone()).collect();
        // Not `..self.clone()`, which would copy all slices to drop them.
        Self {
            name: self.name.clone(),
            root: self.root.clone(),
            scans: self.scans.clone(),
            slices,
            same_patient: self.same_patient.clone(),
            strays: self.strays.clone(),
            layout: self.layout.clone(),
            rejected: self.rejected.clone(),
            sixteen_bit: self.sixteen_bit,
            accepts_no_end: self.accepts_no_end,
            tables: self.tables.clone(),
            left_out: self.left_out.clone(),
        }
    }
}
