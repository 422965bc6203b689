//! Identities that stay the same from build to build, because they are written to disk and sent to receivers.

use watchfire_model::Labels;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |h, b| (h ^ u64::from(*b)).wrapping_mul(PRIME))
}

/// FNV-1a over the sorted labels, each part ended by 0xFF: the fingerprint Alertmanager computes for the same labels.
pub fn fingerprint(labels: &Labels) -> String {
    let hash = labels.iter().fold(OFFSET, |h, l| {
        let h = fnv(fnv(h, l.name.as_bytes()), &[0xff]);
        fnv(fnv(h, l.value.as_bytes()), &[0xff])
    });
    format!("{hash:016x}")
}

/// A stable hash of texts, for spreading groups over their interval.
pub(crate) fn spread(parts: &[&str]) -> u64 {
    parts.iter().fold(OFFSET, |h, p| fnv(fnv(h, p.as_bytes()), &[0xff]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_alertmanager() {
        // `model.LabelSet{}.Fingerprint()` is the FNV-1a offset basis.
        assert_eq!(fingerprint(&Labels::empty()), "cbf29ce484222325");
        let a = fingerprint(&Labels::from_pairs([("alertname", "A"), ("job", "x")]));
        assert_eq!(a, fingerprint(&Labels::from_pairs([("job", "x"), ("alertname", "A")])));
        assert_ne!(a, fingerprint(&Labels::from_pairs([("alertname", "Aj"), ("job", "x")])));
    }
}
