//! The layers of each network, with the names of the published weights.

use super::build::{Builder, Init};
use super::layer::{Layer, NormNumbers};
use crate::base::errors::Result;

const POOL_3: Layer = Layer::MaxPool { kernel: 3, stride: 2, padding: 1 };
const POOL_2: Layer = Layer::MaxPool { kernel: 2, stride: 2, padding: 0 };

/// The slides' network without its last layer.
pub(super) fn fcn(b: &mut Builder) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    let mut channels = 3;
    for (number, out) in (1..).zip([64, 128, 256, 512]) {
        let conv = b.conv(&format!("conv{number}"), [out, channels, 3, 3], (1, 1), Init::Uniform, true)?;
        layers.extend([conv, Layer::Relu, POOL_2]);
        channels = out;
    }
    Ok(layers)
}

/// Its last layer: a convolution to two maps, and the mean of each.
pub(super) fn fcn_head(b: &mut Builder, name: &str, classes: i64) -> Result<Vec<Layer>> {
    let conv = b.conv(name, [classes, 512, 2, 2], (1, 0), Init::Uniform, true)?;
    Ok(vec![conv, Layer::AdaptiveAvgPool { side: 1 }, Layer::Flatten])
}

/// VGG-19: sixteen convolutions in five blocks, then two wide layers with dropout.
pub(super) fn vgg19(b: &mut Builder) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    let mut channels = 3;
    for (out, convolutions) in [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)] {
        for _ in 0..convolutions {
            // torchvision's numbering includes ReLU and pooling layers.
            let name = format!("features.{}", layers.len());
            layers.push(b.conv(&name, [out, channels, 3, 3], (1, 1), Init::FanOut, true)?);
            layers.push(Layer::Relu);
            channels = out;
        }
        layers.push(POOL_2);
    }
    layers.extend([Layer::AdaptiveAvgPool { side: 7 }, Layer::Flatten]);
    for (name, inputs) in [("classifier.0", 512 * 7 * 7), ("classifier.3", 4096)] {
        let linear = b.linear(name, [4096, inputs], Init::Normal(0.01))?;
        layers.extend([linear, Layer::Relu, Layer::Dropout { rate: 0.5 }]);
    }
    Ok(layers)
}

/// The compact network: convolutions 3×3 with batch norm and ReLU, with 16, 32, 64 and 128 channels, the first of each
/// width with stride 2, so that maps are a sixteenth of the slice's side. No convolution computes at full size, which
/// is what costs time without a GPU.
pub(super) fn compact(b: &mut Builder) -> Result<Vec<Layer>> {
    let stem = b.conv("conv1", [16, 3, 3, 3], (2, 1), Init::FanOut, false)?;
    let mut layers = vec![stem, b.batch_norm("bn1", 16)?, Layer::Relu];
    let mut channels = 16;
    for (stage, width) in (1..).zip([32, 64, 128]) {
        for (number, stride) in [(1, 2), (2, 1)] {
            let name = format!("layer{stage}.conv{number}");
            layers.push(b.conv(&name, [width, channels, 3, 3], (stride, 1), Init::FanOut, false)?);
            layers.push(b.batch_norm(&format!("layer{stage}.bn{number}"), width)?);
            layers.push(Layer::Relu);
            channels = width;
        }
    }
    layers.extend([Layer::AdaptiveAvgPool { side: 1 }, Layer::Flatten, Layer::Dropout { rate: 0.2 }]);
    Ok(layers)
}

/// The block that a ResNet repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResidualBlock {
    /// Two convolutions 3×3.
    Basic,
    /// 1×1 down to the stage's width, 3×3, and 1×1 up to four times that.
    Bottleneck,
}

/// A ResNet with these numbers of blocks in its four stages.
pub(super) fn resnet(b: &mut Builder, block: ResidualBlock, blocks: [usize; 4]) -> Result<Vec<Layer>> {
    let stem = b.conv("conv1", [64, 3, 7, 7], (2, 3), Init::FanOut, false)?;
    let mut layers = vec![stem, b.batch_norm("bn1", 64)?, Layer::Relu, POOL_3];
    let mut channels = 64;
    for (stage, (width, count)) in (1..).zip([64, 128, 256, 512].into_iter().zip(blocks)) {
        for number in 0..count {
            let stride = if number == 0 && stage > 1 { 2 } else { 1 };
            layers.push(residual(b, &format!("layer{stage}.{number}"), block, channels, width, stride)?);
            channels = if block == ResidualBlock::Basic { width } else { 4 * width };
        }
        if [2, 3].contains(&stage) {
            b.stage_ends.push((layers.len(), channels));
        }
    }
    layers.extend([Layer::AdaptiveAvgPool { side: 1 }, Layer::Flatten]);
    Ok(layers)
}

/// A residual block: its convolutions, of which the first 3×3 has the stride, and a shortcut.
fn residual(
    b: &mut Builder,
    name: &str,
    block: ResidualBlock,
    channels: i64,
    width: i64,
    stride: i64,
) -> Result<Layer> {
    let convolutions = match block {
        ResidualBlock::Basic => vec![([width, channels, 3, 3], (stride, 1)), ([width, width, 3, 3], (1, 1))],
        ResidualBlock::Bottleneck => vec![
            ([width, channels, 1, 1], (1, 0)),
            ([width, width, 3, 3], (stride, 1)),
            ([4 * width, width, 1, 1], (1, 0)),
        ],
    };
    let (mut main, mut out) = (Vec::new(), channels);
    for (number, (shape, placed)) in (1..).zip(convolutions) {
        if number > 1 {
            main.push(Layer::Relu);
        }
        main.push(b.conv(&format!("{name}.conv{number}"), shape, placed, Init::FanOut, false)?);
        main.push(b.batch_norm(&format!("{name}.bn{number}"), shape[0])?);
        out = shape[0];
    }
    let mut shortcut = Vec::new();
    if stride != 1 || channels != out {
        let shape = [out, channels, 1, 1];
        shortcut.push(b.conv(&format!("{name}.downsample.0"), shape, (stride, 0), Init::FanOut, false)?);
        shortcut.push(b.batch_norm(&format!("{name}.downsample.1"), out)?);
    }
    Ok(Layer::Residual { main, shortcut, rectified: true })
}

/// An EfficientNet-Lite: how much wider and deeper than Lite0 it is, and its dropout (the table of
/// `efficientnet_lite_builder.py` in TensorFlow's `tpu` repository).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LiteScale {
    width: f64,
    depth: f64,
    dropout: f64,
}

impl LiteScale {
    pub(super) const LITE0: Self = Self { width: 1.0, depth: 1.0, dropout: 0.2 };
    pub(super) const LITE2: Self = Self { width: 1.1, depth: 1.2, dropout: 0.3 };

    /// Channels in multiples of 8, not less than nine tenths of what was asked for.
    fn channels(self, of_lite0: i64) -> i64 {
        let wanted = of_lite0 as f64 * self.width;
        let rounded = ((wanted + 4.0) as i64 / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
    }

    fn repeats(self, of_lite0: usize) -> usize {
        (of_lite0 as f64 * self.depth).ceil() as usize
    }
}

/// The constants of TensorFlow's EfficientNets.
const LITE_NORM: NormNumbers = NormNumbers { epsilon: 1e-3, momentum: 0.01 };

/// The stages of EfficientNet-Lite0 (Tan and Le, 2019, without squeeze and excitation, with ReLU6): repeats, side of the
/// kernel, stride of the first block, expansion, channels out.
const LITE_STAGES: [(usize, i64, i64, i64, i64); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// An EfficientNet-Lite; stem and head, and the depth of the first and the last stage, are the same for all of them.
/// Its blocks are never left out in training: there is no stochastic depth.
pub(super) fn efficientnet_lite(b: &mut Builder, scale: LiteScale) -> Result<Vec<Layer>> {
    let stem = b.same_conv("_conv_stem", [32, 3, 3, 3], 2)?;
    let mut layers = vec![stem, b.batch_norm_with("_bn0", 32, LITE_NORM)?, Layer::Relu6];
    let (mut channels, mut number) = (32, 0);
    for (stage, (repeats, kernel, first_stride, expansion, out)) in LITE_STAGES.into_iter().enumerate() {
        let is_outer = stage == 0 || stage == LITE_STAGES.len() - 1;
        let (repeats, out) = (if is_outer { repeats } else { scale.repeats(repeats) }, scale.channels(out));
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let name = format!("_blocks.{number}");
            layers.extend(inverted_bottleneck(b, &name, [channels, expansion * channels, out], kernel, stride)?);
            (channels, number) = (out, number + 1);
        }
        if stage > 1 {
            b.stage_ends.push((layers.len(), channels));
        }
    }
    layers.extend([b.same_conv("_conv_head", [1280, channels, 1, 1], 1)?]);
    layers.extend([b.batch_norm_with("_bn1", 1280, LITE_NORM)?, Layer::Relu6, Layer::AdaptiveAvgPool { side: 1 }]);
    layers.extend([Layer::Flatten, Layer::Dropout { rate: scale.dropout }]);
    Ok(layers)
}

/// 1×1 up to `inner` channels (left out where there are as many already), each channel by itself, and 1×1 to `outer`,
/// which is not rectified; added to the input where both have one shape.
fn inverted_bottleneck(
    b: &mut Builder,
    name: &str,
    [channels, inner, outer]: [i64; 3],
    kernel: i64,
    stride: i64,
) -> Result<Vec<Layer>> {
    let mut main = Vec::new();
    if inner != channels {
        main.push(b.same_conv(&format!("{name}._expand_conv"), [inner, channels, 1, 1], 1)?);
        main.extend([b.batch_norm_with(&format!("{name}._bn0"), inner, LITE_NORM)?, Layer::Relu6]);
    }
    main.push(b.same_conv(&format!("{name}._depthwise_conv"), [inner, 1, kernel, kernel], stride)?);
    main.extend([b.batch_norm_with(&format!("{name}._bn1"), inner, LITE_NORM)?, Layer::Relu6]);
    main.push(b.same_conv(&format!("{name}._project_conv"), [outer, inner, 1, 1], 1)?);
    main.push(b.batch_norm_with(&format!("{name}._bn2"), outer, LITE_NORM)?);
    Ok(match stride == 1 && channels == outer {
        true => vec![Layer::Residual { main, shortcut: Vec::new(), rectified: false }],
        false => main,
    })
}

/// DenseNet-161: growth 48, blocks of 6, 12, 36 and 24 layers.
pub(super) fn densenet161(b: &mut Builder) -> Result<Vec<Layer>> {
    const GROWTH: i64 = 48;
    let stem = b.conv("features.conv0", [96, 3, 7, 7], (2, 3), Init::FanIn, false)?;
    let mut layers = vec![stem, b.batch_norm("features.norm0", 96)?, Layer::Relu, POOL_3];
    let mut channels = 96;
    for (block, count) in (1..).zip([6, 12, 36, 24]) {
        let mut stacks = Vec::new();
        for layer in 1..=count {
            let name = format!("features.denseblock{block}.denselayer{layer}");
            stacks.push(vec![
                b.batch_norm(&format!("{name}.norm1"), channels)?,
                Layer::Relu,
                b.conv(&format!("{name}.conv1"), [4 * GROWTH, channels, 1, 1], (1, 0), Init::FanIn, false)?,
                b.batch_norm(&format!("{name}.norm2"), 4 * GROWTH)?,
                Layer::Relu,
                b.conv(&format!("{name}.conv2"), [GROWTH, 4 * GROWTH, 3, 3], (1, 1), Init::FanIn, false)?,
            ]);
            channels += GROWTH;
        }
        layers.push(Layer::Dense(stacks));
        if block < 4 {
            let name = format!("features.transition{block}");
            let norm = b.batch_norm(&format!("{name}.norm"), channels)?;
            let conv = b.conv(&format!("{name}.conv"), [channels / 2, channels, 1, 1], (1, 0), Init::FanIn, false)?;
            layers.extend([norm, Layer::Relu, conv, Layer::AvgPool]);
            channels /= 2;
        }
    }
    layers.push(b.batch_norm("features.norm5", channels)?);
    layers.extend([Layer::Relu, Layer::AdaptiveAvgPool { side: 1 }, Layer::Flatten]);
    Ok(layers)
}
