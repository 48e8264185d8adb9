//! Sums over ranks between GPUs by NCCL, the library that libtorch's CUDA library brings; it is loaded when it is needed.
//!
//! The functions and numbers are those of `nccl.h`: <https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api.html>.

use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::output::complain;
use crate::base::ranks::{ranks, speaks};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::transmute;
use std::sync::OnceLock;
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
/// CUDA's: a thread's GPU.
type SetDevice = unsafe extern "C" fn(c_int) -> c_int;

/// NCCL's functions.
#[derive(Clone, Copy)]
struct Functions {
    get_unique_id: GetUniqueId,
    comm_init_rank: CommInitRank,
    all_reduce: AllReduce,
    error_string: GetErrorString,
    set_device: Option<SetDevice>,
}

/// A communicator of all ranks, each with a GPU of its own; kept until the program ends.
pub(crate) struct GpuRanks {
    functions: Functions,
    communicator: *mut c_void,
    gpu: c_int,
}

// SAFETY: NCCL allows any thread to use a communicator, one at a time; each step of a training adds up in one thread.
#[allow(unsafe_code)]
unsafe impl Send for GpuRanks {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for GpuRanks {}

/// What a rank computes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RankDevice {
    host: String,
    gpu: Option<usize>,
    /// Why it has no NCCL.
    missing: Option<String>,
}

/// NCCL between the ranks, started by the first call, which every rank makes; `None` where sums go through main memory.
///
/// # Errors
/// NCCL cannot be started, on any rank.
pub(crate) fn gpu_ranks(device: Device) -> Result<Option<&'static GpuRanks>> {
    static STARTED: OnceLock<Result<Option<GpuRanks>, String>> = OnceLock::new();
    if ranks().is_alone() {
        return Ok(None);
    }
    match STARTED.get_or_init(|| start(device).map_err(|error| format!("{error:#}"))) {
        Ok(started) => Ok(started.as_ref()),
        Err(error) => bail!("starting NCCL between the GPUs of the ranks ({SWITCH}=0 does without): {error}"),
    }
}

fn start(device: Device) -> Result<Option<GpuRanks>> {
    let gpu = if let Device::Cuda(gpu) = device { Some(gpu) } else { None };
    let functions = match (gpu, std::env::var(SWITCH).as_deref()) {
        (None, _) => Err("it computes on a CPU".to_owned()),
        (_, Ok("0")) => Err(format!("{SWITCH} is 0")),
        _ => Functions::load(LIBRARY).map_err(|error| format!("{error:#}")),
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let own = RankDevice { host, gpu, missing: functions.as_ref().err().cloned() };
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
        let first = all.iter().position(|other| (&other.host, other.gpu) == (&of.host, of.gpu))?;
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
        ensure!(!handle.is_null(), "{library} cannot be loaded");
        let find = |name: &CStr| {
            // SAFETY: `handle` is that of a library that stays loaded, `name` ends with a zero.
            #[allow(unsafe_code)]
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            Some(found).filter(|found| !found.is_null())
        };
        let needed = |name: &CStr| find(name).with_context(|| format!("{library} has no {}", name.to_string_lossy()));
        // Of the CUDA runtime that libtorch has loaded.
        // SAFETY: the name ends with a zero.
        #[allow(unsafe_code)]
        let set_device = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"cudaSetDevice".as_ptr()) };
        let set_device = find(c"cudaSetDevice").or(Some(set_device)).filter(|found| !found.is_null());
        // SAFETY: the signatures are those of nccl.h (2.x) and of CUDA's runtime.
        #[allow(unsafe_code)]
        unsafe {
            Ok(Self {
                get_unique_id: transmute::<*mut c_void, GetUniqueId>(needed(c"ncclGetUniqueId")?),
                comm_init_rank: transmute::<*mut c_void, CommInitRank>(needed(c"ncclCommInitRank")?),
                all_reduce: transmute::<*mut c_void, AllReduce>(needed(c"ncclAllReduce")?),
                error_string: transmute::<*mut c_void, GetErrorString>(needed(c"ncclGetErrorString")?),
                set_device: set_device.map(|found| transmute::<*mut c_void, SetDevice>(found)),
            })
        }
    }

    fn unique_id(&self) -> Result<UniqueId> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: NCCL writes its 128 bytes.
        #[allow(unsafe_code)]
        let code = unsafe { (self.get_unique_id)(&mut id) };
        self.check(code, "ncclGetUniqueId")?;
        Ok(id)
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
        let mut joined = Self { functions, communicator: std::ptr::null_mut(), gpu: gpu as c_int };
        joined.choose_gpu()?;
        // SAFETY: NCCL writes one pointer.
        #[allow(unsafe_code)]
        let code = unsafe { (functions.comm_init_rank)(&mut joined.communicator, count as c_int, id, rank as c_int) };
        functions.check(code, "ncclCommInitRank")?;
        Ok(joined)
    }

    /// This thread's GPU is the communicator's.
    fn choose_gpu(&self) -> Result<()> {
        let Some(set_device) = self.functions.set_device else { return Ok(()) };
        // SAFETY: any number can be asked for.
        #[allow(unsafe_code)]
        let code = unsafe { set_device(self.gpu) };
        ensure!(code == 0, "cudaSetDevice({}): error {code} of CUDA", self.gpu);
        Ok(())
    }

    /// Replaces the values of a contiguous tensor by their sums over the ranks: queued behind what libtorch has queued.
    pub(crate) fn all_reduce(&self, values: &Tensor) -> Result<()> {
        ensure!(values.is_contiguous(), "sums over GPUs need contiguous values");
        self.all_reduce_at(values.data_ptr(), values.numel(), values.kind())
    }

    /// The same of so many values at an address on the GPU.
    pub(crate) fn all_reduce_at(&self, values: *mut c_void, count: usize, kind: Kind) -> Result<()> {
        // ncclFloat32 and ncclFloat64.
        let of_nccl = match kind {
            Kind::Float => 7,
            Kind::Double => 8,
            _ => bail!("sums over GPUs are of f32 or f64, not {kind:?}"),
        };
        self.choose_gpu()?;
        // The stream that libtorch uses: CUDA's default one.
        let stream = std::ptr::null_mut();
        // SAFETY: the caller's values are so many of this type, which stay until the stream has come to whatever frees them.
        #[allow(unsafe_code)]
        let code =
            unsafe { (self.functions.all_reduce)(values, values, count, of_nccl, SUM, self.communicator, stream) };
        self.functions.check(code, "ncclAllReduce")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A library with NCCL's functions, for tests: it "adds up" values in main memory by multiplying them with the number of ranks.
    const IMITATION: &str = r#"
        #include <stddef.h>
        typedef struct { unsigned char bytes[128]; } Id;
        typedef struct { int ranks, rank, gpu; } Communicator;
        static Communicator made;
        static int gpu = -1;
        int cudaSetDevice(int wanted) { gpu = wanted; return wanted > 7 ? 101 : 0; }
        int ncclGetUniqueId(Id *id) { for (int i = 0; i < 128; ++i) id->bytes[i] = i; return 0; }
        int ncclCommInitRank(Communicator **out, int ranks, Id id, int rank) {
            for (int i = 0; i < 128; ++i) if (id.bytes[i] != i) return 4;
            made = (Communicator){ranks, rank, gpu};
            *out = &made;
            return rank < ranks ? 0 : 4;
        }
        int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation, Communicator *of, void *stream) {
            if (operation || stream || of->gpu != gpu || count > 1000) return 5;
            for (size_t i = 0; i < count; ++i)
                if (type == 7) ((float *)to)[i] = ((const float *)from)[i] * of->ranks;
                else ((double *)to)[i] = ((const double *)from)[i] * of->ranks;
            return 0;
        }
        const char *ncclGetErrorString(int code) { return code == 4 ? "invalid argument" : "invalid usage"; }
    "#;

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
        for kind in [Kind::Float, Kind::Double] {
            let values = Tensor::from_slice(&[1.0, 2.5, -4.0]).to_kind(kind);
            joined.all_reduce(&values).expect("adds up");
            assert_eq!(Vec::<f64>::try_from(values.to_kind(Kind::Double)).expect("numbers"), [3.0, 7.5, -12.0]);
        }
        let fails = |done: Result<()>| format!("{:#}", done.expect_err("fails"));
        let many = Tensor::zeros([1001], (Kind::Float, Device::Cpu));
        assert!(fails(joined.all_reduce(&many)).starts_with("ncclAllReduce: invalid usage"));
        assert!(fails(joined.all_reduce(&many.to_kind(Kind::Half))).contains("not Half"));
        assert!(fails(joined.all_reduce(&many.view([7, 143]).tr())).contains("contiguous"));
        let other = GpuRanks::join(functions, UniqueId([9; 128]), [0, 3], 2).map(|_| ());
        assert!(fails(other).starts_with("ncclCommInitRank: invalid argument"));
        assert!(fails(GpuRanks::join(functions, id, [0, 3], 8).map(|_| ())).contains("error 101 of CUDA"));
    }

    /// The library of PyTorch's wheel: without a GPU it says so.
    #[test]
    fn nccls_own_library_is_loaded_and_its_errors_arrive() {
        let torch = std::env::var("LIBTORCH").expect("`make` sets LIBTORCH");
        let library = std::path::Path::new(&torch).join("../nvidia/nccl/lib").join(LIBRARY);
        let functions = Functions::load(library.to_str().expect("UTF-8")).expect("loads");
        if tch::Cuda::device_count() > 0 {
            return;
        }
        // An id of its own would open a port.
        let joined = GpuRanks::join(functions, UniqueId([0; 128]), [0, 1], 0).map(|_| ());
        let said = format!("{:#}", joined.expect_err("no GPU"));
        assert!(said.starts_with("nccl") || said.starts_with("cudaSetDevice"), "{said}");
    }

    #[test]
    fn every_rank_needs_a_gpu_of_its_own() {
        let rank = |host: &str, gpu, missing: Option<&str>| RankDevice {
            host: host.to_owned(),
            gpu,
            missing: missing.map(str::to_owned),
        };
        assert_eq!(why_not(&[rank("a", Some(0), None), rank("a", Some(1), None), rank("b", Some(0), None)]), None);
        let shared = why_not(&[rank("a", Some(0), None), rank("a", Some(1), None), rank("a", Some(0), None)]);
        assert_eq!(shared.expect("not"), "ranks 0 and 2 share a GPU of a");
        let lacking = why_not(&[rank("a", Some(0), None), rank("b", None, Some("it computes on a CPU"))]);
        assert_eq!(lacking.expect("not"), "rank 1 on b: it computes on a CPU");
    }
}
