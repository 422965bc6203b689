//! The connections of one port, and which of them makes room when there are too many.

use crate::connection::Activity;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Open connections by age.
#[derive(Debug)]
pub(crate) struct Registry {
    limit: usize,
    open: Mutex<(u64, BTreeMap<u64, Arc<Activity>>)>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    registry: Arc<Registry>,
    id: u64,
}

/// What happened at the door.
#[derive(Debug)]
pub(crate) enum Admitted {
    Place(Place),
    /// Somebody without a complete request had to go.
    InsteadOf(Place),
    /// Everybody is being served.
    Full,
}

impl Registry {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Registry { limit: limit.max(1), open: Mutex::default() })
    }

    pub(crate) fn admit(self: &Arc<Self>, activity: &Arc<Activity>) -> Admitted {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let full = open.1.len() >= self.limit;
        if full && !evict(&mut open.1) {
            return Admitted::Full;
        }
        let id = open.0;
        open.0 += 1;
        open.1.insert(id, activity.clone());
        let place = Place { registry: self.clone(), id };
        if full { Admitted::InsteadOf(place) } else { Admitted::Place(place) }
    }

    /// Lets up to `count` connections go that are not being served; returns how many.
    pub(crate) fn make_room(&self, count: usize) -> usize {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        (0..count).take_while(|_| evict(&mut open.1)).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).1.len()
    }
}

/// Ends the oldest connection without a request, else the oldest whose request is still coming in; false when all are being served.
fn evict(open: &mut BTreeMap<u64, Arc<Activity>>) -> bool {
    let victim = open.iter().map(|(id, a)| (a.rank(), *id)).filter(|(rank, _)| *rank < 2).min();
    let Some(activity) = victim.and_then(|(_, id)| open.remove(&id)) else { return false };
    activity.evicted.cancel();
    true
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::InFlight;

    #[tokio::test]
    async fn the_oldest_without_a_complete_request_makes_room() {
        let registry = Registry::new(3);
        let connections: Vec<_> = (0..6).map(|_| Activity::new()).collect();
        let places: Vec<_> = connections[..3].iter().map(|c| registry.admit(c)).collect();
        assert!(places.iter().all(|p| matches!(p, Admitted::Place(_))));
        let served = InFlight::new(&connections[0]);
        served.body_complete();
        let _incoming = InFlight::new(&connections[1]);
        let fourth = registry.admit(&connections[3]);
        assert!(matches!(fourth, Admitted::InsteadOf(_)));
        assert!(connections[2].evicted.is_cancelled(), "had no request at all");
        InFlight::new(&connections[3]).body_complete();
        let _fourth_request = InFlight::new(&connections[3]);
        let fifth = registry.admit(&connections[4]);
        assert!(matches!(fifth, Admitted::InsteadOf(_)));
        assert!(connections[1].evicted.is_cancelled(), "its request was the oldest incomplete one");
        assert!(!connections[0].evicted.is_cancelled());
        assert_eq!(registry.len(), 3);
        drop((places, fourth, fifth));
        assert_eq!(registry.len(), 0);
    }

    #[tokio::test]
    async fn room_is_made_by_those_who_ask_for_nothing() {
        let registry = Registry::new(100);
        let connections: Vec<_> = (0..5).map(|_| Activity::new()).collect();
        let places: Vec<_> = connections.iter().map(|c| registry.admit(c)).collect();
        let served = InFlight::new(&connections[1]);
        served.body_complete();
        registry.make_room(2);
        let evicted: Vec<bool> = connections.iter().map(|c| c.evicted.is_cancelled()).collect();
        assert_eq!(evicted, [true, false, true, false, false]);
        registry.make_room(100);
        assert_eq!(registry.len(), 1, "the one that is being served");
        drop((places, served));
    }

    #[tokio::test]
    async fn nobody_who_is_being_served_is_evicted() {
        let registry = Registry::new(1);
        let busy = Activity::new();
        let place = registry.admit(&busy);
        let request = InFlight::new(&busy);
        request.body_complete();
        assert!(matches!(registry.admit(&Activity::new()), Admitted::Full));
        drop(request);
        assert!(matches!(registry.admit(&Activity::new()), Admitted::InsteadOf(_)));
        drop(place);
    }
}
