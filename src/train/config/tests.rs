use super::*;

#[test]
fn settings_are_read_back_and_unknown_keys_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    let run = RunConfig { learning_rate: 0.1 + 0.2, ..RunConfig::published(Architecture::Fcn) };
    run.write(&path).expect("writes");
    assert_eq!(RunConfig::read(&path).expect("reads"), run);
    let text = std::fs::read_to_string(&path).expect("text").replace("\"epochs\"", "\"epoch\"");
    std::fs::write(&path, text).expect("writes");
    let error = format!("{:#}", RunConfig::read(&path).expect_err("an unknown key"));
    assert!(error.contains("unknown field `epoch`") && error.contains("run.json"), "{error}");
}

#[test]
fn values_that_cannot_work_are_named() {
    let plain = || RunConfig::published(Architecture::Fcn).by_patient();
    for (run, field) in [
        (RunConfig { epochs: 0, ..plain() }, "epochs"),
        (RunConfig { learning_rate: f64::NAN, ..plain() }, "learning_rate"),
        (RunConfig { name: "../x".into(), ..plain() }, "name"),
        (RunConfig { device: "gpu".into(), ..plain() }, "device"),
        (RunConfig { device: "cuda:99".into(), ..plain() }, "device"),
        (RunConfig { batch_size: 0, ..plain() }, "batch_size"),
        (RunConfig { shares: 3, ..plain() }, "shares"),
        (RunConfig { shares: 4, batch_size: 2, ..plain() }, "shares"),
        (RunConfig { precision: Precision::F16, device: "cpu".into(), ..plain() }, "precision"),
        (RunConfig { learn: Learn::Head, ..plain() }, "learn"),
        (RunConfig { pretrained: Some("imagenet".into()), ..plain() }, "pretrained"),
    ] {
        let error = run.check().expect_err(field).to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let shares = RunConfig { shares: 4, device: "cpu".into(), ..plain() };
    let refused = shares.check().err().map(|error| error.to_string());
    assert_eq!(refused.is_some_and(|why| why.contains("built without MPI")), cfg!(not(feature = "mpi")));
    assert!([1, 2, 4].iter().all(|ranks| shares.check_ranks(*ranks).is_ok()) && shares.check_ranks(3).is_err());
    RunConfig::default().check().expect("the default works");
    RunConfig::published(Architecture::Fcn).check().expect("the published one works");
}
