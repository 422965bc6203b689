//! What several folders need to know of YAML.

/// The first document of a text, and the line on which another begins. Prometheus and Alertmanager read the first and leave the others.
///
/// A marker can stand in no scalar (YAML 1.2, 9.1.2), so lines are enough to find it.
pub fn first_yaml_document(text: &str) -> (&str, Option<usize>) {
    let marks = |line: &str, mark: &str| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
    let (mut offset, mut begun, mut ended) = (0, false, None);
    for (index, whole) in text.split_inclusive('\n').enumerate() {
        let line = whole.trim_end_matches(['\n', '\r']);
        let blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        if marks(line, "---") {
            if begun {
                return (&text[..ended.unwrap_or(offset)], Some(index + 1));
            }
            begun = true;
        } else if marks(line, "...") {
            ended = ended.or(begun.then_some(offset));
        } else if !blank {
            if let Some(end) = ended {
                return (&text[..end], Some(index + 1));
            }
            begun = begun || !line.starts_with('%');
        }
        offset += whole.len();
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_ends_where_the_next_begins() {
        for (text, first, next) in [
            ("", "", None),
            ("a: 1\n", "a: 1\n", None),
            ("---\na: 1\n", "---\na: 1\n", None),
            ("# c\n%YAML 1.2\n--- # d\na: 1\n...\n# end\n", "# c\n%YAML 1.2\n--- # d\na: 1\n...\n# end\n", None),
            ("a: 1\n---\nb: 2\n", "a: 1\n", Some(2)),
            ("---\r\na: 1\r\n---\r\nb: 2", "---\r\na: 1\r\n", Some(3)),
            ("---\n---\nb: 2\n", "---\n", Some(2)),
            ("a: 1\n...\n\nb: 2\n", "a: 1\n", Some(4)),
            ("a: 1\n...\n---\nb: 2\n", "a: 1\n", Some(3)),
            ("a: |\n  ---\n  b\nc: ---d\n---x: 1\n", "a: |\n  ---\n  b\nc: ---d\n---x: 1\n", None),
        ] {
            assert_eq!(first_yaml_document(text), (first, next), "{text:?}");
        }
    }
}
