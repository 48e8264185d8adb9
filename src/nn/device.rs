//! Devices, and the version of libtorch.

use crate::base::progress::counted;
use std::path::Path;
use std::process::Command;
use tch::Device;

/// `CPU, 2 threads` or `CUDA GPU 0`.
pub(crate) fn device_name(device: Device) -> String {
    match device {
        Device::Cpu => format!("CPU, {}", counted(tch::get_num_threads().max(0) as u64, "thread")),
        Device::Cuda(n) => format!("CUDA GPU {n}"),
        other => format!("{other:?}"),
    }
}

pub(crate) fn gpus_in_words(count: i64, names: &[String]) -> String {
    match (count, names) {
        (0, _) => "none".to_owned(),
        (count, []) => format!("{count}, names not recorded"),
        (_, names) => names.join("; "),
    }
}

/// One a GPU: `Tesla T4, driver 535.183.01`.
pub(crate) fn gpu_names() -> Vec<String> {
    if tch::Cuda::device_count() == 0 {
        return Vec::new();
    }
    let asked = Command::new("nvidia-smi").args(["--query-gpu=name,driver_version", "--format=csv,noheader"]).output();
    let Ok(output) = asked else { return Vec::new() };
    if !output.status.success() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.trim().replacen(", ", ", driver ", 1)).collect()
}

/// The version of the loaded libtorch, from the Python package that contains it.
pub(crate) fn libtorch_version() -> String {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let maps = read(Path::new("/proc/self/maps"));
    let library =
        maps.lines().find_map(|line| line.find('/').map(|at| &line[at..]).filter(|p| p.ends_with("/libtorch_cpu.so")));
    let package = library.and_then(|library| Path::new(library).parent()?.parent());
    let text = package.map(|package| read(&package.join("version.py"))).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = "));
    line.map_or("unknown".to_owned(), |v| v.trim_matches(['\'', '"']).to_owned())
}
