//! libtorch's CUDA library, loaded where there is a driver for it.
//!
//! Nothing calls `libtorch_cuda.so` by name: it registers itself when it is loaded, which has to happen before libtorch
//! first looks for a GPU. Linkers may leave such a library out (mold and lld do), and where there is no
//! GPU it is 230 MB of memory for nothing. So this library loads it, before anything else runs.

use std::ffi::CStr;

/// NVIDIA's driver, as programs see it.
const DRIVER: &CStr = c"libcuda.so.1";
const LIBRARY: &CStr = c"libtorch_cuda.so";

// SAFETY: functions in this section are called, without arguments, when the program or the library is loaded; glibc
// allows them to load others.
#[used]
#[allow(unsafe_code)]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

extern "C" fn at_start() {
    if open(DRIVER, 0) {
        // Without this the call would be the last thing done here, which compilers turn into a jump: the loader would
        // take its caller's caller for the one who asks, and not look where this program's libraries lie.
        std::hint::black_box(open(LIBRARY, 0));
    }
}

/// Whether libtorch has what it needs to see a GPU.
pub(crate) fn is_loaded() -> bool {
    open(LIBRARY, libc::RTLD_NOLOAD)
}

/// Loads a shared library for the rest of the process; `false` where it is not found.
fn open(name: &CStr, flags: libc::c_int) -> bool {
    // SAFETY: `name` ends with a zero; what these libraries do when they are loaded is what linking them would do.
    #[allow(unsafe_code)]
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL | flags) };
    !handle.is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a process of its own: libtorch looks for the library once, and other tests have made it look.
    #[test]
    fn libtorch_finds_the_library_when_it_is_loaded_first() {
        if crate::base::parallel::passes_alone("nn::cuda::tests::libtorch_finds_the_library_when_it_is_loaded_first") {
            return;
        }
        assert_eq!(is_loaded(), open(DRIVER, libc::RTLD_NOLOAD), "loaded where there is a driver, and only there");
        assert!(open(LIBRARY, 0), "libtorch_cuda.so is not beside libtorch");
        assert!(is_loaded() && tch::utils::has_cudart(), "libtorch knows nothing of CUDA");
    }
}
