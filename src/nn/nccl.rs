//! Sums over ranks between GPUs by NCCL, the library that libtorch's CUDA library brings; it is loaded when it is needed.
//!
//! The functions and numbers are those of `nccl.h`: <https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api.html>.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::output::complain;
use crate::base::parallel::locked;
use crate::base::ranks::{host, ranks, speaks};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::transmute;
use std::sync::{Mutex, OnceLock};
use tch::{Device, Kind, Tensor};

const LIBRARY: &str = "libnccl.so.2";
/// Set to 0, sums go through main memory and MPI.
const SWITCH: &str = "COVID_CT_NCCL";
/// `ncclSum` and `ncclSuccess`.
const SUM: c_int = 0;
const SUCCESS: c_int = 0;

/// What the ranks of a communicator know it by (`ncclUniqueId`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct UniqueId([u8; 128]);

type GetUniqueId = unsafe extern "C" fn(*mut UniqueId) -> c_int;
type CommInitRank = unsafe extern "C" fn(*mut *mut c_void, c_int, UniqueId, c_int) -> c_int;
/// From, to, number, type, operation, communicator, stream.
type AllReduce =
    unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, *mut c_void, *mut c_void) -> c_int;
type GetErrorString = unsafe extern "C" fn(c_int) -> *const c_char;
/// CUDA's: a thread's GPU, and where in the host one sits: text, its room, the GPU.
type SetDevice = unsafe extern "C" fn(c_int) -> c_int;
type GetPciBusId = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;

/// NCCL's functions.
#[derive(Clone, Copy)]
struct Functions {
    get_unique_id: GetUniqueId,
    comm_init_rank: CommInitRank,
    all_reduce: AllReduce,
    error_string: GetErrorString,
    set_device: SetDevice,
    get_pci_bus_id: GetPciBusId,
}

/// A communicator of all ranks, each with a GPU of its own; kept until the program ends.
pub(crate) struct GpuRanks {
    functions: Functions,
    communicator: Mutex<Communicator>,
    gpu: c_int,
}

/// NCCL's handle.
struct Communicator(*mut c_void);

// SAFETY: NCCL allows any thread to use a communicator, one at a time, which the mutex around it sees to. Sums of a backward pass come
// from a thread of libtorch's.
#[allow(unsafe_code)]
unsafe impl Send for Communicator {}

/// What a rank computes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RankDevice {
    host: String,
    /// Where in the host its GPU sits: under Slurm each rank may see one GPU alone, as the first.
    gpu: Option<String>,
    /// Why it has no NCCL.
    missing: Option<String>,
}

static STARTED: OnceLock<Result<Option<GpuRanks>, String>> = OnceLock::new();

/// NCCL between the ranks, started by the first call, which every rank makes; `None` where sums go through main memory.
///
/// # Errors
/// NCCL cannot be started, on any rank; a device other than that of the first call.
pub(crate) fn gpu_ranks(device: Device) -> Result<Option<&'static GpuRanks>> {
    if ranks().is_alone() {
        return Ok(None);
    }
    match STARTED.get_or_init(|| start(device).map_err(|error| format!("{error:#}"))) {
        Ok(Some(started)) => {
            let own = Device::Cuda(started.gpu as usize);
            ensure!(device == own, "the ranks add up on {own:?}, and now on {device:?}: {SWITCH}=0 allows that");
            Ok(Some(started))
        }
        Ok(None) => Ok(None),
        Err(error) => bail!("starting NCCL between the GPUs of the ranks ({SWITCH}=0 does without): {error}"),
    }
}

/// The same where it was started before.
pub(crate) fn started() -> Option<&'static GpuRanks> {
    STARTED.get()?.as_ref().ok()?.as_ref()
}

fn start(device: Device) -> Result<Option<GpuRanks>> {
    let gpu = if let Device::Cuda(gpu) = device { Some(gpu) } else { None };
    let functions = match (gpu, std::env::var(SWITCH).as_deref()) {
        (None, _) => Err("it computes on a CPU".to_owned()),
        (_, Ok("0")) => Err(format!("{SWITCH} is 0")),
        _ => Functions::load(LIBRARY).map_err(|error| format!("{error:#}")),
    };
    let place = functions.as_ref().ok().zip(gpu).and_then(|(functions, gpu)| functions.place(gpu as c_int));
    let place = place.or(gpu.map(|gpu| gpu.to_string()));
    let own = RankDevice { host: host(), gpu: place, missing: functions.as_ref().err().cloned() };
    let all = ranks().collected(vec![own], ranks().count())?;
    let why_not = why_not(&all);
    if speaks() && all.iter().any(|rank| rank.gpu.is_some()) {
        match &why_not {
            Some(why) => complain(format_args!("covid-ct: the ranks add up through main memory, without NCCL: {why}")),
            None => complain(format_args!("covid-ct: the ranks add up on their GPUs, with NCCL")),
        }
    }
    let (None, Ok(functions), Some(gpu)) = (why_not, functions, gpu) else { return Ok(None) };
    let own = speaks().then(|| functions.unique_id().map(|id| id.0.to_vec()));
    let id = ranks().broadcast(own.transpose()?)?;
    let id = UniqueId(id.try_into().ok().context("another rank has sent no NCCL id")?);
    GpuRanks::join(functions, id, [ranks().rank(), ranks().count()], gpu).map(Some)
}

/// Why these ranks cannot use NCCL, which wants a GPU for each.
fn why_not(all: &[RankDevice]) -> Option<String> {
    let lacks =
        |(rank, of): (usize, &RankDevice)| Some(format!("rank {rank} on {}: {}", of.host, of.missing.as_ref()?));
    let shares = |(rank, of): (usize, &RankDevice)| {
        let first = all.iter().position(|other| (&other.host, &other.gpu) == (&of.host, &of.gpu))?;
        (first < rank).then(|| format!("ranks {first} and {rank} share a GPU of {}", of.host))
    };
    all.iter().enumerate().find_map(lacks).or_else(|| all.iter().enumerate().find_map(shares))
}

impl Functions {
    /// From a library's name or path.
    fn load(library: &str) -> Result<Self> {
        let name = CString::new(library)?;
        // SAFETY: `name` ends with a zero. The library is kept for the rest of the process.
        #[allow(unsafe_code)]
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        ensure!(!handle.is_null(), "{library} cannot be loaded: {}", dl_error());
        let find = |handle: *mut c_void, name: &CStr| {
            // SAFETY: `handle` is that of a library that stays loaded, `name` ends with a zero.
            #[allow(unsafe_code)]
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            Some(found).filter(|found| !found.is_null())
        };
        let needed =
            |name: &CStr| find(handle, name).with_context(|| format!("{library} has no {}", name.to_string_lossy()));
        // Of the CUDA runtime that libtorch has loaded.
        let of_cuda = |name: &CStr| {
            let found = find(handle, name).or_else(|| find(libc::RTLD_DEFAULT, name));
            found.with_context(|| format!("no CUDA runtime with {} is loaded", name.to_string_lossy()))
        };
        // SAFETY: the signatures are those of nccl.h (2.x) and of CUDA's runtime.
        #[allow(unsafe_code)]
        unsafe {
            Ok(Self {
                get_unique_id: transmute::<*mut c_void, GetUniqueId>(needed(c"ncclGetUniqueId")?),
                comm_init_rank: transmute::<*mut c_void, CommInitRank>(needed(c"ncclCommInitRank")?),
                all_reduce: transmute::<*mut c_void, AllReduce>(needed(c"ncclAllReduce")?),
                error_string: transmute::<*mut c_void, GetErrorString>(needed(c"ncclGetErrorString")?),
                set_device: transmute::<*mut c_void, SetDevice>(of_cuda(c"cudaSetDevice")?),
                get_pci_bus_id: transmute::<*mut c_void, GetPciBusId>(of_cuda(c"cudaDeviceGetPCIBusId")?),
            })
        }
    }

    /// Where in the host a GPU sits, such as `0000:3b:00.0`.
    fn place(&self, gpu: c_int) -> Option<String> {
        let mut text = [0 as c_char; 32];
        // SAFETY: CUDA writes at most so many characters, a zero among them.
        #[allow(unsafe_code)]
        let code = unsafe { (self.get_pci_bus_id)(text.as_mut_ptr(), text.len() as c_int - 1, gpu) };
        // SAFETY: the last character stays zero.
        #[allow(unsafe_code)]
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        (code == 0).then(|| text.to_string_lossy().into_owned())
    }

    fn unique_id(&self) -> Result<UniqueId> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: NCCL writes its 128 bytes.
        #[allow(unsafe_code)]
        let code = unsafe { (self.get_unique_id)(&mut id) };
        self.check(code, "ncclGetUniqueId")?;
        Ok(id)
    }

    /// Makes a GPU this thread's.
    fn choose(&self, gpu: c_int) -> Result<()> {
        // SAFETY: any number can be asked for.
        #[allow(unsafe_code)]
        let code = unsafe { (self.set_device)(gpu) };
        ensure!(code == 0, "cudaSetDevice({gpu}): error {code} of CUDA");
        Ok(())
    }

    fn check(&self, code: c_int, call: &str) -> Result<()> {
        if code == SUCCESS {
            return Ok(());
        }
        // SAFETY: NCCL gives a constant text for every number.
        #[allow(unsafe_code)]
        let text = unsafe { CStr::from_ptr((self.error_string)(code)) };
        bail!("{call}: {} (NCCL_DEBUG=WARN says more)", text.to_string_lossy())
    }
}

impl GpuRanks {
    /// Every rank calls it at the same time.
    fn join(functions: Functions, id: UniqueId, [rank, count]: [usize; 2], gpu: usize) -> Result<Self> {
        let mut communicator = std::ptr::null_mut();
        functions.choose(gpu as c_int)?;
        // SAFETY: NCCL writes one pointer.
        #[allow(unsafe_code)]
        let code = unsafe { (functions.comm_init_rank)(&mut communicator, count as c_int, id, rank as c_int) };
        functions.check(code, "ncclCommInitRank")?;
        Ok(Self { functions, communicator: Mutex::new(Communicator(communicator)), gpu: gpu as c_int })
    }

    /// Replaces the values of a contiguous tensor by their sums over the ranks: queued behind what libtorch has queued.
    pub(crate) fn all_reduce(&self, values: &Tensor) -> Result<()> {
        let own = Device::Cuda(self.gpu as usize);
        ensure!(values.device() == own, "expected values on {own:?}, found them on {:?}", values.device());
        ensure!(values.is_contiguous(), "sums over GPUs need contiguous values");
        // SAFETY: contiguous values of this kind on the communicator's GPU.
        #[allow(unsafe_code)]
        unsafe {
            self.all_reduce_at(values.data_ptr(), values.numel(), values.kind())
        }
    }

    /// The same of so many values at an address.
    ///
    /// # Safety
    /// So many values of this kind lie there, on the communicator's GPU, and are used by CUDA's default stream alone.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn all_reduce_at(&self, values: *mut c_void, count: usize, kind: Kind) -> Result<()> {
        // ncclFloat32 and ncclFloat64.
        let of_nccl = match kind {
            Kind::Float => 7,
            Kind::Double => 8,
            _ => bail!("sums over GPUs are of f32 or f64, not {kind:?}"),
        };
        self.functions.choose(self.gpu)?;
        // The stream that libtorch uses: CUDA's default one.
        let stream = std::ptr::null_mut();
        let communicator = locked(&self.communicator);
        // SAFETY: as the caller promises.
        let code = unsafe { (self.functions.all_reduce)(values, values, count, of_nccl, SUM, communicator.0, stream) };
        self.functions.check(code, "ncclAllReduce")
    }
}

/// Why a library could not be loaded.
fn dl_error() -> String {
    // SAFETY: a text that stays until this thread's next call, or null.
    #[allow(unsafe_code)]
    let text = unsafe { libc::dlerror().as_ref().map(|text| CStr::from_ptr(text)) };
    text.map_or(String::new(), |text| text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A library with NCCL's functions, for tests: it "adds up" values in main memory by multiplying them with the number of ranks.
    const IMITATION: &str = include_str!("nccl/imitation.c");

    #[test]
    fn sums_are_asked_for_as_nccl_expects() {
        let folder = tempfile::tempdir().expect("a folder");
        let [source, library] = ["nccl.c", "libnccl.so"].map(|name| folder.path().join(name));
        std::fs::write(&source, IMITATION).expect("writes");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(compiled.expect("a C compiler").success());
        let functions = Functions::load(library.to_str().expect("UTF-8")).expect("loads");
        let id = functions.unique_id().expect("an id");
        let joined = GpuRanks::join(functions, id, [1, 3], 2).expect("joins");
        // SAFETY: the imitation adds up in main memory.
        #[allow(unsafe_code)]
        let add_up = |of: &Tensor| unsafe { joined.all_reduce_at(of.data_ptr(), of.numel(), of.kind()) };
        for kind in [Kind::Float, Kind::Double] {
            let values = Tensor::from_slice(&[1.0, 2.5, -4.0]).to_kind(kind);
            add_up(&values).expect("adds up");
            assert_eq!(Vec::<f64>::try_from(values.to_kind(Kind::Double)).expect("numbers"), [3.0, 7.5, -12.0]);
        }
        let fails = |done: Result<()>| format!("{:#}", done.expect_err("fails"));
        let many = Tensor::zeros([1001], (Kind::Float, Device::Cpu));
        assert!(fails(add_up(&many)).starts_with("ncclAllReduce: invalid usage"));
        assert!(fails(add_up(&many.to_kind(Kind::Half))).contains("not Half"));
        assert!(fails(joined.all_reduce(&many)).contains("expected values on Cuda(2), found them on Cpu"));
        assert_eq!(functions.place(59).expect("a place"), "0000:3b:00.0");
        let other = GpuRanks::join(functions, UniqueId([9; 128]), [0, 3], 2).map(|_| ());
        assert!(fails(other).starts_with("ncclCommInitRank: invalid argument"));
        assert!(fails(GpuRanks::join(functions, id, [0, 3], 8).map(|_| ())).contains("error 101 of CUDA"));
    }

    /// The library of PyTorch's wheel: without a GPU it says so.
    #[test]
    fn nccls_own_library_is_loaded_and_its_errors_arrive() {
        let torch = std::env::var("LIBTORCH").expect("`make` sets LIBTORCH");
        let library = std::path::Path::new(&torch).join("../nvidia/nccl/lib").join(LIBRARY);
        let loaded = Functions::load(library.to_str().expect("UTF-8"));
        if tch::Cuda::device_count() > 0 {
            assert!(loaded.is_ok());
            return;
        }
        // An id of its own would open a port.
        let joined = loaded.and_then(|of| GpuRanks::join(of, UniqueId([0; 128]), [0, 1], 0).map(|_| ()));
        let said = format!("{:#}", joined.expect_err("no GPU"));
        assert!(["nccl", "cudaSetDevice", "no CUDA runtime"].iter().any(|begin| said.starts_with(begin)), "{said}");
        let missing = Functions::load("libnccl.so.0").map(|_| ()).expect_err("none");
        assert!(format!("{missing:#}").contains("libnccl.so.0: cannot open"), "{missing:#}");
    }

    #[test]
    fn every_rank_needs_a_gpu_of_its_own() {
        let rank = |host: &str, gpu: Option<&str>, missing: Option<&str>| {
            let [gpu, missing] = [gpu, missing].map(|of| of.map(str::to_owned));
            RankDevice { host: host.to_owned(), gpu, missing }
        };
        let (first, second) = (Some("0000:3b:00.0"), Some("0000:5e:00.0"));
        assert_eq!(why_not(&[rank("a", first, None), rank("a", second, None), rank("b", first, None)]), None);
        let shared = why_not(&[rank("a", first, None), rank("a", second, None), rank("a", first, None)]);
        assert_eq!(shared.expect("not"), "ranks 0 and 2 share a GPU of a");
        let lacking = why_not(&[rank("a", first, None), rank("b", None, Some("it computes on a CPU"))]);
        assert_eq!(lacking.expect("not"), "rank 1 on b: it computes on a CPU");
    }
}
