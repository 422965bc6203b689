//! Who reports under which name. Names that services give themselves may collide: two instances of one service both say `orders`.

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Service and check.
pub(crate) type Name = (String, String);

/// The names in use, each with the URL of its check.
#[derive(Default)]
pub(crate) struct Names(Mutex<BTreeMap<Name, String>>);

impl Names {
    /// Takes a name for a URL. Where another URL has it, the address is added to the check, so that neither hides the other.
    pub(crate) fn claim(&self, (service, check): Name, url: &str, address: &str) -> Name {
        let mut names = self.0.lock();
        let wanted = (service, check);
        let taken = names.get(&wanted).is_some_and(|owner| owner != url);
        let name = if taken { (wanted.0, format!("{} {address}", wanted.1)) } else { wanted };
        names.insert(name.clone(), url.to_owned());
        name
    }

    /// Gives a name back, if it is still this URL's.
    pub(crate) fn release(&self, name: &Name, url: &str) {
        let mut names = self.0.lock();
        if names.get(name).is_some_and(|owner| owner == url) {
            names.remove(name);
        }
    }
}
