//! Loads libtorch's CUDA library where there is an NVIDIA driver.
//!
//! Nothing calls `libtorch_cuda.so` by name: it registers itself when it is loaded, which has to happen before libtorch
//! first looks for a GPU. Linkers may leave out such a library (mold and lld do), and without a GPU it would waste 230
//! MB of memory. This module therefore loads it before `main`, only where it is needed.

use std::ffi::CStr;

/// NVIDIA's driver library.
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
        // Prevents a tail call: with one, the loader would take the caller's caller for the caller, and not search the
        // folder of this program's libraries.
        std::hint::black_box(open(LIBRARY, 0));
    }
}

/// Whether the driver that libtorch needs for a GPU is present.
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

    /// In a separate process: libtorch looks for the library only once, and other tests may have caused that already.
    #[test]
    fn libtorch_finds_the_library_when_it_is_loaded_first() {
        if crate::base::parallel::passes_alone("nn::cuda::tests::libtorch_finds_the_library_when_it_is_loaded_first") {
            return;
        }
        assert_eq!(is_loaded(), open(DRIVER, libc::RTLD_NOLOAD), "loaded where there is a driver, and only there");
        assert!(open(LIBRARY, 0), "libtorch_cuda.so is not next to libtorch");
        assert!(is_loaded() && tch::utils::has_cudart(), "libtorch knows nothing of CUDA");
    }
}
