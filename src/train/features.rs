//! The features of every slice by a frozen backbone, computed once and stored.
//!
//! A frozen network in evaluation mode computes the same features of a slice in every epoch: no parameter changes,
//! dropout is off, and slices are not augmented. They are therefore stored in `features.bin` next to the slice cache,
//! bound by hash to backbone, preprocessing and manifest, and an epoch of the head takes seconds. Stored as f32 this
//! equals forwarding every slice in every epoch, up to the order in which a batch is summed (1e-5 of the loss). It
//! would not hold if the backbone were trained, if its batch norm used the statistics of the batches, or for layers
//! after an active dropout: there features are stored up to the dropout, and the layers from it on are computed for
//! every batch.
//!
//! On a CPU in f32 a [`PreparedNetwork`] computes them, in threads that have a core and small batches each: what the
//! threads work on stays in their caches, and no thread waits for another after each layer.

use crate::base::errors::{Context, Result, ensure};
use crate::base::files::{Digest, read_json, write_json};
use crate::base::interrupt::go_on;
use crate::base::progress::{Meter, Progress};
use crate::base::ranks::{ranks, speaks};
use crate::data::cache::SliceCache;
use crate::data::preprocess::{Preprocess, WithoutLungs};
use crate::data::rows::{BLOCK, Building, Checking, Place, Rows};
use crate::nn::model::{Network, PreparedNetwork};
use crate::nn::single_threads::in_threads;
use crate::train::config::RunConfig;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// File of the seconds that computing took.
const COST: &str = "seconds.json";
/// Slices in one forward pass; fixed, so that a build that was interrupted gives the same bits.
const BATCH: usize = 32;

/// The features of every slice of a cache.
#[derive(Debug)]
pub(crate) struct FeatureCache {
    rows: Rows,
    width: usize,
    kind: Kind,
    seconds: f64,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct FeatureIndex {
    manifest: Digest,
    preprocess: Preprocess,
    backbone: Digest,
    /// Number of layers up to the features.
    layers: usize,
    /// In which precision features are computed and stored: libtorch's names.
    computed: String,
    kept: String,
    /// How they are computed, where it is not by the network's own layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    slices: usize,
    width: usize,
}

impl FeatureCache {
    /// Opens the features of these slices by the first `until` layers of `network`, and computes them first if they are
    /// not stored; a computation that was killed is resumed. Features computed in 16 bits are stored in f16.
    pub(crate) fn open_or_build(
        cache: &SliceCache,
        network: &Network,
        backbone: Digest,
        run: &RunConfig,
        until: usize,
        device: Device,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let computed = run.precision.kind();
        let kind = if computed == Kind::Float { Kind::Float } else { Kind::Half };
        let width = network.width_at(until)?;
        let slices = cache.manifest().slices.len();
        let is_prepared = PreparedNetwork::serves(network, computed, device);
        let index = FeatureIndex {
            manifest: cache.manifest_hash(),
            // Which slices take part changes no feature.
            preprocess: Preprocess { without_lungs: WithoutLungs::Keep, ..cache.preprocess().clone() },
            backbone,
            layers: until,
            computed: format!("{computed:?}"),
            kept: format!("{kind:?}"),
            method: is_prepared.then(|| PreparedNetwork::METHOD.to_owned()),
            slices,
            width,
        };
        let key = Digest::of(serde_json::to_string(&index)?.as_bytes()).short();
        let folder = cache.folder().join(format!("features-{}-{key}", network.architecture().key()));
        let row_bytes = width * kind.elt_size_in_bytes();
        let place = Place { folder, file: "features.bin", rows: slices };
        let doing = || format!("computing the features {}", place.folder.display());
        let stage = format!("features of {}", network.architecture());
        let say = |note: &str| progress(&Progress::noted(&stage, "slices", slices, note));
        let building = if speaks() { Building::begin(&place, say).with_context(doing)? } else { None };
        let missing = ranks().broadcast(speaks().then(|| building.as_ref().map(Building::missing)))?;
        if let Some(missing) = missing {
            let begun = Instant::now();
            let already = slices - missing.iter().map(ExactSizeIterator::len).sum::<usize>();
            let meter = Meter::new(&stage, "slices", slices, already, progress);
            let way = match is_prepared {
                true => Way::prepared(cache, network, until).with_context(doing)?,
                false => Way::Plain { network, until, computed, device },
            };
            let at_once = way.blocks_at_once(cache, missing.first().map_or(1, ExactSizeIterator::len));
            let make = |blocks: &[Range<usize>], at_work| {
                // Of all ranks: they take about the same time.
                let done = |slices: usize| {
                    meter.add(slices * at_work);
                    go_on()
                };
                let mut bytes = Vec::new();
                for features in way.of_batches(cache, blocks, done).with_context(doing)? {
                    bytes.extend(crate::nn::transfer::bytes(&features.f_to_kind(kind)?)?);
                }
                Ok(bytes)
            };
            let take = |blocks: &[Range<usize>], bytes: Vec<u8>| {
                let mut rows = bytes.chunks_exact(row_bytes).map(|row| (row, 0));
                let put = |block: &Range<usize>| {
                    let rows = rows.by_ref().take(block.len());
                    building.as_ref().map_or(Ok(()), |building| building.put(block, rows))
                };
                blocks.iter().try_for_each(put).with_context(doing)
            };
            ranks().in_rounds(&missing, (at_once, BLOCK * row_bytes), make, take)?;
            meter.finish();
            if let Some(building) = building {
                // Of all slices, also where some were left by an earlier build.
                let seconds = begun.elapsed().as_secs_f64() * slices as f64 / (slices - already).max(1) as f64;
                write_json(&place.folder.join(COST), &seconds)?;
                building.finish(&index).with_context(doing)?;
            }
            ranks().barrier();
        }
        let rows = Rows::open(&place, &index, Checking::Once).context("opening a network's features")?;
        let seconds = read_json(&place.folder.join(COST), "the seconds that features took")?;
        Ok(Self { rows, width, kind, seconds })
    }

    /// Seconds that computing them took.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The stored rows.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// F, the features of a slice.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Writes the features of slices `[N, F]` in f32.
    pub(crate) fn read(&self, slices: &[usize], into: &mut [f32]) -> Result<()> {
        let bytes = self.bytes_of(slices)?;
        if self.kind == Kind::Float {
            let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            into.iter_mut().zip(values).for_each(|(to, value)| *to = value);
        } else {
            let values = bytes.chunks_exact(2).map(|b| of_half(u16::from_le_bytes([b[0], b[1]])));
            into.iter_mut().zip(values).for_each(|(to, value)| *to = value);
        }
        Ok(())
    }

    /// Features `[N, F]` of slices in main memory, in the precision they are stored in.
    pub(crate) fn of(&self, slices: &[usize]) -> Result<Tensor> {
        let shape = [slices.len() as i64, self.width as i64];
        Ok(Tensor::f_from_data_size(&self.bytes_of(slices)?, &shape, self.kind)?)
    }

    fn bytes_of(&self, slices: &[usize]) -> Result<Vec<u8>> {
        let expected = slices.len() * self.width * self.kind.elt_size_in_bytes();
        let mut bytes = Vec::with_capacity(expected);
        self.rows.read(slices, &mut bytes)?;
        let found = bytes.len();
        ensure!(found == expected, "expected {expected} bytes of {} features, found {found}", self.width);
        Ok(bytes)
    }
}

/// How features are computed.
enum Way<'a> {
    /// By the network's layers.
    Plain { network: &'a Network, until: usize, computed: Kind, device: Device },
    /// By the prepared network, in as many threads.
    Prepared { network: PreparedNetwork, threads: usize },
}

impl Way<'_> {
    fn prepared(cache: &SliceCache, network: &Network, until: usize) -> Result<Self> {
        let threads = tch::get_num_threads().max(1) as usize;
        Ok(Self::Prepared { network: PreparedNetwork::new(network, until, cache.preprocess().size)?, threads })
    }

    /// Slices in a batch.
    fn batch(&self, cache: &SliceCache) -> usize {
        match self {
            Self::Plain { .. } => BATCH,
            Self::Prepared { .. } => PreparedNetwork::batch(cache.preprocess().size),
        }
    }

    /// How many blocks of so many slices give every thread a few batches.
    fn blocks_at_once(&self, cache: &SliceCache, block: usize) -> usize {
        match self {
            Self::Plain { .. } => 1,
            Self::Prepared { threads, .. } => (4 * threads * self.batch(cache)).div_ceil(block),
        }
    }

    /// The features of blocks of slices, in batches whose sizes depend on nothing but the size and the number of slices, so that
    /// a build that was interrupted gives the same bits. `done` is told the number of slices of each batch.
    fn of_batches(
        &self,
        cache: &SliceCache,
        blocks: &[Range<usize>],
        done: impl Fn(usize) -> Result<()> + Sync,
    ) -> Result<Vec<Tensor>> {
        let size = self.batch(cache);
        let starts = blocks.iter().flat_map(|block| block.clone().step_by(size).map(|from| (from, block.end)));
        let batches: Vec<Vec<usize>> = starts.map(|(from, end)| (from..end.min(from + size)).collect()).collect();
        match self {
            Self::Plain { network, until, computed, device } => {
                let _guard = tch::no_grad_guard();
                let of = |batch: &Vec<usize>| {
                    let features = network.features(&cache.batch(batch, *device)?, *until, *computed)?;
                    done(batch.len())?;
                    Ok(features)
                };
                batches.iter().map(of).collect()
            }
            Self::Prepared { network, threads } => {
                let states = (0..*threads).map(|_| network.shared()).collect::<Result<Vec<_>>>()?;
                in_threads(states, batches.len(), |network, job| {
                    let features = network.features(&cache.batch(&batches[job], Device::Cpu)?)?;
                    done(batches[job].len())?;
                    Ok(features)
                })
            }
        }
    }
}

/// The value of 16 bits with 11 of mantissa (IEEE 754 binary16).
fn of_half(bits: u16) -> f32 {
    // Exponent and mantissa in their places of an f32 are 2^-112 times the value, subnormal ones too.
    let size = f32::from_bits(u32::from(bits & 0x7fff) << 13) * 2.0_f32.powi(112);
    let size = match bits & 0x7fff {
        0x7c00 => f32::INFINITY,
        beyond if beyond > 0x7c00 => f32::NAN,
        _ => size,
    };
    if bits >> 15 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifest::Manifest;
    use crate::data::phantom::{PhantomConfig, draw_phantom};
    use crate::nn::model::Architecture;

    fn cache_at(folder: &std::path::Path, size: u32) -> SliceCache {
        let config = PhantomConfig { train_scans: 2, val_scans: 1, slices: 8, ..PhantomConfig::tiny() };
        draw_phantom(&folder.join("data"), &config, |_| ()).expect("draws");
        let manifest = Manifest::scan(folder.join("data"), |_| ()).expect("scans");
        let preprocess = Preprocess { size, ..Preprocess::default() };
        SliceCache::open_or_build(folder, &manifest, &preprocess, |_| ()).expect("caches")
    }

    #[test]
    fn prepared_features_depend_on_no_number_of_threads_and_are_the_networks() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache_at(folder.path(), 160);
        let network = Network::new(Architecture::ResNet18, 5, Device::Cpu).expect("a network");
        let until = network.until_head();
        // Of two blocks, in batches of seven, the last of three.
        let blocks = [0..14, 14..24];
        let of = |way: &Way<'_>| {
            let told = std::sync::atomic::AtomicUsize::new(0);
            let done = |slices: usize| {
                told.fetch_add(slices, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            };
            let batches = way.of_batches(&cache, &blocks, done).expect("features");
            assert_eq!(told.into_inner(), 24);
            (batches.len(), Tensor::cat(&batches, 0))
        };
        let threads = |threads: usize| {
            of(&Way::Prepared { network: PreparedNetwork::new(&network, until, 160).expect("prepares"), threads })
        };
        let (batches, alone) = threads(1);
        assert_eq!((batches, alone.size()), (4, vec![24, 512]));
        assert!(threads(3).1.equal(&alone));
        let plain = of(&Way::Plain { network: &network, until, computed: Kind::Float, device: Device::Cpu }).1;
        let off = f64::try_from((&alone - &plain).norm() / plain.norm()).expect("a number");
        assert!(off < 1e-5, "off by {off}");
    }

    /// Features that were stored before there was another way to compute them keep their place.
    #[test]
    fn the_way_is_in_the_key_where_it_is_not_the_networks_own() {
        let of = |method: Option<&str>| FeatureIndex {
            manifest: Digest([1; 32]),
            preprocess: Preprocess::default(),
            backbone: Digest([2; 32]),
            layers: 3,
            computed: "Float".to_owned(),
            kept: "Float".to_owned(),
            method: method.map(str::to_owned),
            slices: 4,
            width: 5,
        };
        let text = |method| serde_json::to_string(&of(method)).expect("writes");
        assert!(text(None).ends_with(r#""kept":"Float","slices":4,"width":5}"#), "{}", text(None));
        assert!(text(Some(PreparedNetwork::METHOD)).contains(r#","method":"prepared-2","#));
    }

    #[test]
    fn halves_are_libtorchs() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let theirs = Tensor::from_data_size(&all, &[1 << 16], Kind::Half).to_kind(Kind::Float);
        let theirs = Vec::<f32>::try_from(theirs).expect("floats");
        for (bits, theirs) in (0..=u16::MAX).zip(theirs) {
            let ours = of_half(bits);
            assert!(
                ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
                "{bits:x}: {ours}, {theirs}"
            );
        }
    }
}
