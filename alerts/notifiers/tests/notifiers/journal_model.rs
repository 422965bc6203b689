//! Lives of the log, made at random, against a list of records.

use crate::journal::{NOW, segments};
use proptest::prelude::*;
use std::collections::HashSet;
use watchfire_notifiers::Faults;
use watchfire_notifiers::journal::{SegmentLog, StateDirectory};

/// One step of a life of the log.
#[derive(Clone, Debug)]
enum Step {
    /// So many records in one sync.
    Append(Vec<u8>),
    Reopen,
    /// The process died in the middle of writing so many bytes of a record.
    Torn(u8),
    /// A bit of the file flips at this share of its length while nobody runs.
    Flip(u16, u8),
    Rewrite,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => proptest::collection::vec(any::<u8>(), 1..5).prop_map(Step::Append),
        3 => Just(Step::Reopen),
        2 => any::<u8>().prop_map(Step::Torn),
        1 => (any::<u16>(), 0..8u8).prop_map(|(at, bit)| Step::Flip(at, bit)),
        1 => Just(Step::Rewrite),
    ]
}

/// The model: records in order; a flip may cost records, never invent, reorder or change one.
fn live(steps: &[Step]) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let open = |seen: &mut Vec<Vec<u8>>| {
        let (mut log, damage) =
            SegmentLog::open(StateDirectory::open(&path).unwrap(), NOW, Faults::default(), &mut |payload| seen.push(payload.to_vec()))
                .unwrap();
        log.set_segment_bytes(200);
        (log, damage)
    };
    let mut model: Vec<Vec<u8>> = Vec::new();
    let mut next = 0u32;
    let mut flips = HashSet::new();
    let mut current = Some(open(&mut Vec::new()).0);
    for step in steps {
        let mut log = current.take().unwrap_or_else(|| open(&mut Vec::new()).0);
        let mut flipped = false;
        match step {
            Step::Append(sizes) => {
                let payloads: Vec<Vec<u8>> = sizes
                    .iter()
                    .map(|size| {
                        next += 1;
                        next.to_le_bytes().into_iter().chain(std::iter::repeat_n(*size, usize::from(*size))).collect()
                    })
                    .collect();
                log.append(payloads.iter().map(Vec::as_slice)).unwrap();
                model.extend(payloads);
                current = Some(log);
                continue;
            }
            Step::Rewrite => {
                log.rewrite(model.clone().into_iter()).unwrap();
                current = Some(log);
                continue;
            }
            Step::Reopen => drop(log),
            Step::Torn(bytes) => {
                drop(log);
                use std::io::Write;
                let last = segments(&path).pop().unwrap();
                let mut file = std::fs::OpenOptions::new().append(true).open(last).unwrap();
                file.write_all(&b"WFJ1"[..usize::from(*bytes % 5)]).unwrap();
                file.write_all(&vec![*bytes; usize::from(*bytes)]).unwrap();
            }
            Step::Flip(at, bit) => {
                drop(log);
                let files = segments(&path);
                let file = &files[usize::from(*at) % files.len()];
                let mut bytes = std::fs::read(file).unwrap();
                let position = usize::from(*at) * bytes.len() / 65_536;
                // The same bit once more would mend what the first flip broke.
                if !bytes.is_empty() && flips.insert((file.clone(), position, *bit)) {
                    bytes[position] ^= 1 << bit;
                    std::fs::write(file, bytes).unwrap();
                    flipped = true;
                }
            }
        }
        let mut seen = Vec::new();
        let (log, damage) = open(&mut seen);
        if flipped {
            prop_assert!(!damage.banners.is_empty());
            prop_assert!(seen.len() + 1 >= model.len(), "one flip cost {} records", model.len() - seen.len());
            let mut rest = model.iter();
            prop_assert!(seen.iter().all(|s| rest.any(|m| m == s)), "invented or reordered");
        } else {
            prop_assert_eq!(&seen, &model);
        }
        model = seen;
        current = Some(log);
    }
    Ok(())
}

proptest! {
    // WATCHFIRE_MODEL_CASES=20000 makes about a million steps of it.
    #![proptest_config(ProptestConfig {
        cases: std::env::var("WATCHFIRE_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_log_behaves_like_its_model(steps in proptest::collection::vec(step(), 1..100)) {
        live(&steps)?;
    }
}
