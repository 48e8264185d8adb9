//! Training of a scan network on scans of unequal lengths.

use super::scan_set::{PaddedScans, ScanScore, ScanSet, StoredScan};
use super::{Pooling, PoolingLayers};
use crate::base::errors::{Context, Result, ensure};
use crate::nn::optimizer::{Adam, gradient};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// Batches among which scans of similar lengths are put together, so that little is padded.
const SORTED_TOGETHER: usize = 8;

/// One of the networks that are trained; the validation scans choose among them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanCandidate {
    /// How slices are pooled.
    pub pooling: Pooling,
    /// Decoupled weight decay (Loshchilov and Hutter 2019): before each step weights, not biases, are multiplied by
    /// `1 - learning rate · decay`.
    pub weight_decay: f64,
}

/// How scan networks are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanTraining {
    /// Features of a slice are reduced to this many principal components.
    pub components: usize,
    /// Hidden features of a slice.
    pub hidden: usize,
    /// Width of the attention's two gates.
    pub gates: usize,
    /// The share of hidden features that are zeroed in training, 0 to below 1.
    pub dropout: f64,
    /// Learning rate of Adam.
    pub learning_rate: f64,
    /// Scans in a batch.
    pub batch_size: usize,
    /// The most epochs.
    pub epochs: usize,
    /// The fewest steps that these epochs must have; with few scans there are more epochs.
    pub steps: usize,
    /// A training ends when the validation scans were not judged better for this share of its epochs, 0 to 1.
    pub patience: f64,
    /// The networks that are trained, the validation scans choosing among them; of equal ones the first.
    pub candidates: Vec<ScanCandidate>,
    /// Every random number follows from it.
    pub seed: u64,
}

impl Default for ScanTraining {
    fn default() -> Self {
        let poolings = [Pooling::Attention, Pooling::Mean, Pooling::TopK(8), Pooling::Max];
        let with = |pooling| [0.01, 1.0].map(|weight_decay| ScanCandidate { pooling, weight_decay });
        Self {
            components: 128,
            hidden: 64,
            gates: 64,
            dropout: 0.25,
            learning_rate: 1e-3,
            batch_size: 16,
            epochs: 20,
            steps: 400,
            patience: 0.25,
            candidates: poolings.into_iter().flat_map(with).collect(),
            seed: 1,
        }
    }
}

impl ScanTraining {
    /// # Errors
    /// A value that cannot work; the message names the field.
    pub(crate) fn check(&self) -> Result<()> {
        let doing = "training scan networks";
        for (field, value) in [
            ("components", self.components),
            ("hidden", self.hidden),
            ("gates", self.gates),
            ("batch_size", self.batch_size),
            ("epochs", self.epochs),
            ("candidates", self.candidates.len()),
        ] {
            ensure!(value > 0, "{doing}: expected {field} of 1 or more, found {value}");
        }
        ensure!((0.0..1.0).contains(&self.dropout), "{doing}: expected dropout in 0..1, found {}", self.dropout);
        ensure!((0.0..=1.0).contains(&self.patience), "{doing}: expected patience in 0..=1, found {}", self.patience);
        let rate = self.learning_rate;
        ensure!(rate > 0.0 && rate.is_finite(), "{doing}: expected a learning_rate above 0, found {rate}");
        for ScanCandidate { pooling, weight_decay } in &self.candidates {
            ensure!(*pooling != Pooling::TopK(0), "{doing}: expected a top-k pooling of 1 slice or more, found 0");
            let works = (0.0..1.0 / rate).contains(weight_decay);
            ensure!(works, "{doing}: expected a weight_decay in 0..{}, found {weight_decay}", 1.0 / rate);
        }
        Ok(())
    }
}

/// A candidate after its training: the layers of its best epoch.
pub(crate) struct TrainedCandidate {
    pub(crate) layers: PoolingLayers,
    pub(crate) score: ScanScore,
    /// The epoch they are from, counted from 1, and the epochs that were trained.
    pub(crate) epoch: usize,
    pub(crate) epochs: usize,
}

/// Trains one candidate on scans, and keeps the epoch that judged the validation scans best. Loss: cross entropy, both labels
/// weighted equally. The result follows from the arguments alone where libtorch computes on one thread.
///
/// # Errors
/// Training or validation scans of one label, or features that are no finite numbers.
pub(crate) fn train(
    training: &ScanSet,
    validation: &ScanSet,
    candidate: ScanCandidate,
    settings: &ScanTraining,
) -> Result<TrainedCandidate> {
    settings.check()?;
    training.check("training")?;
    validation.check("validation")?;
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let layers = PoolingLayers::drawn(candidate.pooling, training.width, settings, &mut random)?;
    let parameters = layers.parameters();
    for (_, parameter) in &parameters {
        let _ = parameter.f_set_requires_grad(true)?;
    }
    let mut adam = Adam::new(&parameters, settings.learning_rate)?;
    let batches = training.scans.len().div_ceil(settings.batch_size);
    let epochs = settings.epochs.max(settings.steps.div_ceil(batches));
    let patience = ((settings.patience * epochs as f64).ceil() as usize).max(1);
    let mut best: Option<TrainedCandidate> = None;
    for epoch in 1..=epochs {
        for batch in order(training, settings.batch_size, &mut random) {
            let batch = PaddedScans::of(training, &batch, training.balance())?;
            let loss = layers.loss(candidate.pooling, &batch, settings.dropout, &mut random)?;
            let gradient = gradient(&loss, &parameters)?;
            decay(&parameters, 1.0 - settings.learning_rate * candidate.weight_decay)?;
            adam.step(gradient)?;
        }
        let score = layers.score(candidate.pooling, validation)?;
        if best.as_ref().is_none_or(|best| score.better_than(best.score)) {
            best = Some(TrainedCandidate { layers: layers.copied()?, score, epoch, epochs: epoch });
        }
        if let Some(best) = &mut best {
            best.epochs = epoch;
            if epoch - best.epoch >= patience {
                break;
            }
        }
    }
    best.context("training a scan network: expected an epoch or more, found none")
}

/// The batches of an epoch: scans in random order, within a few batches by length, the batches again in random order.
fn order(set: &ScanSet, batch_size: usize, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut scans: Vec<usize> = (0..set.scans.len()).collect();
    shuffle(&mut scans, random);
    for together in scans.chunks_mut(SORTED_TOGETHER * batch_size) {
        together.sort_by_key(|&scan| set.scans[scan].slices);
    }
    let mut batches: Vec<Vec<usize>> = scans.chunks(batch_size).map(<[usize]>::to_vec).collect();
    shuffle(&mut batches, random);
    batches
}

/// Fisher and Yates's shuffle; u32, because a usize would be drawn differently on another platform.
fn shuffle<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.gen_range(0..=last as u32) as usize);
    }
}

/// Multiplies weights, not biases.
fn decay(parameters: &[(String, Tensor)], factor: f64) -> Result<()> {
    let _guard = tch::no_grad_guard();
    for (_, weight) in parameters.iter().filter(|(name, _)| !name.ends_with(".bias")) {
        let _ = weight.shallow_clone().f_mul_scalar_(factor)?;
    }
    Ok(())
}

impl PoolingLayers {
    /// Layers with PyTorch's initialisation of linear layers: uniform within `±1 / √inputs`.
    pub(super) fn drawn(
        pooling: Pooling,
        width: usize,
        settings: &ScanTraining,
        random: &mut ChaCha8Rng,
    ) -> Result<Self> {
        let (inputs, d, m) = (width as i64, settings.hidden as i64, settings.gates as i64);
        let mut draw = |shape: &[i64], inputs: i64| -> Result<Tensor> {
            let bound = 1.0 / (inputs as f32).sqrt();
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.gen_range(-bound..bound)).collect();
            Ok(Tensor::f_from_slice(&values)?.f_view(shape)?)
        };
        let hidden = Some([draw(&[d, inputs], inputs)?, draw(&[d], inputs)?]);
        let classifier = [draw(&[d], d)?, draw(&[1], d)?];
        let attention = match pooling {
            Pooling::Attention => Some([draw(&[m, d], d)?, draw(&[m, d], d)?, draw(&[m], m)?]),
            Pooling::Mean | Pooling::Max | Pooling::TopK(_) => None,
        };
        Ok(Self { hidden, attention, classifier })
    }

    fn loss(&self, pooling: Pooling, batch: &PaddedScans, dropout: f64, random: &mut ChaCha8Rng) -> Result<Tensor> {
        let mut factors = |count: i64| dropped(count, dropout, random);
        let pooled = self.pooled(pooling, &batch.features, Some(&batch.mask), Some(&mut factors))?;
        let (covid, weights) = (&batch.covid, Some(&batch.weights));
        Ok(pooled.logits.f_binary_cross_entropy_with_logits(covid, weights, None, Reduction::Mean)?)
    }

    fn score(&self, pooling: Pooling, set: &ScanSet) -> Result<ScanScore> {
        let logit = |scan: &StoredScan| Ok(self.judge(pooling, &set.tensor(scan)?)?.0);
        ScanScore::of(set, &set.scans.iter().map(logit).collect::<Result<Vec<_>>>()?)
    }

    /// A copy that is not trained any more.
    fn copied(&self) -> Result<Self> {
        let copy = |tensor: &Tensor| -> Result<Tensor> { Ok(tensor.f_detach_copy()?) };
        let copies = |of: &[Tensor]| of.iter().map(copy).collect::<Result<Vec<_>>>();
        let lost = |_| crate::base::errors::anyhow!("copying the layers of a scan network");
        Ok(Self {
            hidden: self.hidden.as_ref().map(|of| copies(of)?.try_into().map_err(lost)).transpose()?,
            attention: self.attention.as_ref().map(|of| copies(of)?.try_into().map_err(lost)).transpose()?,
            classifier: copies(&self.classifier)?.try_into().map_err(lost)?,
        })
    }
}

/// A factor for each of `count` values: 0 with this probability, in steps of 1/256, otherwise what keeps the mean. Drawn here
/// because libtorch's generator is one for all threads.
fn dropped(count: i64, dropout: f64, random: &mut ChaCha8Rng) -> Result<Tensor> {
    let zeroed = (256.0 * dropout).round().min(255.0);
    let mut bytes = vec![0_u8; count as usize];
    random.fill_bytes(&mut bytes);
    let kept = Tensor::f_from_slice(&bytes)?.f_ge(zeroed as i64)?.f_to_kind(Kind::Float)?;
    Ok(kept.f_mul_scalar(256.0 / (256.0 - zeroed))?)
}
