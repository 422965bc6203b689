//! Patterns of file names.

/// `*`, `?` and `[a-z]` within one path component.
pub fn glob(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while j < n.len() {
        let matched = match p.get(i) {
            Some('*') => {
                retry = Some((i, j));
                i += 1;
                continue;
            }
            Some('?') => Some(i + 1),
            Some('[') => class(&p, i, n[j]),
            Some(c) => (*c == n[j]).then_some(i + 1),
            None => None,
        };
        match (matched, retry) {
            (Some(next), _) => {
                i = next;
                j += 1;
            }
            (None, Some((star, from))) => {
                retry = Some((star, from + 1));
                i = star + 1;
                j = from + 1;
            }
            (None, None) => return false,
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// The position behind a character class that contains `c`.
fn class(pattern: &[char], at: usize, c: char) -> Option<usize> {
    let end = at + 1 + pattern[at + 1..].iter().position(|c| *c == ']')?;
    let negated = pattern.get(at + 1) == Some(&'^');
    let inside = &pattern[at + 1 + usize::from(negated)..end];
    let mut found = false;
    let mut i = 0;
    while i < inside.len() {
        if i + 2 < inside.len() && inside[i + 1] == '-' {
            found |= inside[i] <= c && c <= inside[i + 2];
            i += 3;
        } else {
            found |= inside[i] == c;
            i += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_like_a_shell() {
        for (pattern, name, matches) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a?c", "abc", true),
            ("[a-c]*", "bee", true),
            ("[^a-c]*", "bee", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
        ] {
            assert_eq!(glob(pattern, name), matches, "{pattern} {name}");
        }
    }
}
