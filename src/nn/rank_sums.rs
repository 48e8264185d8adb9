//! Tensors summed over the ranks that train together, and what a network needs so that several ranks learn as one process
//! does: batch norm over the whole batch, and dropout drawn for all of it.

#[cfg(feature = "mpi")]
use crate::base::errors::Context;
use crate::base::errors::Result;
use crate::base::output::complain;
use crate::base::ranks::{Joined, join, ranks, watch};
use crate::nn::batch_share::BatchShare;
use tch::{Device, Kind, Tensor};

/// A process's membership in the processes that a launcher has started together; kept until the program ends.
pub struct JoinedRanks(Joined);

/// Joins the other processes that `mpirun` or `srun` has started with this one, and divides a host's cores among those on it.
/// Programs call it first, once; without a launcher nothing happens. From then on all of them make the same calls in the same order:
/// opening an experiment, training, evaluation and prediction divide their work, and the process that [speaks](crate::speaks) writes;
/// everything else is for that process alone.
///
/// # Errors
/// A launcher, but a program built without MPI, or an MPI that does not see the others; ranks that run different builds.
pub fn join_ranks() -> Result<JoinedRanks> {
    let joined = join()?;
    if !ranks().is_alone() {
        let threads = threads_of_rank(joined.on_host);
        tch::set_num_threads(threads as i32);
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
        if ranks().is_first() {
            watch(|line| complain(line));
        }
    }
    Ok(JoinedRanks(joined))
}

impl JoinedRanks {
    /// For a process that fails: `say` is given its name, and then all ranks are ended; alone it only says why.
    pub fn fail(&self, say: impl FnOnce(&str)) {
        self.0.fail(say);
    }
}

/// Threads of one of the ranks on a host: an equal part of its cores, and no more than it was bound to.
fn threads_of_rank(on_host: usize) -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let all = std::fs::read_to_string("/sys/devices/system/cpu/online").map_or(allowed, |text| cores(&text));
    let asked = std::env::var("OMP_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(allowed.min(all / on_host)).max(1)
}

/// The number of cores in a list such as `0-3,8`.
fn cores(list: &str) -> usize {
    let range = |part: &str| -> Option<usize> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(last.parse::<usize>().ok()? + 1 - first.parse::<usize>().ok()?)
    };
    list.trim().split(',').filter_map(range).sum()
}

/// Tensors f32 of any shapes of a share of a batch, summed over the ranks in one all-reduce.
pub(crate) fn summed<const N: usize>(tensors: [&Tensor; N], share: BatchShare) -> Result<[Tensor; N]> {
    let flat = tensors.map(|tensor| tensor.f_detach().and_then(|tensor| tensor.f_reshape([-1_i64])));
    let flat: Vec<Tensor> = flat.into_iter().collect::<std::result::Result<_, _>>()?;
    let sizes: Vec<i64> = flat.iter().map(|tensor| tensor.numel() as i64).collect();
    let mut parts = summed_in_one(Tensor::f_cat(&flat, 0)?, share)?.f_split_with_sizes(&sizes, 0)?.into_iter();
    let of = |tensor: &Tensor| match parts.next() {
        Some(part) => Ok(part.f_view_as(tensor)?.f_to_device(tensor.device())?),
        None => crate::base::errors::bail!("a sum over ranks is missing"),
    };
    let sums: Vec<Tensor> = tensors.into_iter().map(of).collect::<Result<_>>()?;
    sums.try_into().map_err(|_| crate::base::errors::anyhow!("a sum over ranks is missing"))
}

/// Values f32 `[N]` of their own, summed over the ranks: on their GPUs where each has one, else through main memory.
fn summed_in_one(values: Tensor, share: BatchShare) -> Result<Tensor> {
    if ranks().is_alone() {
        return Ok(values);
    }
    #[cfg(feature = "mpi")]
    if let Some(gpus) = crate::nn::nccl::gpu_ranks(values.device())? {
        gpus.all_reduce(&values)?;
        return Ok(values);
    }
    let on_host = values.f_to_device(Device::Cpu)?.f_contiguous()?;
    crate::base::errors::ensure!(on_host.kind() == Kind::Float, "a sum over ranks of {:?}", on_host.kind());
    // SAFETY: a contiguous tensor of so many f32 in main memory, which nothing else uses: its values were joined for this sum. MPI
    // counts in 32 bits, and is given parts.
    #[allow(unsafe_code)]
    let all = unsafe { std::slice::from_raw_parts_mut(on_host.data_ptr().cast::<f32>(), on_host.numel()) };
    match share.in_order {
        true => ranks().all_reduce_in_order(all),
        false => ranks().all_reduce(all),
    }
    Ok(on_host)
}

/// Batch norm of `xs` `[N, C, …]`, this rank's shares of a batch, with the statistics of the whole batch; the running mean and
/// variance `[C]` are moved by `momentum`, as libtorch moves them. `places`: values of a channel in the whole batch.
///
/// A variance is the mean of squared differences from the mean (over n values, for the running one over n - 1); what the shares
/// add up is f64: <https://arxiv.org/abs/1502.03167>, algorithm 1.
pub(crate) fn batch_norm(
    xs: &[Tensor],
    parameters: [&Tensor; 2],
    running: [&Tensor; 2],
    (momentum, epsilon): (f64, f64),
    (places, share): (i64, BatchShare),
) -> Result<Vec<Tensor>> {
    let kind = xs.first().map_or(Kind::Float, Tensor::kind);
    let floats: Vec<Tensor> = xs.iter().map(|x| x.f_to_kind(Kind::Float)).collect::<std::result::Result<_, _>>()?;
    let (ys, [mean, variance]) = normalised(&floats, parameters, epsilon, (places, share.in_order))?;
    let unbiased = variance.f_mul_scalar(places as f64 / (places as f64 - 1.0).max(1.0))?;
    tch::no_grad(|| -> Result<()> {
        for (running, now) in running.into_iter().zip([&mean, &unbiased]) {
            let _ = running.shallow_clone().f_mul_scalar_(1.0 - momentum)?.f_add_(&now.f_mul_scalar(momentum)?)?;
        }
        Ok(())
    })?;
    ys.iter().map(|y| Ok(y.f_to_kind(kind)?)).collect()
}

/// Dropout of the shares `xs` of a batch, as libtorch draws it for the whole batch on a CPU.
pub(crate) fn dropout(xs: &[Tensor], rate: f64, share: BatchShare) -> Result<Vec<Tensor>> {
    let [x, ..] = xs else { return Ok(Vec::new()) };
    let mut shape = x.size();
    shape[0] = share.of as i64;
    let kept = Tensor::f_empty(&shape, (x.kind(), x.device()))?.f_bernoulli_float_(1.0 - rate)?;
    let own = kept.f_narrow(0, share.start as i64, share.rows as i64)?.f_div_scalar(1.0 - rate)?;
    let each = own.f_split_with_sizes(xs.iter().map(|x| x.size()[0]).collect::<Vec<_>>(), 0)?;
    xs.iter().zip(each).map(|(x, own)| Ok(x.f_mul(&own)?)).collect()
}

/// How values are added up over the ranks, as batch_norm_of_ranks.cpp counts them.
#[cfg(feature = "mpi")]
#[derive(Clone, Copy)]
enum SumBy {
    Host = 0,
    HostInOrder = 1,
    Gpus = 2,
}

/// Batch norm of shares of a batch, and mean and variance of the whole batch with so many `places`; sums over the shares in their
/// order, or not.
#[cfg(feature = "mpi")]
fn normalised(
    xs: &[Tensor],
    [weight, bias]: [&Tensor; 2],
    epsilon: f64,
    (places, in_order): (i64, bool),
) -> Result<(Vec<Tensor>, [Tensor; 2])> {
    use std::ffi::{CStr, CString, c_char, c_int};
    use torch_sys::C_tensor;

    type Sum = extern "C" fn(*mut f64, usize, c_int) -> *mut c_char;

    #[allow(unsafe_code)]
    unsafe extern "C" {
        fn covid_ct_batch_norm_of_ranks(
            xs: *const *const C_tensor,
            count: usize,
            weight: *const C_tensor,
            bias: *const C_tensor,
            epsilon: f64,
            places: i64,
            sum: Sum,
            how: c_int,
            out: *mut *mut C_tensor,
        ) -> *const c_char;
    }

    /// Null where it worked, else why not, which C++ frees.
    extern "C" fn sum(values: *mut f64, count: usize, how: c_int) -> *mut c_char {
        // No panic may pass through C++.
        // SAFETY: called from batch_norm_of_ranks.cpp with the values of a contiguous tensor of so many f64, which nothing else uses.
        #[allow(unsafe_code)]
        let done = std::panic::catch_unwind(|| unsafe { add_up(values, count, how) });
        let why = match done {
            Ok(Ok(())) => return std::ptr::null_mut(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it panicked".to_owned(),
        };
        let why = CString::new(why).unwrap_or_default();
        // SAFETY: a text that ends with a zero.
        #[allow(unsafe_code)]
        unsafe {
            libc::strdup(why.as_ptr())
        }
    }

    let how = match crate::nn::nccl::gpu_ranks(weight.device())?.is_some() {
        true => SumBy::Gpus,
        false if in_order => SumBy::HostInOrder,
        false => SumBy::Host,
    };
    let of_xs: Vec<*const C_tensor> = xs.iter().map(Tensor::as_ptr).collect();
    let mut out = vec![std::ptr::null_mut(); xs.len() + 2];
    let [of_weight, of_bias] = [weight, bias].map(Tensor::as_ptr);
    // SAFETY: each pointer is to an at::Tensor that tch owns, and which lives as long as the call; `out` has room for two more
    // than there are shares.
    #[allow(unsafe_code)]
    let failed = unsafe {
        let (xs, count) = (of_xs.as_ptr(), of_xs.len());
        covid_ct_batch_norm_of_ranks(
            xs,
            count,
            of_weight,
            of_bias,
            epsilon,
            places,
            sum,
            how as c_int,
            out.as_mut_ptr(),
        )
    };
    if !failed.is_null() {
        // SAFETY: a text that ends with a zero, which stays until this thread calls the function again.
        #[allow(unsafe_code)]
        let why = unsafe { CStr::from_ptr(failed) }.to_string_lossy().into_owned();
        let sizes: Vec<Vec<i64>> = xs.iter().map(Tensor::size).collect();
        crate::base::errors::bail!("batch norm over the ranks of {sizes:?}: {why}");
    }
    // SAFETY: new tensors, which are tch's from now on.
    #[allow(unsafe_code)]
    let mut ys: Vec<Tensor> = out.into_iter().map(|tensor| unsafe { Tensor::from_ptr(tensor) }).collect();
    let (variance, mean) = (ys.pop().context("no variance")?, ys.pop().context("no mean")?);
    Ok((ys, [mean, variance]))
}

/// Replaces values by their sums over the ranks, on the GPU or in main memory.
///
/// # Safety
/// So many values lie there, and nothing else uses them.
#[cfg(feature = "mpi")]
#[allow(unsafe_code)]
unsafe fn add_up(values: *mut f64, count: usize, how: std::ffi::c_int) -> Result<()> {
    if how == SumBy::Gpus as std::ffi::c_int {
        let gpus = crate::nn::nccl::started().context("NCCL was not started")?;
        // SAFETY: as the caller promises.
        return unsafe { gpus.all_reduce_at(values.cast(), count, Kind::Double) };
    }
    // SAFETY: as the caller promises.
    let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
    match how == SumBy::HostInOrder as std::ffi::c_int {
        true => ranks().all_reduce_in_order(values),
        false => ranks().all_reduce(values),
    }
    Ok(())
}

/// There are no shares.
#[cfg(not(feature = "mpi"))]
fn normalised(_: &[Tensor], _: [&Tensor; 2], _: f64, _: (i64, bool)) -> Result<(Vec<Tensor>, [Tensor; 2])> {
    crate::base::errors::bail!("batch norm over shares of a batch needs the feature mpi")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alone the sums are one's own: what is computed is libtorch's batch norm, and its gradients, also of shares.
    #[cfg(feature = "mpi")]
    #[test]
    fn batch_norm_and_its_gradients_are_libtorchs() {
        tch::manual_seed(3);
        for (shape, count) in [(vec![6, 4, 5, 3], 1), (vec![6, 4, 5, 3], 4), (vec![3, 4, 5, 3], 4), (vec![7, 4], 2)] {
            let drawn = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let x = drawn(&shape) * 3.0 + 2.0;
            // Once as networks have it, with channels innermost.
            let x = if count == 1 { x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]) } else { x };
            let x = x.set_requires_grad(true);
            let places = shape.iter().product::<i64>() / 4;
            let (weight, bias) = (drawn(&[4]).set_requires_grad(true), drawn(&[4]).set_requires_grad(true));
            let towards = drawn(&shape);
            let running =
                || [Tensor::zeros([4], (Kind::Float, Device::Cpu)), Tensor::ones([4], (Kind::Float, Device::Cpu))];
            let (theirs, ours) = (running(), running());
            let [mean, variance] = &theirs;
            let expected = x.batch_norm(Some(&weight), Some(&bias), Some(mean), Some(variance), true, 0.1, 1e-5, true);
            let [own_mean, own_variance] = &ours;
            let share = BatchShare::of_shares(shape[0] as usize, 0..count, count, true);
            let xs = x.split_with_sizes(share.rows_of_each(), 0);
            let (of, running) = ([&weight, &bias], [own_mean, own_variance]);
            let found = batch_norm(&xs, of, running, (0.1, 1e-5), (places, share)).expect("batch norm");
            let found = Tensor::cat(&found, 0);
            let gradients = |y: &Tensor| {
                Tensor::run_backward(&[(y * &towards).sum(Kind::Float)], &[&x, &weight, &bias], true, false)
            };
            let mut pairs: Vec<(Tensor, Tensor)> = gradients(&expected).into_iter().zip(gradients(&found)).collect();
            pairs.push((expected, found));
            pairs.extend(theirs.into_iter().zip(ours));
            for (expected, found) in pairs {
                let off = (&expected - &found).abs().max().double_value(&[]);
                assert!(off < 1e-5 && expected.abs().max().double_value(&[]) > 0.05, "{shape:?}: off by {off}");
            }
        }
    }

    #[test]
    fn cores_are_counted() {
        assert_eq!([cores("0-3\n"), cores("0"), cores("0-1,4-7,9")], [4, 1, 7]);
    }

    #[test]
    fn dropout_of_shares_is_that_of_the_whole_batch() {
        let x = Tensor::arange(40, (Kind::Float, Device::Cpu)).reshape([8, 5]) + 1.0;
        tch::manual_seed(11);
        let whole = x.dropout(0.4, true);
        for (own, count) in [(0..1, 2), (1..2, 2), (2..3, 16), (0..4, 4), (1..3, 4)] {
            tch::manual_seed(11);
            let share = BatchShare::of_shares(8, own, count, true);
            let of = |all: &Tensor| all.narrow(0, share.start as i64, share.rows as i64);
            let xs = of(&x).split_with_sizes(share.rows_of_each(), 0);
            let found = Tensor::cat(&dropout(&xs, 0.4, share).expect("drops"), 0);
            assert!(found.equal(&of(&whole)), "{share:?}");
        }
        assert!((whole.eq(0.0).sum(Kind::Int64).int64_value(&[]) - 16).abs() < 12);
    }
}
