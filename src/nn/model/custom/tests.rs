use super::*;
use crate::nn::learn::Learn;
use crate::nn::optimizer::{Adam, gradient};
use tch::nn::{self, Module, ModuleT};

/// A convolution, batch norm, the spatial mean, and a linear layer.
struct Tiny {
    conv: nn::Conv2D,
    norm: nn::BatchNorm,
    linear: nn::Linear,
}

impl Tiny {
    fn boxed(path: &Path, width: i64) -> Box<dyn SliceNetwork> {
        let conv = nn::conv2d(path / "conv", 3, width, 3, nn::ConvConfig { stride: 2, ..Default::default() });
        let norm = nn::batch_norm2d(path / "bn", width, Default::default());
        Box::new(Self { conv, norm, linear: nn::linear(path / "fc", width, 2, Default::default()) })
    }
}

impl SliceNetwork for Tiny {
    fn features(&self, images: &Tensor, train: bool) -> Tensor {
        let maps = self.norm.forward_t(&self.conv.forward(images), train).relu();
        maps.mean_dim([2_i64, 3].as_slice(), false, Kind::Float)
    }

    fn logits(&self, features: &Tensor, _train: bool) -> Tensor {
        self.linear.forward(features)
    }
}

fn images() -> Tensor {
    let values: Vec<f32> = (0..4 * 3 * 20 * 20).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_slice(&values).reshape([4, 3, 20, 20])
}

fn message<T>(result: Result<T>) -> String {
    result.map(|_| ()).map_or_else(|error| format!("{error:#}"), |()| "no error".to_owned())
}

/// In a separate process, because libtorch's generator is process-wide.
#[test]
fn a_seed_gives_the_same_values_and_another_others() {
    if crate::base::parallel::passes_alone("nn::model::custom::tests::a_seed_gives_the_same_values_and_another_others")
    {
        return;
    }
    let architecture = register_network("seeded", |path| Tiny::boxed(path, 8)).expect("registers");
    let weight = |seed| {
        let network = Network::new(architecture, seed, Device::Cpu).expect("builds");
        let weight = network.parameters().iter().find(|(name, _)| name == "conv.weight").expect("is there");
        weight.1.detach()
    };
    assert_eq!(weight(3), weight(3));
    assert_ne!(weight(3), weight(4));
}

#[test]
fn variables_are_parameters_in_the_order_they_were_made_and_buffers() {
    let architecture = register_network("ordered", |path| Tiny::boxed(path, 8)).expect("registers");
    let network = Network::new(architecture, 1, Device::Cpu).expect("builds");
    let names = |of: &[(String, Tensor)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let mut parameters = names(network.parameters());
    assert!(parameters[0].starts_with("conv.") && parameters[5].starts_with("fc."), "{parameters:?}");
    parameters.sort();
    assert_eq!(parameters, ["bn.bias", "bn.weight", "conv.bias", "conv.weight", "fc.bias", "fc.weight"]);
    assert_eq!(names(network.buffers()), ["bn.running_mean", "bn.running_var"]);
    assert_eq!(network.parameter_count(), 3 * 8 * 9 + 8 + 16 + 18);
    let features = network.features(&images(), network.frozen_until(), Kind::Float).expect("features");
    assert_eq!(features.size(), [4, 8]);
    let rest = network.rest(network.frozen_until(), &features, Mode::evaluation(Kind::Float)).expect("logits");
    assert_eq!(rest, network.forward(&images()).expect("logits"));
    let back = Network::from_tensors(architecture, network.tensors().into_iter().collect(), Device::Cpu);
    assert_eq!(back.expect("comes back").forward(&images()).expect("logits"), rest);
    assert!(message(network.class_activation(&images(), &[0; 4])).contains("ordered gives features and logits"));
}

/// The optimizer moves the parameters into a vector of its own: the module computes with those.
#[test]
fn a_step_of_the_optimizer_changes_what_the_module_computes_and_training_its_statistics() {
    let architecture = register_network("learning", |path| Tiny::boxed(path, 4)).expect("registers");
    let network = Network::new(architecture, 1, Device::Cpu).expect("builds");
    let labels = Tensor::from_slice(&[0_i64, 1, 1, 0]);
    let loss = || network.forward_training(&images()).expect("logits").cross_entropy_for_logits(&labels);
    let mut adam = Adam::new(network.learning(Learn::Whole), 1e-2).expect("an optimizer");
    let before = loss().double_value(&[]);
    for _ in 0..20 {
        adam.step(gradient(&loss(), network.parameters()).expect("a gradient")).expect("steps");
    }
    let after = loss().double_value(&[]);
    assert!(after < before - 1e-3, "{before} and then {after}");
    assert!(network.buffers()[0].1.abs().max().double_value(&[]) > 1e-4, "running statistics did not move");
    let forward = network.forward(&images()).expect("logits");
    assert_eq!(network.forward(&images()).expect("logits"), forward, "evaluation changes nothing");
}

#[test]
fn the_last_registration_counts_and_what_does_not_fit_is_named() {
    let architecture = register_network("twice", |path| Tiny::boxed(path, 4)).expect("registers");
    let old = Network::new(architecture, 1, Device::Cpu).expect("builds").tensors();
    let again = register_network("twice", |path| Tiny::boxed(path, 6)).expect("registers");
    assert_eq!((again, again.key(), again.to_string()), (architecture, "custom:twice", "twice".to_owned()));
    assert_eq!("custom:twice".parse::<Architecture>().expect("parses"), architecture);
    assert_eq!(Network::new(again, 1, Device::Cpu).expect("builds").parameters()[0].1.size()[0], 6);
    let given = |without: &str| -> BTreeMap<String, Tensor> {
        let kept = old.iter().filter(|(name, _)| name != without);
        kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    };
    let found = message(Network::from_tensors(again, given(""), Device::Cpu));
    assert!(found.contains("custom network twice") && found.contains("should be ["), "{found}");
    register_network("twice", |path| Tiny::boxed(path, 4)).expect("registers");
    let found = message(Network::from_tensors(again, given("fc.bias"), Device::Cpu));
    assert!(found.contains("fc.bias is missing"), "{found}");
    let mut more = given("");
    more.insert("more".to_owned(), Tensor::from(1.0_f32));
    let found = message(Network::from_tensors(again, more, Device::Cpu));
    assert!(found.contains("more is no part of it"), "{found}");
}

/// Wrong on purpose: `features` and `logits` as given.
struct Wrong(fn(&Tensor) -> Tensor, fn(&Tensor) -> Tensor, #[allow(dead_code, reason = "a variable")] Tensor);

impl SliceNetwork for Wrong {
    fn features(&self, images: &Tensor, _train: bool) -> Tensor {
        self.0(images)
    }

    fn logits(&self, features: &Tensor, _train: bool) -> Tensor {
        self.1(features)
    }
}

#[test]
fn faults_of_the_users_code_are_errors_that_say_where() {
    let wrong = |name: &str, features: fn(&Tensor) -> Tensor, logits: fn(&Tensor) -> Tensor| {
        let build = move |path: &Path| -> Box<dyn SliceNetwork> {
            Box::new(Wrong(features, logits, path.zeros("weight", &[1])))
        };
        let network = Network::new(register_network(name, build).expect("registers"), 1, Device::Cpu);
        message(network.expect("builds").forward(&images()))
    };
    let found = wrong("wrong-features", Tensor::shallow_clone, Tensor::shallow_clone);
    assert!(found.contains("expected features [4, F], found [4, 3, 20, 20]"), "{found}");
    let found = wrong("wrong-logits", |x| x.flatten(1, -1), Tensor::shallow_clone);
    assert!(found.contains("expected logits [4, 2], found [4, 1200]"), "{found}");
    let found = wrong("panics", |x| x.view([4_i64, 7]), Tensor::shallow_clone);
    assert!(found.starts_with("computing the features of the custom network panics: "), "{found}");
    let unknown: Architecture = serde_json::from_str("\"custom:unknown\"").expect("a name");
    let found = message(Network::new(unknown, 1, Device::Cpu));
    assert!(found.contains("unknown is not known here: run the cell that defines it"), "{found}");
    for name in ["", "a b", "a:b", "ä"] {
        assert!(message(Architecture::custom(name)).contains("expected letters"), "{name}");
    }
    let empty = register_network("empty", |_| {
        Box::new(Wrong(Tensor::shallow_clone, Tensor::shallow_clone, Tensor::from(1.0_f32)))
    });
    let found = message(Network::new(empty.expect("registers"), 1, Device::Cpu));
    assert!(found.ends_with("expected trainable variables under the given path, found none"), "{found}");
}
