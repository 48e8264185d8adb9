//! The training loop.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::interrupt::{go_on, is_asked};
use crate::base::progress::{Meter, Progress};
use crate::base::ranks::{ranks, speaks};
use crate::data::prefetch::Batch;
use crate::data::sampler::shuffled;
use crate::data::split::Subset;
use crate::nn::batch_share::BatchShare;
use crate::nn::learn::Learn;
use crate::nn::model::Network;
use crate::nn::transfer::{pinned, sent};
use crate::stats::logistic_head::Solution;
use crate::train::batch_loss::{BatchLoss, Mixing};
use crate::train::batch_source::{BatchSource, Changed, read_by_rank};
use crate::train::checkpoint::{Checkpoint, CheckpointInfo, same_backbone, save_network, save_progress};
use crate::train::converged_head::{solve_head, solved};
use crate::train::epoch::{EpochRecord, Score, best, has_ended};
use crate::train::event::RunEvent;
use crate::train::experiment::{Experiment, has_both_labels};
use crate::train::history::History;
use crate::train::initial::initial_network;
use crate::train::optimization::Optimization;
use crate::train::position::Position;
use crate::train::provenance::Provenance;
use crate::train::rank_clock::RankClock;
use crate::train::run_folder::{Artifact, RunFolder};
use crate::train::scans::{scan_auc, slice_weights};
use crate::train::training_log::write_history;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

mod begun_run;

use begun_run::{begun, finished, locked};

impl Experiment {
    /// Trains the network, or resumes from the last checkpoint, and writes into the run's folder `last.safetensors` (to
    /// resume from), `best.safetensors` (the best epoch on the validation set) and `history.json`.
    ///
    /// It can be killed at any moment and called again; on a CPU a resumed training ends with the same bits as one that
    /// was never interrupted. A finished run returns its history at once.
    ///
    /// # Errors
    /// Training or validation slices of one label only; another process trains this run; the loss is not finite (the last checkpoint is kept, and the slices of the
    /// batch are named).
    pub fn train(&self) -> Result<History> {
        train(self)
    }
}

fn train(experiment: &Experiment) -> Result<History> {
    let folder = experiment.folder();
    let doing = || format!("training in {}", folder.path().display());
    experiment.settings().check().with_context(doing)?;
    has_both_labels(experiment.split(), experiment.manifest()).with_context(doing)?;
    let _lock = speaks().then(|| locked(folder)).transpose().with_context(doing)?;
    let found = begun(experiment).with_context(doing)?;
    let position = found.as_ref().map(|found| (found.info.position, found.info.epochs.len()));
    // Also waits until each rank has read it, before a new one is written.
    ranks().agree("the checkpoint to resume from", &serde_json::to_string(&position)?).with_context(doing)?;
    // Under the lock: only the process that trains says what the run is trained with.
    if folder.split(experiment.manifest()).ok().as_ref() != Some(experiment.split()) {
        folder.write_split(experiment.split(), experiment.manifest()).with_context(doing)?;
    }
    let run = experiment.settings();
    if let Some(found) = &found {
        let Position { epoch, batch, .. } = found.info.position;
        let is_finished = has_ended(&found.info.epochs, run) && folder.has(Artifact::BestCheckpoint);
        experiment.report(&if is_finished { RunEvent::Finished(epoch) } else { RunEvent::Resumed(epoch, batch) });
        if is_finished {
            return finished(folder, &found.info, run).with_context(doing);
        }
    }
    let mut training = Training::begin(experiment, found).with_context(doing)?;
    while !has_ended(&training.info.epochs, run) {
        training.epoch().with_context(doing)?;
    }
    training.finish().with_context(doing)
}

/// The state of a training: the network, its optimizer and its position.
struct Training<'a> {
    experiment: &'a Experiment,
    device: Device,
    network: Network,
    source: Arc<BatchSource<'a>>,
    optimization: Optimization,
    /// How much each slice of the manifest counts in the loss; `None`: all the same.
    weights: Option<Vec<f32>>,
    /// Index of the next batch in its epoch.
    step: u64,
    info: CheckpointInfo,
}

impl<'a> Training<'a> {
    fn begin(experiment: &'a Experiment, found: Option<Checkpoint>) -> Result<Self> {
        let (run, folder) = (experiment.settings(), experiment.folder());
        run.check_ranks(ranks().count())?;
        let mut info = experiment.before_training();
        let device = run.device()?;
        let show = |progress: &Progress| experiment.progress(progress);
        let (network, pretrained) = initial_network(run, device, &show)?;
        let backbone = (run.learn != Learn::Whole).then(|| network.backbone_hash()).transpose()?;
        (info.pretrained, info.backbone) = (pretrained, backbone);
        let hash = backbone.map_or(String::new(), |hash| hash.to_string());
        let why = "random ones depend on processor and threads: give all ranks the same OMP_NUM_THREADS, or pretrained weights";
        ranks().agree("the frozen backbone", &hash).context(why)?;
        let resumed = found.is_some();
        let slices = experiment.slices(Subset::Train)?.len();
        let (network, optimization) = match found {
            Some(found) => {
                same_backbone(&found.info, &info, folder.path())?;
                info = CheckpointInfo { run: run.clone(), ..found.info.clone() };
                found.restore(backbone.map(|_| network), slices, device)?
            }
            None => {
                folder.write_config(run)?;
                let optimization = Optimization::new(run, &network, slices)?;
                (network, optimization)
            }
        };
        folder.record_provenance(Provenance::here(), resumed)?;
        if backbone.is_some() {
            network.freeze_backbone()?;
        }
        let source = Arc::new(BatchSource::new(experiment.cache(), &network, backbone, run, device, &show)?);
        info.feature_seconds = source.feature_seconds();
        let step = info.position.batch as u64;
        let weights = slice_weights(experiment)?;
        Ok(Self { experiment, device, network, source, optimization, weights, step, info })
    }

    /// One epoch: trains on every training slice once, scores, keeps the best, and writes checkpoint and history.
    fn epoch(&mut self) -> Result<()> {
        let run = self.info.run.clone();
        let epoch = self.info.position.epoch;
        let (seconds, solution) = match run.learn {
            Learn::Converged => self.solve().map(|(seconds, solution)| (seconds, Some(solution)))?,
            _ => (self.learn_from_all()?, None),
        };
        let scoring = Instant::now();
        let scored = self.optimization.kept(&self.network, || {
            let (validation, auc) = self.score(Subset::Validation)?;
            let test = if run.test_every_epoch { Some(self.score(Subset::Test)?.0) } else { None };
            Ok((validation, auc, test))
        });
        if scored.is_err() && is_asked() && solution.is_none() {
            self.save_position(seconds)?;
        }
        let (validation, validation_scan_auc, test) = scored?;
        self.optimization.agree(&self.network)?;
        let sums = self.info.position.sums;
        let record = EpochRecord {
            epoch: epoch + 1,
            training: Score::of(&sums, run.accuracy),
            validation,
            validation_scan_auc,
            test,
            seconds,
            waited: self.info.position.waited,
            images_per_second: sums.seen as f64 / seconds.max(1e-9),
            solved: solution.as_ref().map(solved),
        };
        self.info.epochs.push(record.clone());
        self.info.position = Position { epoch: epoch + 1, ..Position::default() };
        self.optimization.note(&mut self.info.position)?;
        // The best first: a kill between the two repeats the end of this epoch, and both come out the same.
        if best(&self.info.epochs, run.recipe.selection).is_some_and(|best| best.epoch == epoch + 1) {
            self.optimization.kept(&self.network, || match self.info.backbone {
                None => self.save_best(&self.info),
                // Half a gigabyte of frozen weights is written once, at the end.
                Some(_) => self.save_state(Artifact::BestHead, Vec::new()),
            })?;
        }
        self.save_last()?;
        write_history(self.folder(), &self.info, self.device)?.show_while_training();
        let whole = seconds + scoring.elapsed().as_secs_f64();
        let left = whole * run.epochs.saturating_sub(epoch + 1) as f64;
        self.experiment.report(&RunEvent::Epoch(record, Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX)));
        Ok(())
    }

    /// Solves the head for this epoch's strength of regularisation, and scores the training slices with it. Returns the
    /// seconds that this took.
    fn solve(&mut self) -> Result<(f64, Solution)> {
        let (begun, epoch) = (Instant::now(), self.info.position.epoch);
        let solution = solve_head(self.experiment, &self.source, &self.network, self.weights.as_deref(), epoch)?;
        let slices = self.experiment.slices(Subset::Train)?;
        let (_, sums) = self.source.score(&self.network, &slices, self.info.run.batch_size, &|_| ())?;
        self.info.position.sums = sums.context("scoring needs labels")?;
        Ok((begun.elapsed().as_secs_f64(), solution))
    }

    /// Trains on the remaining slices of this epoch, and writes a checkpoint every few minutes. Returns the seconds
    /// that training the whole epoch took, those before a kill included.
    fn learn_from_all(&mut self) -> Result<f64> {
        let run = self.info.run.clone();
        let epoch = self.info.position.epoch;
        let order = self.order_of(epoch)?;
        self.step = self.info.position.batch as u64;
        let experiment = self.experiment;
        let show = |progress: &Progress| experiment.progress(progress);
        let stage = format!("epoch {}/{}", epoch + 1, run.epochs);
        let meter = Meter::new(&stage, "images", order.len(), self.info.position.sums.seen as usize, &show);
        let batches: Vec<&[usize]> = order.chunks(run.batch_size).skip(self.info.position.batch).collect();
        let (mut begun, mut saved, clock) = (Instant::now(), Instant::now(), RankClock::start());
        let (source, mut losses) = (self.source.clone(), Vec::new());
        let read: Vec<Cow<'_, [usize]>> =
            batches.iter().map(|batch| read_by_rank(batch, run.shares, run.recipe.mixup > 0.0)).collect();
        let read: Vec<&[usize]> = read.iter().map(AsRef::as_ref).collect();
        let augmentation = &run.recipe.augmentation;
        let changed = (!augmentation.is_none()).then_some(Changed { augmentation, seed: run.seed, epoch });
        source.prefetch(&read, changed, |Batch { number, slices, input, waited }| {
            let batch = batches[number];
            self.info.position.waited += waited;
            losses.push((batch.to_vec(), self.learn(slices, &input, batch.len())?));
            let is_due = is_asked() || saved.elapsed().as_secs_f64() >= 60.0 * run.checkpoint_minutes;
            if is_due || losses.len() >= source.batches_between_reads() {
                self.read_back(&mut losses)?;
            }
            meter.add_with(batch.len(), || {
                let so_far = Score::of(&self.info.position.sums, run.accuracy);
                format!("loss {:.4}, accuracy {:.4}", so_far.loss, so_far.accuracy)
            });
            if is_due {
                self.save_position(self.info.position.seconds + begun.elapsed().as_secs_f64())?;
                (begun, saved) = (Instant::now(), Instant::now());
                go_on()?;
            }
            Ok(())
        })?;
        self.read_back(&mut losses)?;
        clock.slow_rank()?.into_iter().for_each(|times| experiment.report(&RunEvent::SlowRank(times)));
        Ok(self.info.position.seconds + begun.elapsed().as_secs_f64())
    }

    /// Reads the losses of the last batches back from the device and adds them to the epoch's sums.
    ///
    /// # Errors
    /// A loss that is not finite.
    fn read_back(&mut self, losses: &mut Vec<(Vec<usize>, BatchLoss)>) -> Result<()> {
        for (batch, loss) in losses.drain(..) {
            let sums = loss.sums()?;
            if !sums.batch_loss.is_finite() {
                let manifest = self.experiment.manifest();
                let slices: Vec<String> = batch.iter().map(|&i| manifest.path(&manifest.slices[i])).collect();
                bail!(
                    "the loss became {} in epoch {}, batch {}; the last checkpoint from before is kept. Try a smaller \
                     learning_rate ({:e} now). The batch: {}",
                    sums.batch_loss,
                    self.info.position.epoch + 1,
                    self.info.position.batch + 1,
                    self.info.run.learning_rate,
                    slices.join(", ")
                );
            }
            self.info.position.sums.add(&sums);
            self.info.position.batch += 1;
        }
        Ok(())
    }

    /// The training slices in this epoch's order, by a sampler whose order depends on seed and epoch only.
    fn order_of(&self, epoch: usize) -> Result<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.info.run.seed);
        rng.set_stream(epoch as u64 + 1);
        Ok(shuffled(self.experiment.slices(Subset::Train)?, &mut rng))
    }

    /// One step: forward, loss, backward, AdamW. `slices`: those that this rank has read of a batch of `of`.
    fn learn(&mut self, slices: &[usize], input: &Tensor, of: usize) -> Result<BatchLoss> {
        let (run, epoch, step) = (&self.info.run, self.info.position.epoch, self.step);
        // Dropout is seeded by seed, epoch and step, so that a resumed run draws the same.
        tch::manual_seed(((run.seed << 40) ^ ((epoch as u64) << 24) ^ step) as i64);
        self.step += 1;
        let share = BatchShare::of_batch(of, run.shares);
        let mixed = self.optimization.mixed(epoch, step);
        let mixing = mixed.map(|own| Mixing { share: own, is_led: share.is_some() });
        let logits = self.source.training_logits(&self.network, input, mixing, share)?;
        let weights = self.weights.as_ref().map(|weights| -> Result<Tensor> {
            let of_slices: Vec<f32> = slices.iter().map(|&slice| weights[slice]).collect();
            sent(&pinned(Tensor::f_from_slice(&of_slices)?, self.device)?, self.device)
        });
        let (labels, weights) = (self.source.labels(slices)?, weights.transpose()?);
        let loss = BatchLoss::training(&logits, &labels, weights.as_ref(), mixing, &run.recipe, share)?;
        self.optimization.step(&self.network, loss, share, (epoch, step))
    }

    /// Loss and accuracy of a subset's slices, and the ROC AUC of its scans.
    fn score(&self, subset: Subset) -> Result<(Score, Option<f64>)> {
        let slices = self.experiment.slices(subset)?;
        ensure!(!slices.is_empty(), "the {subset} subset has no slices to score");
        let (covid, sums) = self.source.score(&self.network, &slices, self.info.run.batch_size, &|_| ())?;
        let score = Score::of(&sums.context("scoring needs labels")?, self.info.run.accuracy);
        ensure!(
            score.loss.is_finite(),
            "the {subset} loss became {} in epoch {}; the last checkpoint from before is kept. Try a smaller \
             learning_rate ({:e} now)",
            score.loss,
            self.info.position.epoch + 1,
            self.info.run.learning_rate
        );
        let auc = scan_auc(self.experiment.manifest(), &slices, &covid);
        Ok((score, auc.with_context(|| format!("ranking the {subset} scans"))?))
    }

    fn folder(&self) -> &RunFolder {
        self.experiment.folder()
    }

    /// Writes a checkpoint in the middle of an epoch, on which this many seconds were spent.
    fn save_position(&mut self, seconds: f64) -> Result<()> {
        self.info.position.seconds = seconds;
        self.optimization.note(&mut self.info.position)?;
        self.save_last()
    }

    fn save_last(&self) -> Result<()> {
        let state = self.optimization.state(&self.network)?;
        self.save_state(Artifact::LastCheckpoint, state)
    }

    fn save_state(&self, artifact: Artifact, state: Vec<(String, Tensor)>) -> Result<()> {
        self.folder().write_by(artifact, |path| save_progress(path, &self.info, &self.network, state))
    }

    fn save_best(&self, info: &CheckpointInfo) -> Result<()> {
        self.folder().write_by(Artifact::BestCheckpoint, |path| save_network(path, info, &self.network))
    }

    /// Writes `best.safetensors` (of a frozen network: the backbone with the best head) and the history.
    fn finish(self) -> Result<History> {
        if speaks() && self.info.backbone.is_some() {
            let best = Checkpoint::read(&self.folder().checked(Artifact::BestHead)?)?;
            self.network.set_head(&best.tensors)?;
            self.save_best(&best.info)?;
        }
        write_history(self.folder(), &self.info, self.device)
    }
}
