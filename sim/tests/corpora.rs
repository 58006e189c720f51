//! Replays what the fuzzer has collected, on a stable compiler and without a sanitizer.

use std::path::Path;
use weft_core::fuzzing;

/// A fuzz target's name and body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("handshake_responder", fuzzing::handshake_responder),
    ("channel_receive", fuzzing::channel_receive),
    ("sleeve_datagram", fuzzing::sleeve_datagram),
    ("message", fuzzing::message),
    ("record", fuzzing::record),
    ("saved", fuzzing::saved),
    ("node_inputs", fuzzing::node_inputs),
    ("parse", fuzzing::parse),
    ("dns_question", weft::dns::fuzzing::question),
    ("world", sim::fuzzing::world),
    ("scenario", sim::fuzzing::scenario),
];

#[test]
fn every_committed_corpus_replays_without_a_finding() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    for (name, body) in TARGETS {
        let folder = fuzz.join("corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            body(&std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_fuzz_target_is_replayed_here() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    for entry in std::fs::read_dir(targets).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(TARGETS.iter().any(|(known, _)| *known == name), "{name} is not replayed");
    }
}
