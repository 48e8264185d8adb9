//! The layers of each network, with torchvision's names.

use super::build::{Builder, Init};
use super::layer::Layer;
use anyhow::Result;

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
        layers.extend([linear, Layer::Relu, Layer::Dropout]);
    }
    Ok(layers)
}

/// ResNet-152: 3, 8, 36 and 3 bottlenecks.
pub(super) fn resnet152(b: &mut Builder) -> Result<Vec<Layer>> {
    let stem = b.conv("conv1", [64, 3, 7, 7], (2, 3), Init::FanOut, false)?;
    let mut layers = vec![stem, b.batch_norm("bn1", 64)?, Layer::Relu, POOL_3];
    let mut channels = 64;
    for (stage, (width, blocks)) in (1..).zip([(64, 3), (128, 8), (256, 36), (512, 3)]) {
        for block in 0..blocks {
            let stride = if block == 0 && stage > 1 { 2 } else { 1 };
            layers.push(bottleneck(b, &format!("layer{stage}.{block}"), channels, width, stride)?);
            channels = 4 * width;
        }
    }
    layers.extend([Layer::AdaptiveAvgPool { side: 1 }, Layer::Flatten]);
    Ok(layers)
}

/// A bottleneck: 1×1 down to `width`, 3×3, 1×1 up to four times that, and a shortcut.
fn bottleneck(b: &mut Builder, name: &str, channels: i64, width: i64, stride: i64) -> Result<Layer> {
    let mut main = Vec::new();
    let convolutions =
        [([width, channels, 1, 1], (1, 0)), ([width, width, 3, 3], (stride, 1)), ([4 * width, width, 1, 1], (1, 0))];
    for (number, (shape, placed)) in (1..).zip(convolutions) {
        if number > 1 {
            main.push(Layer::Relu);
        }
        main.push(b.conv(&format!("{name}.conv{number}"), shape, placed, Init::FanOut, false)?);
        main.push(b.batch_norm(&format!("{name}.bn{number}"), shape[0])?);
    }
    let mut shortcut = Vec::new();
    if stride != 1 || channels != 4 * width {
        let shape = [4 * width, channels, 1, 1];
        shortcut.push(b.conv(&format!("{name}.downsample.0"), shape, (stride, 0), Init::FanOut, false)?);
        shortcut.push(b.batch_norm(&format!("{name}.downsample.1"), 4 * width)?);
    }
    Ok(Layer::Residual { main, shortcut })
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
