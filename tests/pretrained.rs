//! Pretrained weights in, a trained head, and the whole network out again.

use crate::support::{fixture, folder, prepared, run, run_python, tiny_run};
use covid_ct::tch::{Device, Tensor, no_grad};
use covid_ct::{Architecture, Learn, Network, RunConfig, Subset, Weights};
use std::fs;
use std::path::Path;

/// A head over DenseNet-161 with the weights of this file.
fn frozen(name: &str, weights: &Path) -> RunConfig {
    let tiny = tiny_run(name);
    RunConfig {
        name: name.into(),
        device: "cpu".into(),
        pretrained: Some(weights.display().to_string()),
        preprocess: tiny.preprocess,
        batch_size: 8,
        learning_rate: 1e-2,
        epochs: 3,
        ..RunConfig::published(Architecture::DenseNet161).by_patient()
    }
}

#[test]
fn from_a_torchvision_file_to_a_head_and_back_to_torchvision() {
    let folder = folder();
    let at = folder.path().to_str().expect("UTF-8");
    run_python("reference_export.py", &["make", at]);
    let run = frozen("new", &folder.path().join("new.pth"));
    let experiment = prepared(folder.path(), &run);
    let history = experiment.train().expect("trains");
    let (first, last) = (history.epochs[0].training.loss, history.epochs[2].training.loss);
    assert!(last < first, "the head learns: {history}");
    // The old names, the old format: the same network, so the same numbers.
    let old = frozen("old", &folder.path().join("old.pth"));
    let again = prepared(folder.path(), &old).train().expect("trains");
    assert_eq!(again.epochs[2].training, history.epochs[2].training);
    let classifier = experiment.classifier().expect("loads");
    let info = classifier.info();
    assert_eq!(info.pretrained.as_ref().map(|file| file.name.as_str()), Some("new.pth"));
    assert!(info.backbone.is_some() && run.learn == Learn::Head);
    // The exported network gives the same logits in Python.
    let slices = experiment.split().slices(Subset::Validation);
    let images = experiment.cache().batch(&slices[..4], Device::Cpu).expect("images");
    let logits = no_grad(|| classifier.network().forward(&images)).expect("logits");
    for (name, tensor) in [("images", images.contiguous()), ("logits", logits)] {
        Tensor::write_safetensors(&[(name, tensor)], folder.path().join(format!("{name}.safetensors")))
            .expect("writes");
    }
    for name in ["model.safetensors", "model.pt"] {
        let card = classifier.export(folder.path().join(name)).expect("exports");
        let card = fs::read_to_string(card).expect("a card");
        assert!(card.contains("\"architecture\": \"densenet161\"") && card.contains("not for diagnosis"), "{card}");
    }
    let again = folder.path().join("again/model.safetensors");
    classifier.export(&again).expect("exports");
    let first = fs::read(folder.path().join("model.safetensors")).expect("reads");
    assert!(fs::read(again).expect("reads") == first, "the same network is exported as the same bytes");
    let error = classifier.export(folder.path().join("model.onnx")).expect_err("not written");
    assert!(format!("{error:#}").contains(".safetensors or .pt"), "{error:#}");
    let off: serde_json::Value =
        serde_json::from_str(&run_python("reference_export.py", &["load", at])).expect("differences");
    for (what, off) in off.as_object().expect("an object") {
        assert!(off.as_f64().expect("a number") < 1e-4, "{what} is {off} off");
    }
    damaged_weights(folder.path());
}

#[test]
fn fine_tuning_moves_everything_and_batch_norm_is_kept() {
    let folder = folder();
    let run =
        RunConfig { pretrained: None, epochs: 1, learning_rate: 1e-4, ..frozen("tuned", Path::new("")).fine_tune() };
    let experiment = prepared(folder.path(), &run);
    let history = experiment.train().expect("trains");
    assert!(history.feature_seconds.is_none());
    let classifier = experiment.classifier().expect("loads");
    let (before, after) =
        (Network::new(run.architecture, run.seed, Device::Cpu).expect("a network"), classifier.network());
    for ((name, a), (_, b)) in before.tensors().iter().zip(after.tensors()) {
        assert!(a != &b, "{name} did not move");
    }
    // The checkpoint's running statistics are those that the epoch was scored with.
    let predictions = classifier.predict(&experiment, Subset::Validation).expect("predicts");
    let accuracy = predictions.confusion_matrix().expect("labels").accuracy();
    assert_eq!(accuracy, Some(history.epochs[0].validation.accuracy));
}

/// Files that lack something, or are none.
fn damaged_weights(folder: &Path) {
    let mut tensors = Weights::find(Architecture::DenseNet161, &folder.join("new.pth").display().to_string(), |_| ())
        .and_then(|weights| weights.read())
        .expect("reads");
    let lost = tensors.remove("features.norm5.bias").expect("it is there");
    let save = |name: &str, tensors: &std::collections::BTreeMap<String, Tensor>| {
        let named: Vec<(&String, &Tensor)> = tensors.iter().collect();
        Tensor::write_safetensors(&named, folder.join(name)).expect("writes");
    };
    save("lacking.safetensors", &tensors);
    tensors.insert("features.norm5.bias".into(), lost.narrow(0, 0, 10));
    save("short.safetensors", &tensors);
    fs::write(folder.join("page.pth"), "<html>404</html>").expect("writes");
    for (file, said) in [
        ("lacking.safetensors", "features.norm5.bias is missing"),
        ("short.safetensors", "features.norm5.bias should be [2208], it is [10]"),
        ("page.pth", "page.pth"),
        ("nowhere.pth", "expected imagenet or the path of a file, found no file"),
    ] {
        let run = frozen("damaged", &folder.join(file));
        let error = format!("{:#}", prepared(folder, &run).train().expect_err(file));
        assert!(error.contains(said), "{file}: {error}");
    }
}

#[test]
fn without_a_network_the_error_says_which_file_to_put_where() {
    let (home, torch) = (folder(), folder());
    fixture().audit.write(home.path().join("data_manifest/phantom")).expect("writes");
    let output = crate::support::program(home.path(), &fixture().root)
        .args(["train", "--network", "resnet152", "--small", "--device", "cpu"])
        .env("TORCH_HOME", torch.path())
        .env("COVID_CT_WEIGHTS_URL", "http://127.0.0.1:9/models")
        .output()
        .expect("starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let place = torch.path().join("hub/checkpoints").display().to_string();
    assert!(!output.status.success() && text.contains("resnet152-394f9c45.pth") && text.contains(&place), "{text}");
    fs::write(torch.path().join("hub/checkpoints/resnet152-394f9c45.pth"), "not it").expect("writes");
    let output = crate::support::program(home.path(), &fixture().root)
        .args(["train", "--network", "resnet152", "--small", "--device", "cpu"])
        .env("TORCH_HOME", torch.path())
        .output()
        .expect("starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("394f9c45") && text.contains("delete it"), "{text}");
    let output = run(home.path(), &fixture().root, &["train", "--network", "vgg19", "--pretrained", "imagenet-v2"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("there is no \"imagenet-v2\" for VGG19"), "{text}");
}
