//! Hash tables over signs of frequencies (locality-sensitive hashing): each looks at some of them, and similar pictures
//! have all of those in common in one table at least.

use super::super::pixel_measures::DESCRIPTOR;
use multiversion::multiversion;
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Number of tables. With twelve signs each, pictures whose frequencies have a correlation of 0.9 meet in one of them in
/// 93 of 100 cases; several parts of each slice are looked up.
const TABLES: usize = 16;
/// Slices of one label that are looked at in a bucket.
const LOOKED_AT: usize = 24;

/// One table.
struct SignTable {
    /// The signs it looks at.
    mask: u128,
    /// 64 less the bits of a bucket's number.
    shift: u32,
    /// Entries sorted by their bucket, then by label, then by number.
    order: Vec<u32>,
    /// Where each bucket begins; one more at the end.
    bounds: Vec<u32>,
    /// A bit for each bucket that holds something: of most that are looked at nothing else is read.
    filled: Vec<u64>,
}

/// All tables.
pub(super) struct SignTables {
    tables: Vec<SignTable>,
    signs: Vec<u128>,
    labels: Vec<u8>,
}

impl SignTables {
    /// Of the signs of each entry, and its label as a number; only those `among` them are found.
    pub(super) fn of(signs: Vec<u128>, labels: Vec<u8>, among: Vec<u32>) -> Self {
        // As many buckets as entries, at most.
        let width = signs.len().max(2).ilog2() as usize;
        let mut rng = ChaCha8Rng::seed_from_u64(96);
        let masks: Vec<u128> = (0..TABLES)
            .map(|_| sample(&mut rng, DESCRIPTOR, width.min(24)).into_iter().fold(0, |mask, at| mask | 1 << at))
            .collect();
        let table = |mask: u128| SignTable::of(mask, &signs, &labels, &among);
        Self { tables: masks.into_par_iter().map(table).collect(), signs, labels }
    }

    /// Replaces `found` by the entries that have the same signs in one of the tables and differ in `most` of all signs at
    /// most, in order.
    pub(super) fn like(&self, signs: u128, most: u32, found: &mut Vec<u32>) {
        found.clear();
        met(self, signs, most, found);
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }
}

/// Each step is taken for all tables before the next: the memory is read for all of them at once, where one after the other
/// would have to wait. Counting bits takes one instruction where the processor has it.
#[multiversion(targets("x86_64+popcnt"))]
fn met(of: &SignTables, signs: u128, most: u32, found: &mut Vec<u32>) {
    let (mut keys, mut filled) = ([0; TABLES], 0_u32);
    for (at, (key, table)) in keys.iter_mut().zip(&of.tables).enumerate() {
        *key = table.key(signs);
        filled |= u32::from(table.is_filled(*key)) << at;
    }
    let (mut buckets, mut count): ([&[u32]; TABLES], usize) = ([&[]; TABLES], 0);
    while filled != 0 {
        let at = filled.trailing_zeros() as usize;
        buckets[count] = of.tables[at].bucket(keys[at]);
        (count, filled) = (count + 1, filled & (filled - 1));
    }
    for bucket in &buckets[..count] {
        if bucket.len() <= LOOKED_AT {
            found.extend_from_slice(bucket);
            continue;
        }
        let (mut begin, mut label) = (0, 0);
        while begin < bucket.len() {
            let end = begin + bucket[begin..].partition_point(|&entry| of.labels[entry as usize] <= label);
            found.extend_from_slice(&bucket[begin..end.min(begin + LOOKED_AT)]);
            (begin, label) = (end, label + 1);
        }
    }
    let mut kept = 0;
    for at in 0..found.len() {
        let entry = found[at];
        found[kept] = entry;
        kept += usize::from((of.signs[entry as usize] ^ signs).count_ones() <= most);
    }
    found.truncate(kept);
}

impl SignTable {
    fn of(mask: u128, signs: &[u128], labels: &[u8], among: &[u32]) -> Self {
        let width = mask.count_ones();
        let (bounds, filled) = (vec![0; (1 << width) + 1], vec![0; (1_usize << width).div_ceil(64)]);
        let mut table = Self { mask, shift: u64::BITS - width, order: Vec::new(), bounds, filled };
        let key = |&entry: &u32| table.key(signs[entry as usize]) as u32;
        let mut order: Vec<(u32, u8, u32)> =
            among.iter().map(|entry| (key(entry), labels[*entry as usize], *entry)).collect();
        order.sort_unstable();
        for key in order.iter().map(|(key, ..)| *key as usize) {
            table.bounds[key + 1] += 1;
            table.filled[key / 64] |= 1 << (key % 64);
        }
        table.order = order.into_iter().map(|(.., entry)| entry).collect();
        let mut sum = 0;
        for bound in &mut table.bounds {
            sum += *bound;
            *bound = sum;
        }
        table
    }

    #[inline(always)]
    fn is_filled(&self, key: usize) -> bool {
        self.filled[key / 64] >> (key % 64) & 1 == 1
    }

    #[inline(always)]
    fn bucket(&self, key: usize) -> &[u32] {
        &self.order[self.bounds[key] as usize..self.bounds[key + 1] as usize]
    }

    /// The bucket: the upper bits of two products, as in Dietzfelbinger's multiplicative hashing.
    #[inline(always)]
    fn key(&self, signs: u128) -> usize {
        let seen = signs & self.mask;
        let mixed = (seen as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(((seen >> 64) as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f));
        (mixed >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn similar_signs_meet_and_a_crowd_does_not_hide_a_label() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut signs: Vec<u128> = (0..3000).map(|_| rng.r#gen::<u128>() >> 32).collect();
        let mut labels = vec![0; 3000];
        signs.extend([7; 500]);
        labels.extend([1; 499].into_iter().chain([2]));
        let tables = SignTables::of(signs.clone(), labels, (0..3500).collect());
        let found = |signs: u128, most: u32| {
            let mut found = Vec::new();
            tables.like(signs, most, &mut found);
            found
        };
        // Ten of 96 signs differ.
        let changed = |signs: u128| (0..10).fold(signs, |signs, at| signs ^ 1 << (9 * at));
        let met = (0..3000).filter(|&entry| found(changed(signs[entry]), 10).contains(&(entry as u32))).count();
        assert!(met > 2900, "{met}");
        assert!(found(changed(signs[0]), 9).is_empty());
        let crowd = found(7, 0);
        assert!(crowd.contains(&3000) && crowd.contains(&3499), "{crowd:?}");
        assert_eq!(crowd.len(), LOOKED_AT + 1);
    }
}
