//! Constants of templates.

/// A constant whose type depends on where it is used, as in Go.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub int: Option<i64>,
    pub float: Option<f64>,
    /// Written like a float (`1.0`, `1e3`).
    pub is_float: bool,
}

impl Number {
    /// As Go's `strconv` reads constants: any base for whole numbers, underscores between their digits.
    pub fn parse(text: &str) -> Result<Number, String> {
        let bad = || format!("bad number syntax: {text:?}");
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let lower = digits.to_ascii_lowercase();
        let (prefix, radix) = match lower.get(..2) {
            Some("0x") => (2, 16),
            Some("0o") => (2, 8),
            Some("0b") => (2, 2),
            _ if lower.len() > 1 && lower.starts_with('0') => (1, 8),
            _ => (0, 10),
        };
        let separated = !lower.contains("__") && !lower.ends_with('_') && !lower.starts_with('_');
        let whole = lower[prefix..].replace('_', "");
        let int = if separated && !whole.starts_with(['+', '-']) { u64::from_str_radix(&whole, radix).ok() } else { None };
        if let Some(value) = int {
            let int = i64::try_from(value).ok().map(|i| sign * i);
            return Ok(Number { int, float: Some(sign as f64 * value as f64), is_float: false });
        }
        let float = lower.parse::<f64>().ok().filter(|f| f.is_finite() && !lower.contains('_') && !lower.contains("in")).ok_or_else(bad)?;
        if !lower.contains(['.', 'e', 'p']) {
            return Err(format!("integer overflow: {text:?}"));
        }
        let int = Some(float).filter(|f| f.fract() == 0.0 && f.abs() < 9e18).map(|f| f as i64);
        Ok(Number { int: int.map(|i| sign * i), float: Some(sign as f64 * float), is_float: true })
    }
}
