//! Parameters that a form sends as `multipart/form-data`, as `curl -F` does; a body is whole in memory and bounded before it comes here.

/// The boundary that a content type names; `None` where it is no such form.
pub fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    kind.trim().eq_ignore_ascii_case("multipart/form-data").then(|| parameter(parameters, "boundary")).flatten().filter(|b| !b.is_empty())
}

/// Names and values of the fields, in order. Files are none, and neither is what has no end.
pub fn fields(body: &[u8], boundary: &str) -> Vec<(String, String)> {
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    // The first delimiter begins the body; the line break before it is not needed.
    let body = [b"\r\n", body].concat();
    let mut parts = split(&body, &delimiter);
    // What stands after the last delimiter, or before the first.
    parts.pop();
    parts.into_iter().skip(1).filter_map(field).collect()
}

fn field(part: &[u8]) -> Option<(String, String)> {
    let (head, value) = split_once(part, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(head);
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (_, parameters) = disposition.split_once(';')?;
    if parameter(parameters, "filename").is_some() {
        return None;
    }
    Some((parameter(parameters, "name")?.to_owned(), String::from_utf8_lossy(value).into_owned()))
}

/// The value of `name=value` or `name="value"` in a list with semicolons.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|item| {
        let (key, value) = item.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

fn split_once<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = bytes.windows(at.len()).position(|w| w == at)?;
    Some((&bytes[..start], &bytes[start + at.len()..]))
}

fn split<'a>(mut bytes: &'a [u8], at: &[u8]) -> Vec<&'a [u8]> {
    let mut out = Vec::new();
    while let Some((before, rest)) = split_once(bytes, at) {
        out.push(before);
        bytes = rest;
    }
    out.push(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_curl_is_read() {
        let kind = "multipart/form-data; boundary=------------------------abc";
        let body = "--------------------------abc\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nup{a=\"b\"}\n\r\n\
                    --------------------------abc\r\nContent-Disposition: form-data; name=\"match[]\"\r\nContent-Type: text/plain\r\n\r\nx\r\n\
                    --------------------------abc\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\r\nno\r\n\
                    --------------------------abc--\r\n";
        let boundary = boundary(kind).expect("a boundary");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(fields(body.as_bytes(), boundary), [pair("query", "up{a=\"b\"}\n"), pair("match[]", "x")]);
    }

    #[test]
    fn what_is_no_form_has_no_fields() {
        for kind in
            ["multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=a", "application/x-www-form-urlencoded"]
        {
            assert_eq!(boundary(kind), None, "{kind}");
        }
        assert_eq!(boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), Some("a b"));
        for body in ["", "query=up", "--a", "--a\r\n", "--a\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nno end", "--a--"] {
            assert_eq!(fields(body.as_bytes(), "a"), [], "{body:?}");
        }
    }
}
