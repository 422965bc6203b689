//! What stands behind an error.

use std::error::Error;
use std::io;

/// An error, and what caused it, down to the last. Goes through what an I/O error wraps as well, which does not name it as its source.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(|e| Some(e.get_ref()? as _));
        wrapped.or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn what_an_io_error_wraps_is_walked_through() {
        let error = Outer(io::Error::other(io::Error::other("innermost")));
        let walked: Vec<String> = causes(&error).map(ToString::to_string).collect();
        assert_eq!((walked.first().map(String::as_str), walked.last().map(String::as_str)), (Some("outer"), Some("innermost")));
        assert!(causes(&error).any(|e| e.downcast_ref::<io::Error>().is_some()));
    }
}
