//! Summary of a network's layers and parameters.

use crate::base::progress::{counted, thousands};
use crate::base::table::{Table, shown_as_table};
use crate::nn::learn::Learn;
use crate::nn::model::Network;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Neighbouring layers under one name: a layer of the FCN or VGG19, a stage of ResNet-152, a block of DenseNet-161.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The common prefix of its parameters' names.
    pub name: String,
    /// Number of convolutions.
    pub convolutions: usize,
    /// Number of batch norms.
    pub norms: usize,
    /// Number of fully connected layers.
    pub linears: usize,
    /// Shape of its first weight, outputs first.
    pub first: Vec<i64>,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of parameters that were trained.
    pub learned: u64,
}

/// A network's blocks, and the sums of their parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSummary {
    /// From input to output.
    pub blocks: Vec<Block>,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of parameters that were trained; the others were frozen.
    pub learned: u64,
}

impl NetworkSummary {
    pub(crate) fn of(network: &Network, learn: Learn) -> Self {
        let learning: Vec<&str> = network.learning(learn).iter().map(|(name, _)| name.as_str()).collect();
        let mut blocks: Vec<Block> = Vec::new();
        for (name, tensor) in network.parameters() {
            let block = block_of(name);
            if blocks.last().is_none_or(|last| last.name != block) {
                blocks.push(Block::empty(block, tensor));
            }
            if let Some(last) = blocks.last_mut() {
                last.add(name, tensor, learning.contains(&name.as_str()));
            }
        }
        let sum = |of: fn(&Block) -> u64| blocks.iter().map(of).sum();
        Self { parameters: sum(|block| block.parameters), learned: sum(|block| block.learned), blocks }
    }

    /// Number of convolutions and fully connected layers.
    pub fn weighted_layers(&self) -> usize {
        self.blocks.iter().map(|block| block.convolutions + block.linears).sum()
    }

    /// One row for each block.
    pub fn table(&self) -> Table {
        let columns = ["Block", "Layers with parameters", "First weight", "Parameters", "Learned"];
        let mut table = Table::new("Layers, from input to output", &columns);
        for block in &self.blocks {
            let shape: Vec<String> = block.first.iter().map(ToString::to_string).collect();
            table.row([
                block.name.clone(),
                block.layers(),
                shape.join("×"),
                thousands(block.parameters),
                thousands(block.learned),
            ]);
        }
        table.note(format!(
            "{} convolutions and fully connected layers; {} parameters, {} of them learned, the others frozen. Shapes: \
             outputs, inputs, height, width.",
            self.weighted_layers(),
            thousands(self.parameters),
            thousands(self.learned)
        ))
    }
}

shown_as_table!(NetworkSummary);

impl Block {
    fn empty(name: String, first: &Tensor) -> Self {
        Self { name, convolutions: 0, norms: 0, linears: 0, first: first.size(), parameters: 0, learned: 0 }
    }

    fn add(&mut self, name: &str, tensor: &Tensor, learns: bool) {
        let count = tensor.numel() as u64;
        self.parameters += count;
        self.learned += if learns { count } else { 0 };
        if name.ends_with(".weight") {
            match tensor.dim() {
                4 => self.convolutions += 1,
                2 => self.linears += 1,
                _ => self.norms += 1,
            }
        }
    }

    fn layers(&self) -> String {
        let kinds = [(self.convolutions, "convolution"), (self.norms, "batch norm"), (self.linears, "linear layer")];
        let there = kinds.into_iter().filter(|(count, _)| *count > 0);
        there.map(|(count, kind)| counted(count as u64, kind)).collect::<Vec<_>>().join(", ")
    }
}

/// `features.denseblock1` of `features.denseblock1.denselayer2.conv1.weight`, `layer3` of `layer3.5.conv1.weight`.
fn block_of(parameter: &str) -> String {
    let layer = parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer);
    let parts: Vec<&str> = layer.split('.').collect();
    let kept = if layer.starts_with("layer") { 1 } else { 2 };
    parts[..parts.len().min(kept)].join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::model::Architecture;
    use tch::Device;

    #[test]
    fn the_fcn_has_five_layers_and_its_known_number_of_parameters() {
        let network = Network::new(Architecture::Fcn, 1, Device::Cpu).expect("a network");
        let summary = NetworkSummary::of(&network, Learn::Whole);
        assert_eq!((summary.blocks.len(), summary.weighted_layers()), (5, 5));
        assert_eq!((summary.parameters, summary.learned), (1_555_074, 1_555_074));
        assert_eq!(summary.blocks[0].first, [64, 3, 3, 3]);
        assert_eq!(block_of("features.denseblock1.denselayer2.conv1.weight"), "features.denseblock1");
        assert_eq!((block_of("layer3.5.conv1.weight"), block_of("fc.bias")), ("layer3".into(), "fc".into()));
    }
}
