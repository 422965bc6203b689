//! Templates by chance, whole ones and formats of `printf`: what nobody thought of.

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("small")
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// So many templates, the same for the same seed.
pub fn templates(seed: u64, count: usize) -> Vec<String> {
    let mut random = Random(seed);
    (0..count).map(|i| if i % 2 == 0 { printf(&mut random) } else { block(&mut random, 3) }).collect()
}

const ARGUMENTS: &[&str] = &[
    "1",
    "-42",
    "0",
    "65",
    "1234567",
    "1.5",
    "-0.25",
    "0.0",
    "100.0",
    "1e21",
    "1e-9",
    "2.5",
    "$value",
    "\"text\"",
    "\"h\\u00e9\\n\"",
    "\"\"",
    "\"a\\\"b\"",
    "true",
    "$labels.job",
    "$labels.none",
    "nil",
    "(len $labels.job)",
];

fn directive(random: &mut Random) -> String {
    let mut out = "%".to_owned();
    for flag in ["+", "-", "#", " ", "0"] {
        if random.below(5) == 0 {
            out.push_str(flag);
        }
    }
    out.push_str(random.of(&["", "", "", "1", "5", "12", "*", "[1]*", "007"]));
    out.push_str(random.of(&["", "", "", ".", ".0", ".1", ".3", ".10", ".*"]));
    out.push_str(random.of(&["", "", "", "", "", "[1]", "[2]", "[3]", "[x]", "["]));
    out.push_str(random.of(&["v", "d", "s", "q", "f", "F", "e", "E", "g", "G", "t", "T", "c", "U", "o", "O", "p", "%", "z", "é", ""]));
    // A point at the very end is read otherwise since Go 1.21.
    if out.ends_with('.') { out + "v" } else { out }
}

fn printf(random: &mut Random) -> String {
    let mut format = String::new();
    for _ in 0..=random.below(2) {
        format.push_str(random.of(&["", "a", "|", " "]));
        format.push_str(&directive(random));
    }
    format.push_str(random.of(&["", "", "|", "%%"]));
    let arguments: Vec<&str> = (0..random.below(4)).map(|_| random.of(ARGUMENTS)).collect();
    format!("{{{{ printf {format:?} {} }}}}", arguments.join(" "))
}

fn open(random: &mut Random) -> &'static str {
    random.of(&["{{", "{{ ", "{{- ", "{{ "])
}

fn close(random: &mut Random) -> &'static str {
    random.of(&["}}", " }}", " -}}", " }}"])
}

fn value(random: &mut Random, depth: usize) -> String {
    if depth == 0 || random.below(3) == 0 {
        return random.of(ARGUMENTS).to_owned();
    }
    let d = depth - 1;
    match random.below(12) {
        0 => format!("(humanize {})", value(random, d)),
        1 => format!("(humanizeDuration {})", value(random, d).replace("1e21", "1e9")),
        2 => format!("(humanizePercentage {})", value(random, d)),
        3 => format!("(humanize1024 {})", value(random, d)),
        4 => format!("({} {} {})", random.of(&["eq", "ne", "lt", "le", "gt", "ge"]), value(random, d), value(random, d)),
        5 => format!("(not {})", value(random, d)),
        6 => format!(
            "({} {})",
            random.of(&["title", "toUpper", "toLower", "stripPort", "stripDomain", "html", "urlquery", "js", "print", "println", "len"]),
            value(random, d)
        ),
        7 => format!("(printf \"{}\" {})", random.of(&["%v", "%5v|", "%s", "%q", "%.2f", "%d"]), value(random, d)),
        8 => format!("({} {} {})", random.of(&["index", "slice", "print", "match"]), value(random, d), value(random, d)),
        9 => format!("(reReplaceAll \"(.)x\" \"$1$1\" {})", value(random, d)),
        10 => format!(
            "(query \"sort(m)\" | {})",
            random.of(&["first | value", "len", "first | label \"job\"", "sortByLabel \"i\" | first | label \"i\""])
        ),
        _ => format!("({} | {})", value(random, d), random.of(&["print", "printf \"%v\"", "title", "len", "humanize", "eq 1", "not"])),
    }
}

fn block(random: &mut Random, depth: usize) -> String {
    let mut out = random.of(&["", " ", "a ", "\n", "  x  "]).to_owned();
    let d = depth.saturating_sub(1);
    let (left, right) = (open(random), close(random));
    match if depth == 0 { 0 } else { random.below(8) } {
        1 => {
            let middle = match random.below(3) {
                0 => format!("{}else{}{}", open(random), close(random), block(random, d)),
                1 => format!("{}else if {}{}{}", open(random), value(random, 1), close(random), block(random, d)),
                _ => String::new(),
            };
            out.push_str(&format!("{left}if {}{right}{}{middle}{}end{}", value(random, 2), block(random, d), open(random), close(random)));
        }
        2 => out.push_str(&format!("{left}with {}{right}{}{{{{ . }}}}{{{{ else }}}}none{{{{ end }}}}", value(random, 2), block(random, d))),
        3 => out.push_str(&format!("{left}with $x := {}{right}{{{{ $x }}}}{}{{{{ end }}}}", value(random, 2), block(random, d))),
        4 => {
            let over = random.of(&["query \"sort_desc(m)\"", "$labels", "query \"none\"", "query \"sort(m)\""]);
            let inside = random.of(&[
                "{{ $k }}={{ $v }} ",
                "{{ $k }},{{ break }}",
                "{{ if $k }}{{ continue }}{{ end }}{{ $v }}",
                "{{ printf \"%v\" $v }}",
            ]);
            out.push_str(&format!("{left}range $k, $v := {over}{right}{inside}{{{{ else }}}}nothing{{{{ end }}}}"));
        }
        5 => {
            let (first, second) = (value(random, 2), value(random, 1));
            out.push_str(&format!("{left}$y := {first}{right}{{{{ if true }}}}{{{{ $y = {second} }}}}{{{{ end }}}}{{{{ $y }}}}"));
        }
        6 => out.push_str(&format!("{{{{ define \"t\" }}}}[{{{{ . }}}}]{{{{ end }}}}{left}template \"t\" {}{right}", value(random, 2))),
        _ => out.push_str(&format!("{left}{}{right}", value(random, 3))),
    }
    out + random.of(&["", " ", "\n", " b"])
}
