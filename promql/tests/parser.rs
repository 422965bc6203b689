//! Queries that are read, queries that are refused, and where.

use proptest::prelude::*;
use std::time::{Duration, Instant};
use watchfire_promql::Query;

#[test]
fn good_queries_have_one_normal_form() {
    for (text, normal) in [
        ("1 + 2 * 3", "1 + 2 * 3"),
        ("up", "up"),
        ("{ __name__ = 'up' }", "{__name__=\"up\"}"),
        ("http_requests_total{job=\"api\",code!~\"5..\"}", "http_requests_total{code!~\"5..\",job=\"api\"}"),
        ("{\"my.metric\", \"a b\"='x'}", "{\"my.metric\",\"a b\"=\"x\"}"),
        ("rate(x[5m] offset 1h)", "rate(x[5m] offset 1h)"),
        ("x offset -5m @ 10", "x @ 10.000 offset -5m"),
        ("x @ start()", "x @ start()"),
        ("SUM(x) BY (a, b)", "sum by (a, b) (x)"),
        ("sum without (a) (x)", "sum without (a) (x)"),
        ("topk(3, x)", "topk(3, x)"),
        ("a + on(x) group_left(y) b", "a + on (x) group_left (y) b"),
        ("a and on() b", "a and on () b"),
        ("a > bool 1", "a > bool 1"),
        ("a + fill(0) b", "a + fill (0) b"),
        ("a + on(x) fill_left(1) fill_right(-2) b", "a + on (x) fill_left (1) fill_right (-2) b"),
        ("x[5m:1m] offset 1m", "x[5m:1m] offset 1m"),
        ("max_over_time(rate(x[1m])[1h:])", "max_over_time(rate(x[1m])[1h:])"),
        ("x[step() * 2 + 1m]", "x[step() * 2s + 1m]"),
        ("x[max_of(range(), 5m)]", "x[max_of(range(), 5m)]"),
        ("rate(x[5m] smoothed)", "rate(x[5m] smoothed)"),
        ("increase(x[5m] anchored)", "increase(x[5m] anchored)"),
        ("h </ 5 >/ 1", "h </ 5 >/ 1"),
        ("-1 ^ 2", "-1 ^ 2"),
        ("1h30m", "5400"),
        ("0x1F", "31"),
        ("Inf", "+Inf"),
        ("sum", "sum"),
        ("sum{a=\"b\"} # a comment", "sum{a=\"b\"}"),
        ("count_values(\"v\", x)", "count_values(\"v\", x)"),
        ("\"quoted \\\"text\\\"\"", "\"quoted \\\"text\\\"\""),
        ("fill + fill(0) other", "fill + fill (0) other"),
        ("info(x, {})", "info(x, {})"),
        ("info(x, {data=~\".*\"})", "info(x, {data=~\".*\"})"),
        ("a:b:c", "a:b:c"),
        ("1_000.5_0e1_0", "1.0005e+13"),
        ("0x_1F_0", "496"),
        ("by", "by"),
        ("without + 1", "without + 1"),
        ("and and or unless offset offset 5m", "and and or unless offset offset 5m"),
        ("sum by (by) (by)", "sum by (by) (by)"),
        ("{__name__=~\"a\",__name__!=\"ab\"}", "{__name__!=\"ab\",__name__=~\"a\"}"),
        ("x{route=~\"/users/{id}\"}", "x{route=~\"/users/{id}\"}"),
    ] {
        match Query::parse(text) {
            Ok(query) => {
                assert_eq!(query.to_string(), normal, "{text}");
                let again = Query::parse(&query.to_string());
                assert_eq!(again.map(|q| q.to_string()).as_deref(), Ok(normal), "{normal}");
            }
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (text, grouped) in [
        ("1 + 2 * 3 ^ 2 ^ 2", "1 + (2 * (3 ^ (2 ^ 2)))"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("a or b and c unless d", "a or ((b and c) unless d)"),
        ("a == bool 1 + 2", "a == bool (1 + 2)"),
        ("-a ^ b", "-(a ^ b)"),
        ("-a * b", "(-a) * b"),
        ("a offset 5m + 1", "(a offset 5m) + 1"),
    ] {
        let plain = Query::parse(text).map(|q| without_parens(q.expr()));
        let explicit = Query::parse(grouped).map(|q| without_parens(q.expr()));
        assert!(plain.is_ok(), "{text}: {plain:?}");
        assert_eq!(plain, explicit, "{text}");
    }
}

/// The tree's shape, parentheses left out.
fn without_parens(expr: &watchfire_promql::Expr) -> String {
    use watchfire_promql::Expr;
    match expr.unwrap_parens() {
        Expr::Binary(b) => format!("({} {} {})", without_parens(&b.lhs), b.op.symbol(), without_parens(&b.rhs)),
        Expr::Unary { expr, .. } => format!("(-{})", without_parens(expr)),
        Expr::Number { value, .. } => format!("{value}"),
        Expr::Vector(v) => format!("{}{}", v.name.clone().unwrap_or_default(), if v.modifiers.offset.is_some() { "'" } else { "" }),
        other => format!("{other:?}"),
    }
}

#[test]
fn bad_queries_are_refused_where_they_go_wrong() {
    for (text, message) in [
        ("", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("(1", "1:3: parse error: unclosed left parenthesis"),
        ("1)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("1}", "1:2: parse error: unexpected character: '}'"),
        ("a =~ b", "1:3: parse error: unexpected character after '=': '~'"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("x[1m:1m:1m]", "1:8: parse error: unexpected colon ':'"),
        ("x{ü=\"b\"}", "1:3: parse error: unexpected character inside braces: 'ü'"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("foo{a=\"b\"", "1:10: parse error: unexpected end of input inside braces"),
        ("foo{1}", "1:5: parse error: unexpected number \"1\" in label matching, expected identifier or \"}\""),
        ("foo{a>\"b\"}", "1:6: parse error: unexpected <op:>> in label matching, expected label matching operator"),
        ("foo{a=b}", "1:7: parse error: unexpected identifier \"b\" in label matching, expected string"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("foo{__name__=\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""),
        ("foo{__name__=~\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""),
        ("1_", "1:1: parse error: bad number or duration syntax: \"1_\""),
        ("1__0", "1:1: parse error: bad number or duration syntax: \"1__0\""),
        ("1_.5", "1:1: parse error: bad number or duration syntax: \"1_.5\""),
        ("0x1_", "1:1: parse error: bad number or duration syntax: \"0x1_\""),
        ("2 * 1e309", "1:5: parse error: error parsing number: \"1e309\" is out of range"),
        ("bool{}", "1:1: parse error: unexpected <bool>"),
        ("foo{a=~\"b**\"}", "1:5: parse error: error parsing regexp: invalid nested repetition operator: `**`"),
        ("nope(x)", "1:1: parse error: unknown function with name \"nope\""),
        ("rate(x)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        ("round(x, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("label_join(x, \"a\")", "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 2"),
        ("abs(x,)", "1:6: parse error: trailing commas not allowed in function call args"),
        ("sum(x[5m])", "1:5: parse error: expected type instant vector in aggregation expression, got range vector"),
        ("topk(x)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"),
        ("1 and 2", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("a and on (x) group_left () b", "1:1: parse error: no grouping allowed for \"and\" operation"),
        ("1 + on (x) 2", "1:1: parse error: vector matching only allowed between instant vectors"),
        ("a + on (x) group_left (x) b", "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once"),
        ("x[5m", "1:5: parse error: unclosed left bracket"),
        ("x[0s]", "1:3: parse error: duration must be greater than 0"),
        ("x[1e10]", "1:3: parse error: duration out of range"),
        ("x[1h / 1e99]", "1:8: parse error: duration out of range"),
        ("x offset -1e10", "1:11: parse error: duration out of range"),
        ("(x)[5m]", "1:4: parse error: ranges only allowed for vector selectors"),
        ("x offset 5m [1m]", "1:13: parse error: no offset modifiers allowed before range"),
        ("x offset 5m offset 1m", "1:1: parse error: offset may not be set multiple times"),
        (
            "1 offset 5m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("x @ foo", "1:5: parse error: unexpected identifier \"foo\" in @, expected timestamp"),
        ("x[1m][1m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"),
        ("-\"a\"", "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\""),
        ("5z", "1:1: parse error: bad number or duration syntax: \"5z\""),
        ("x{a=\"b", "1:5: parse error: unterminated quoted string"),
        ("x{a=~\"(\"}", "1:3: parse error: error parsing regexp: unclosed group: `(`"),
        ("a\n+ §", "2:3: parse error: unexpected character: '§'"),
        ("x[5m] smoothed anchored", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        ("x anchored", "1:1: parse error: anchored modifier must be preceded by a range vector selector"),
        ("a or fill(0) b", "1:6: parse error: filling in missing series not allowed for set operators"),
        ("x[1m / 0]", "1:8: parse error: division by zero"),
    ] {
        match Query::parse(text) {
            Ok(query) => panic!("{text} was read as {query}"),
            Err(error) => assert!(error.to_string().starts_with(message), "{text}:\n got      {error}\n expected {message}"),
        }
    }
}

#[test]
fn oversized_queries_are_refused_at_once() {
    let parens = "(".repeat(50_000) + "1" + &")".repeat(50_000);
    let sum = vec!["a"; 20_000].join("+");
    let deep = "(".repeat(101) + "1" + &")".repeat(101);
    let many = vec!["a"; 1002].join("+");
    let long = format!("a{{b=\"{}\"}}", "x".repeat(1 << 20));
    for (text, reason) in [
        (parens, "longer than"),
        (sum, "longer than"),
        (deep, "nests deeper than 100"),
        (many, "more than 1000 operators"),
        (long, "longer than"),
    ] {
        let start = Instant::now();
        let error = Query::parse(&text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(reason), "{error}");
        // Far above the milliseconds it takes, far below what parsing would.
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn queries_at_the_limits_are_read_and_dropped_without_a_deep_stack() {
    let nested = "(".repeat(100) + "1" + &")".repeat(100);
    let chain = vec!["a"; 1001].join("+");
    let powers = vec!["2"; 1001].join("^");
    let signs = "-".repeat(1000) + "x";
    let ranges = format!("x{}", "[5m:1m]".repeat(100));
    for text in [nested, chain, powers, signs] {
        let query = Query::parse(&text).unwrap_or_else(|e| panic!("{e}"));
        assert!(!query.pretty().is_empty());
        assert!(!query.to_string().is_empty());
    }
    assert!(Query::parse(&ranges).is_err());
}

#[test]
fn regular_expressions_are_bounded() {
    assert!(Query::parse("x{a=~\"x{1000}{1000}\"}").is_err());
    assert!(Query::parse("x{a=~\"(a*)*b\"}").is_ok());
}

#[test]
fn selectors_and_names_are_listed() {
    let query = Query::parse("sum(rate(b[5m])) / on (x) a{y=\"z\"} + max_over_time(c[1h:1m]) + a").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(query.metric_names(), ["a", "b", "c"]);
    assert_eq!(query.selectors().len(), 4);
}

#[test]
fn long_queries_are_laid_out_over_lines() {
    let text = "sum by (service) (rate(http_server_request_duration_seconds_count{status=~\"5..\"}[5m])) \
                / sum by (service) (rate(http_server_request_duration_seconds_count[5m])) > 0.05";
    let pretty = Query::parse(text).map(|q| q.pretty()).unwrap_or_default();
    assert!(pretty.lines().count() > 3, "{pretty}");
    assert_eq!(Query::parse(&pretty).map(|q| q.to_string()), Query::parse(text).map(|q| q.to_string()));
    assert_eq!(Query::parse("up").map(|q| q.pretty()).as_deref(), Ok("up"));
}

/// Pieces that make texts which are almost queries.
fn almost_a_query() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "sum",
        "rate",
        "by",
        "on",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "5m",
        "1",
        "x",
        "=",
        "=~",
        "\"a\"",
        ",",
        "+",
        "-",
        "^",
        "offset",
        "@",
        "start()",
        ":",
        "bool",
        "group_left",
        "and",
        "fill",
        "smoothed",
        "</",
        " ",
        "\n",
        "#",
        "'",
        "`",
        "\\",
        "step()",
        "é",
        "0x",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = Query::parse(&text);
    }

    #[test]
    fn almost_queries_are_read_or_refused_and_their_normal_form_is_stable(text in almost_a_query()) {
        if let Ok(query) = Query::parse(&text) {
            let normal = query.to_string();
            let again = Query::parse(&normal);
            prop_assert!(again.is_ok(), "{} -> {}: {:?}", text, normal, again.err());
            prop_assert_eq!(again.map(|q| q.to_string()).unwrap_or_default(), normal);
        }
    }
}
