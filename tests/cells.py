"""Cells of notebooks that several tests run."""

# A training for hours, of a phantom that is listed and audited in moments: `run.train()`.
PREPARED = """let work = Workspace::open()?;
work.run_audit(Progress::print)?;
let mut settings = RunConfig { epochs: 100_000, ..RunConfig::of(Architecture::Compact).small() };
settings.preprocess.size = 32;
let run = Experiment::open(settings)?;"""
