//! Which name is meant by a part of it.

/// The name that is `part`, or else the only one that begins with it, or else the only one that has it.
pub(crate) fn the_only<'a>(names: &[&'a str], part: &str) -> Option<&'a str> {
    let only = |fits: &dyn Fn(&str) -> bool| {
        let mut found = names.iter().copied().filter(|name| fits(name));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    };
    only(&|name| name == part).or_else(|| only(&|name| name.starts_with(part))).or_else(|| only(&|name| name.contains(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_means_a_name_only_where_no_other_has_it() {
        let names = ["cart", "cart-db", "checkout", "checkout-db", "checkout", "mail"];
        for (part, name) in [
            ("cart", Some("cart")),
            ("ma", Some("mail")),
            ("eckout", None),
            ("art-", Some("cart-db")),
            ("checkout", Some("checkout")),
            ("x", None),
        ] {
            assert_eq!(the_only(&names, part), name, "{part}");
        }
    }
}
