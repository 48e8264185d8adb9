use super::*;
use crate::nn::model::Architecture;
use crate::train::epoch::Sums;
use std::fs;

fn info() -> CheckpointInfo {
    CheckpointInfo {
        version: "1".to_owned(),
        run: RunConfig { name: "run".to_owned(), ..RunConfig::published(Architecture::Fcn) },
        classes: vec!["covid".to_owned(), "non-covid".to_owned()],
        manifest: Digest::of(b"manifest"),
        split: Digest::of(b"split"),
        leaks: vec![Subset::Test],
        pretrained: None,
        backbone: None,
        feature_seconds: Some(0.1 + 0.2),
        position: Position {
            batch: 2,
            sums: Sums { batches: 2, ..Sums::default() },
            waited: 1.0 / 3.0,
            ..Position::default()
        },
        epochs: Vec::new(),
    }
}

fn equal(a: &Checkpoint, b: &Checkpoint) -> bool {
    let same = |(name, tensor): (&String, &Tensor)| b.tensors.get(name).is_some_and(|other| other.equal(tensor));
    a.info == b.info && a.tensors.len() == b.tensors.len() && a.tensors.iter().all(same)
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last.safetensors");
    let tensor = |name: &str, values: &[f32]| (name.to_owned(), Tensor::from_slice(values));
    let counted = ("adam.steps".to_owned(), Tensor::from_slice(&[3_i64, -4]));
    let written = [tensor("fc.weight", &[0.5, -1e-3, 7e8, 0.0]), tensor("fc.bias", &[1.5, 2.5]), counted];
    write(&path, &info(), &written).expect("writes");
    let bytes = fs::read(&path).expect("reads");
    let whole = Checkpoint::read(&path).expect("as written");
    assert_eq!(whole.info, info());
    assert!(whole.tensors.len() == 3 && written.iter().all(|(name, tensor)| whole.tensors[name].equal(tensor)));
    assert_eq!(CheckpointInfo::read(&path).expect("as written"), info());
    let tensors = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let bits = (0..tensors * 8).step_by(7).chain(tensors * 8..bytes.len() * 8);
    for bit in bits {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, flipped).expect("writes");
        match Checkpoint::read(&path) {
            Ok(found) => assert!(equal(&found, &whole) && bit < tensors * 8, "bit {bit} of {}", path.display()),
            Err(error) => {
                let (error, file) = (format!("{error:#}"), path.display());
                assert!(error.starts_with(&format!("reading the checkpoint {file}: ")), "{error}");
            }
        }
        if let Ok(found) = CheckpointInfo::read(&path) {
            assert_eq!(found, info(), "bit {bit} of {}", path.display());
        }
    }
    for length in [0, 7, 8, tensors / 2, tensors, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).expect("writes");
        for error in [Checkpoint::read(&path).err(), CheckpointInfo::read(&path).err()] {
            let error = format!("{:#}", error.expect("cut"));
            assert!(error.contains("expected a safetensors file, found damaged or foreign contents"), "{error}");
        }
    }
}

#[test]
fn damage_and_values_that_are_no_numbers_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("best.safetensors");
    let network = Network::new(Architecture::Fcn, 1, Device::Cpu).expect("a network");
    save_network(&path, &info(), &network).expect("writes");
    let mut bytes = fs::read(&path).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 0x10;
    fs::write(&path, bytes).expect("writes");
    let error = format!("{:#}", Checkpoint::read(&path).err().expect("damaged"));
    let begin =
        format!("reading the checkpoint {}: one of its tensors is damaged: the CRC-32C should be ", path.display());
    assert!(error.starts_with(&begin) && error.ends_with("or train again under another name"), "{error}");
    // Another version's has no checksums: it is refused, not read unchecked.
    let json = serde_json::to_string(&info()).expect("JSON");
    write_tensors(&path, &network.tensors(), HashMap::from([(KEY.to_owned(), json)])).expect("writes");
    let error = format!("{:#}", Checkpoint::read(&path).err().expect("of another version"));
    assert!(error.contains("if another version wrote it, train again under another name"), "{error}");
    // What diverged: written as it is, and said when it is to be used.
    let (name, weight) = &network.parameters()[0];
    let _ = tch::no_grad(|| weight.view([-1]).get(5).fill_(f64::INFINITY));
    save_network(&path, &info(), &network).expect("writes");
    let error = Checkpoint::read(&path).expect("as written").network(Device::Cpu).expect_err("infinite").to_string();
    let values = crate::base::progress::thousands(weight.numel() as u64);
    assert_eq!(
        error,
        format!("expected finite numbers, found inf at {name}[5]; values of {name} that are not finite: 1 of {values}")
    );
}
