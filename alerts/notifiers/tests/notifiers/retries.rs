//! Which answers are final, and which are asked for again.

use crate::receiver::{Answer, Receiver};
use crate::{eventually, notice, settings, start};
use watchfire_model::NoticeState::Firing;

fn to(receiver: &Receiver) -> watchfire_notifiers::Settings {
    settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"webhook\", url = \"{}\" }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\n\
         group_interval = \"0s\"\n[limits]\nattempt_timeout = \"2s\"\nbackoff_min = \"10ms\"\nbackoff_max = \"20ms\"\n",
        receiver.url
    ))
}

#[tokio::test]
async fn only_answers_that_may_pass_are_asked_for_again() {
    for (status, tries) in [(400, 1), (401, 1), (403, 1), (404, 1), (410, 1), (422, 1), (408, 3), (429, 3), (500, 3), (502, 3), (503, 3)] {
        let receiver = Receiver::start().await;
        receiver.answers([Answer::Status(status), Answer::Status(status)]);
        let running = start(to(&receiver), None);
        running.commit(vec![notice("A", 1, Firing)]).await;
        eventually("settled", || running.handle.owed() == 0).await;
        assert_eq!(receiver.count(), tries, "{status}");
        let given_up = running.handle.dead_letters();
        assert_eq!(given_up.len(), usize::from(tries == 1), "{status}");
        assert!(given_up.iter().all(|letter| letter.reason.contains(&status.to_string())), "{status}: the reason names it");
        let keys: std::collections::BTreeSet<String> = receiver.received().iter().map(|r| r.key().to_owned()).collect();
        assert_eq!(keys.len(), 1, "{status}: every try has the same key");
        running.stop().await;
    }
}
