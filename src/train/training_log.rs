//! The files of a training for those who look from outside while it goes on: a table, and TensorBoard's events.

use crate::base::errors::{Context, Result};
use crate::base::files::write_whole;
use crate::base::ranks::speaks;
use crate::train::checkpoint::CheckpointInfo;
use crate::train::epoch::{EpochRecord, Score};
use crate::train::history::History;
use crate::train::run_folder::{Artifact, RunFolder};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tch::Device;

/// Writes the history of the epochs so far, as JSON and as CSV, and adds to TensorBoard's events those that they lack.
pub(in crate::train) fn write_history(folder: &RunFolder, info: &CheckpointInfo, device: Device) -> Result<History> {
    let history = History::of(info, device);
    if !speaks() {
        return Ok(history);
    }
    folder.write(Artifact::History, &history)?;
    folder.write_by(Artifact::HistoryCsv, |path| write_csv(path, &history.epochs))?;
    let events = folder.path_of(Artifact::EventLog);
    add_events(&events, &history.epochs).with_context(|| format!("writing {}", events.display()))?;
    Ok(history)
}

/// What an epoch is measured by, under TensorBoard's names; `None` where it was not measured.
fn scalars(epoch: &EpochRecord) -> [(&'static str, Option<f64>); 9] {
    let test = |value: fn(&Score) -> f64| epoch.test.as_ref().map(value);
    [
        ("loss/training", Some(epoch.training.loss)),
        ("loss/validation", Some(epoch.validation.loss)),
        ("loss/test", test(|score| score.loss)),
        ("accuracy/training", Some(epoch.training.accuracy)),
        ("accuracy/validation", Some(epoch.validation.accuracy)),
        ("accuracy/test", test(|score| score.accuracy)),
        ("scan AUC/validation", epoch.validation_scan_auc),
        ("time/seconds", Some(epoch.seconds)),
        ("time/images a second", Some(epoch.images_per_second)),
    ]
}

fn write_csv(path: &Path, epochs: &[EpochRecord]) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for epoch in epochs {
        if epoch.epoch == 1 {
            let names = scalars(epoch).map(|(name, _)| name.replace(['/', ' '], "_"));
            csv.write_record(["epoch".to_owned()].into_iter().chain(names))?;
        }
        let values = scalars(epoch).map(|(_, value)| value.map_or(String::new(), |value| value.to_string()));
        csv.write_record([epoch.epoch.to_string()].into_iter().chain(values))?;
    }
    write_whole(path, &csv.into_inner()?)
}

/// Adds the epochs that come after the last one in the file. What a kill left of a record is removed first.
///
/// The file is appended to, since TensorBoard keeps it open: records of `tensorflow/core/lib/io/record_writer.h` that hold
/// messages of `tensorflow/core/util/event.proto`, as <https://github.com/tensorflow/tensorflow> describes them.
fn add_events(path: &Path, epochs: &[EpochRecord]) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let (end, last) = read_to_end(&mut file)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let mut bytes = if end == 0 { record(&version(now)) } else { Vec::new() };
    for epoch in epochs.iter().filter(|epoch| epoch.epoch as u64 > last) {
        bytes.extend(record(&event(now, epoch.epoch, &scalars(epoch))));
    }
    Ok(file.write_all(&bytes)?)
}

/// Where the last whole record ends, and the largest step; 0 in an empty file.
fn read_to_end(file: &mut File) -> Result<(u64, u64)> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (mut at, mut last) = (0, 0);
    while let Some(message) = whole_record(&bytes[at..]) {
        at += message.len() + 16;
        last = last.max(step(message).unwrap_or(0));
    }
    Ok((at as u64, last))
}

/// The message of the record that begins here, if all of it is there and its checksum is right.
fn whole_record(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let message = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let of_message = rest.get(message.len()..)?.first_chunk::<4>()?;
    (*sum == masked(length) && *of_message == masked(message)).then_some(message)
}

/// The step of an event that [`event`] has made; `None` for the first record, which has none.
fn step(message: &[u8]) -> Option<u64> {
    let rest = message.get(9..)?.strip_prefix(&[STEP])?;
    let mut value = 0_u64;
    for (place, byte) in rest.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

// A field of a message: its number in the upper bits, how it is written in the lower three.
const TIME: u8 = 1 << 3 | 1;
const STEP: u8 = 2 << 3;
const VERSION: u8 = 3 << 3 | 2;
const SUMMARY: u8 = 5 << 3 | 2;
const VALUE: u8 = 1 << 3 | 2;
const TAG: u8 = 1 << 3 | 2;
const SIMPLE_VALUE: u8 = 2 << 3 | 5;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag][..], &varint(content.len() as u64), content].concat()
}

fn version(now: f64) -> Vec<u8> {
    [&[TIME][..], &now.to_le_bytes(), &field(VERSION, b"brain.Event:2")].concat()
}

fn event(now: f64, step: usize, scalars: &[(&str, Option<f64>)]) -> Vec<u8> {
    let values = scalars.iter().filter_map(|(name, value)| {
        let value = (*value)? as f32;
        Some(field(VALUE, &[&field(TAG, name.as_bytes())[..], &[SIMPLE_VALUE], &value.to_le_bytes()].concat()))
    });
    let summary = values.collect::<Vec<_>>().concat();
    [&[TIME][..], &now.to_le_bytes(), &[STEP], &varint(step as u64), &field(SUMMARY, &summary)].concat()
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), message, &masked(message)].concat()
}

/// A CRC-32C as these records keep it, so that records of records can be told apart.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: usize) -> EpochRecord {
        let score = |loss| Score { loss, accuracy: 0.75 };
        EpochRecord {
            epoch: number,
            training: score(0.5),
            validation: score(0.25),
            validation_scan_auc: Some(0.875),
            test: None,
            seconds: 2.0,
            waited: 0.0,
            images_per_second: 100.0,
            solved: None,
        }
    }

    #[test]
    fn records_are_those_that_tensorboard_writes() {
        // tensorboard 2.21.0: RecordWriter, of Event(wall_time=1.5, file_version="brain.Event:2") and of
        // Event(wall_time=1.5, step=300, summary=Summary(value=[Summary.Value(tag="loss/training", simple_value=0.5)])).
        let begun = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
        let scalar = "2400000000000000422b804d09000000000000f83f10ac022a160a140a0d6c6f73732f747261696e696e67150000003f\
                      80168c1e";
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&record(&version(1.5))), begun);
        let written = record(&event(1.5, 300, &[("loss/training", Some(0.5)), ("loss/test", None)]));
        assert_eq!(hex(&written), scalar);
        let message = whole_record(&written).expect("a whole record");
        assert_eq!((message.len(), step(message)), (0x24, Some(300)));
        assert_eq!(whole_record(&written[..written.len() - 1]), None);
        assert_eq!(step(&version(1.5)), None);
    }

    #[test]
    fn events_are_added_once_each_also_after_a_kill() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events");
        let epochs: Vec<EpochRecord> = (1..=200).map(epoch).collect();
        add_events(&path, &epochs[..1]).expect("writes");
        let one = std::fs::read(&path).expect("reads");
        add_events(&path, &epochs[..1]).expect("writes");
        assert_eq!(std::fs::read(&path).expect("reads"), one, "nothing twice");
        add_events(&path, &epochs).expect("writes");
        let all = std::fs::read(&path).expect("reads");
        assert!(all.starts_with(&one));
        // Killed in the middle of a record.
        std::fs::write(&path, &all[..all.len() - 9]).expect("writes");
        add_events(&path, &epochs).expect("writes");
        let again = std::fs::read(&path).expect("reads");
        let steps = |bytes: &[u8]| {
            let (mut at, mut steps) = (0, Vec::new());
            while let Some(message) = whole_record(&bytes[at..]) {
                at += message.len() + 16;
                steps.extend(step(message));
            }
            (at, steps)
        };
        assert_eq!(steps(&again), (all.len(), (1..=200).collect()));
    }

    #[test]
    fn the_table_has_a_row_for_each_epoch() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.csv");
        write_csv(&path, &[epoch(1), epoch(2)]).expect("writes");
        let text = std::fs::read_to_string(&path).expect("reads");
        assert_eq!(
            text,
            "epoch,loss_training,loss_validation,loss_test,accuracy_training,accuracy_validation,accuracy_test,\
             scan_AUC_validation,time_seconds,time_images_a_second\n\
             1,0.5,0.25,,0.75,0.75,,0.875,2,100\n2,0.5,0.25,,0.75,0.75,,0.875,2,100\n"
        );
    }
}
