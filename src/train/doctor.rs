//! Checks whether this machine is ready.

use crate::base::progress::{counted, human_bytes};
use crate::base::ranks::mpi_in_words;
use crate::base::table::{Table, shown_as_table};
use crate::data::workspace::Workspace;
use crate::nn::device::{gpu_names, gpus_in_words, libtorch_version};
use std::path::Path;

/// The version of libtorch that tch 0.24 needs.
const LIBTORCH: &str = "2.11.0";

/// The result of checking this machine: for each check what was found, and what is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Doctor {
    rows: Vec<(String, String, Option<String>)>,
}

impl Doctor {
    /// Checks libtorch, CUDA, MPI, the notebooks' kernel, disk and memory.
    pub fn examine(workspace: &Workspace) -> Self {
        let mut doctor = Self { rows: Vec::new() };
        doctor.libtorch();
        doctor.cuda();
        doctor.row("Several processes", mpi_in_words(), None);
        doctor.kernel();
        doctor.disk(workspace.home());
        doctor.memory();
        let data = workspace.dataset_folder();
        let drawn = if data.is_dir() { "" } else { " (will be drawn at the first use; COVID_CT_DATA names your own)" };
        doctor.row("Data set", format!("{}{drawn}", data.display()), None);
        doctor
    }

    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.rows.iter().all(|row| row.2.is_none())
    }

    fn row(&mut self, what: &str, found: String, wrong: Option<String>) {
        self.rows.push((what.to_owned(), found, wrong));
    }

    fn libtorch(&mut self) {
        let version = libtorch_version();
        let wrong = (!version.starts_with(LIBTORCH)).then(|| format!("expected {LIBTORCH}: run `make setup`"));
        self.row("libtorch", version, wrong);
        // A known product, computed by the library that is loaded.
        let product = tch::Tensor::from_slice(&[1.0_f32, 2.0, 3.0]).dot(&tch::Tensor::from_slice(&[4.0_f32, 5.0, 6.0]));
        let right = f64::try_from(&product).is_ok_and(|p| p == 32.0);
        let threads = counted(tch::get_num_threads().max(0) as u64, "thread");
        let threads = format!("(1,2,3)·(4,5,6) = 32, {threads}");
        self.row("libtorch computes", threads, (!right).then(|| "a wrong product: reinstall torch".into()));
    }

    fn cuda(&mut self) {
        let gpus = tch::Cuda::device_count();
        let driver = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
        let driver = driver.as_deref().and_then(|text| text.lines().next()).map(str::to_owned);
        match (gpus, driver) {
            (1.., _) => self.row("CUDA", gpus_in_words(gpus, &gpu_names()), None),
            (_, Some(driver)) => self.row(
                "CUDA",
                format!("driver found ({driver}), but libtorch sees no GPU"),
                Some(if crate::nn::cuda::is_loaded() {
                    "the CUDA 13 build of torch needs driver 580 or newer".to_owned()
                } else {
                    "libcuda.so.1 or libtorch_cuda.so was not found: reinstall the driver, or torch 2.11.0 with CUDA"
                        .to_owned()
                }),
            ),
            (_, None) => self.row("CUDA", "no NVIDIA driver: networks run on the CPU".to_owned(), None),
        }
    }

    fn kernel(&mut self) {
        let home = std::env::var_os("JUPYTER_DATA_DIR").map(std::path::PathBuf::from);
        let user = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share/jupyter"));
        let spec = home.or(user).map(|data| data.join("kernels/covid-ct/kernel.json"));
        let text = spec.as_ref().and_then(|spec| std::fs::read_to_string(spec).ok());
        let wrong = match &text {
            None => Some("not installed: run `make setup`".to_owned()),
            Some(text) => fault_in_kernel(text),
        };
        let found = spec.map_or("no folder for kernels".to_owned(), |spec| spec.display().to_string());
        self.row("Notebook kernel", found, wrong);
    }

    fn disk(&mut self, folder: &Path) {
        let free = rustix::fs::statvfs(folder).map(|of| of.f_bavail.saturating_mul(of.f_frsize)).ok();
        match free {
            Some(bytes) => {
                let wrong = "less than 2 GB: caches and checkpoints may not fit".to_owned();
                let enough =
                    if bytes < 12_000_000_000 { " (COV19-CT-DB's slices, cached, take 10 to 11 GB)" } else { "" };
                let found = format!("{}{enough}", human_bytes(bytes));
                self.row("Disk free", found, (bytes < 2_000_000_000).then_some(wrong));
            }
            None => self.row("Disk free", "unknown: the file system does not say".to_owned(), None),
        }
    }

    fn memory(&mut self) {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let available = text
            .lines()
            .find(|line| line.starts_with("MemAvailable:"))
            .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        match available {
            Some(kilobytes) => {
                let wrong = (kilobytes < 2_000_000).then(|| "less than 2 GB: training may be killed".to_owned());
                self.row("Memory available", human_bytes(kilobytes * 1024), wrong);
            }
            None => self.row("Memory available", "unknown on this system".to_owned(), None),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new("This machine", &["What", "Found", "Verdict"]);
        for (what, found, wrong) in &self.rows {
            table.row([what.clone(), found.clone(), wrong.clone().unwrap_or("well".to_owned())]);
        }
        table
    }
}

shown_as_table!(Doctor);

/// What is missing of an installed kernel, or that it belongs to another clone; `None` if nothing is wrong.
fn fault_in_kernel(spec: &str) -> Option<String> {
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap_or_default();
    let programs = [&spec["argv"][0], &spec["argv"][1], &spec["env"]["COVID_CT_EVCXR"]];
    for program in programs {
        let program = program.as_str().unwrap_or_default();
        if !Path::new(program).is_file() {
            return Some(format!("it starts {program:?}, which is not there: run `make setup`"));
        }
    }
    let script = Path::new(spec["argv"][1].as_str().unwrap_or_default());
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    (!script.starts_with(ours)).then(|| {
        let other = script.ancestors().nth(2).unwrap_or(script).display();
        format!("it is that of another clone, {other}: `make lab` here uses its own, other Jupyters that one")
    })
}
