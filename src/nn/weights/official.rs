//! torchvision's ImageNet weights, in PyTorch's own cache folder, so that each file is downloaded only once.

use super::download::{check_sha256, download};
use crate::base::errors::{Context, Result};
use crate::base::files::Digest;
use crate::base::progress::Progress;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where torchvision's weights are published.
const BASE_URL: &str = "https://download.pytorch.org/models";

/// The environment variable that names a mirror.
const BASE_URL_VARIABLE: &str = "COVID_CT_WEIGHTS_URL";

/// One of torchvision's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Official {
    /// Its file name.
    pub file: &'static str,
    /// The first hexadecimal digits of its SHA-256, which torchvision has in the name.
    pub sha256_prefix: &'static str,
}

/// `VGG19_Weights.IMAGENET1K_V1`.
pub(crate) const VGG19: Official = Official { file: "vgg19-dcbb9e9d.pth", sha256_prefix: "dcbb9e9d" };

/// `ResNet152_Weights.IMAGENET1K_V1`.
pub(crate) const RESNET152_V1: Official = Official { file: "resnet152-394f9c45.pth", sha256_prefix: "394f9c45" };

/// `ResNet152_Weights.IMAGENET1K_V2`.
pub(crate) const RESNET152_V2: Official = Official { file: "resnet152-f82ba261.pth", sha256_prefix: "f82ba261" };

/// `DenseNet161_Weights.IMAGENET1K_V1`; its names are old, see [`modern_key`].
pub(crate) const DENSENET161: Official = Official { file: "densenet161-8d451a50.pth", sha256_prefix: "8d451a50" };

/// `ResNet18_Weights.IMAGENET1K_V1`.
pub(crate) const RESNET18: Official = Official { file: "resnet18-f37072fd.pth", sha256_prefix: "f37072fd" };

/// `ResNet50_Weights.IMAGENET1K_V1`.
pub(crate) const RESNET50_V1: Official = Official { file: "resnet50-0676ba61.pth", sha256_prefix: "0676ba61" };

/// `ResNet50_Weights.IMAGENET1K_V2`.
pub(crate) const RESNET50_V2: Official = Official { file: "resnet50-11ad3fa6.pth", sha256_prefix: "11ad3fa6" };

/// Where to download from: torchvision's address, or the mirror in the environment variable `COVID_CT_WEIGHTS_URL`.
pub(crate) fn base_url() -> String {
    std::env::var(BASE_URL_VARIABLE).ok().filter(|url| !url.is_empty()).unwrap_or_else(|| BASE_URL.to_owned())
}

/// The path of a file whose hash is right, and that hash: from PyTorch's folder, or downloaded into it from `base_url`, with these pauses
/// between tries.
///
/// # Errors
/// A damaged file in the folder; a download that fails: the error then says what to put where by hand.
pub(crate) fn official_file(
    file: &Official,
    base_url: &str,
    pauses: &[Duration],
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<(PathBuf, Digest)> {
    official_file_in(&checkpoint_folder(), file, base_url, pauses, progress)
}

/// The same for another folder, for tests.
pub(super) fn official_file_in(
    folder: &Path,
    file: &Official,
    base_url: &str,
    pauses: &[Duration],
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<(PathBuf, Digest)> {
    let target = folder.join(file.file);
    if target.is_file() {
        // Checked at every use: it takes a second at most, and the file may come from anywhere.
        let digest = check_sha256(&target, file.sha256_prefix).context("delete it to have it downloaded again")?;
        return Ok((target, digest));
    }
    let url = format!("{}/{}", base_url.trim_end_matches('/'), file.file);
    let digest = download(&url, &target, file.sha256_prefix, pauses, progress).with_context(|| {
        let (name, folder) = (file.file, folder.display());
        format!("{name} is needed; where this machine cannot fetch {url}, put that file into {folder} by hand")
    })?;
    Ok((target, digest))
}

/// The folder in which PyTorch keeps downloaded weights.
pub(crate) fn checkpoint_folder() -> PathBuf {
    checkpoint_folder_of(std::env::var_os("TORCH_HOME"), std::env::var_os("XDG_CACHE_HOME"), std::env::home_dir())
}

/// As `torch.hub.get_dir` finds it: `$TORCH_HOME`, or else `$XDG_CACHE_HOME/torch`, or else `~/.cache/torch`, with `~`
/// for the home folder. A variable that is set to nothing counts as set, as it does there.
pub(super) fn checkpoint_folder_of(torch: Option<OsString>, cache: Option<OsString>, home: Option<PathBuf>) -> PathBuf {
    let cache = || cache.map_or_else(|| PathBuf::from("~/.cache"), PathBuf::from);
    let torch = torch.map_or_else(|| cache().join("torch"), PathBuf::from);
    let torch = match (torch.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => torch,
    };
    torch.join("hub").join("checkpoints")
}

/// The present name of a DenseNet's tensor. The published files have `denselayer1.norm.1.weight` where torchvision's
/// module has had `denselayer1.norm1.weight` since names may no longer contain a dot. The rule is that of
/// `_load_state_dict` in torchvision's `models/densenet.py`; other names stay as they are.
pub(crate) fn modern_key(key: &str) -> String {
    let renamed = || {
        let (rest, parameter) = key.rsplit_once('.')?;
        let (rest, number) = rest.rsplit_once('.')?;
        let (layer, kind) = rest.rsplit_once('.')?;
        let named = layer.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let matches = ["weight", "bias", "running_mean", "running_var"].contains(&parameter)
            && ["1", "2"].contains(&number)
            && ["norm", "relu", "conv"].contains(&kind)
            && named.ends_with("denselayer")
            && named.len() < layer.len();
        matches.then(|| format!("{layer}.{kind}{number}.{parameter}"))
    };
    renamed().unwrap_or_else(|| key.to_owned())
}
