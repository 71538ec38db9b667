use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

use crate::client::Client;

/// Answers to clients that publish another availability than the own one, such as a broker with a late will.
///
/// Two bridges with the same prefix would answer each other for ever, so the number of answers has a limit for each topic.
#[derive(Debug, Default)]
pub(crate) struct Defence(BTreeMap<Key, Answers>);

/// Rank and topic of a retained message.
type Key = (u8, String);

/// Answers to one topic.
#[derive(Debug)]
struct Answers {
    /// Number within the present window.
    count: u32,
    /// End of the window.
    until: Duration,
    /// `true` if an answer waits for the end of the window.
    is_waiting: bool,
}

/// Answers to one topic that are sent at once. Every lost connection of the bridge causes one will.
const AT_ONCE: u32 = 5;
/// Window for which that number applies. Afterwards, each window has one answer until one passes without a need for it.
const WINDOW: Duration = Duration::from_secs(30);

impl Defence {
    /// Compares a message at the broker with the own one, and sends the own one again if they differ.
    pub(crate) fn handle(&mut self, client: &mut Client, rank: u8, topic: &str, seen: &[u8], now: Duration) {
        let Some(is_own) = client.sent(rank, topic).map(|own| own == seen) else { return };
        let key = (rank, String::from(topic));
        if is_own {
            if let Some(answers) = self.0.get_mut(&key) {
                answers.is_waiting = false;
            }
            return;
        }
        let until = now.saturating_add(WINDOW);
        let answers = self.0.entry(key).or_insert(Answers { count: 0, until, is_waiting: false });
        if answers.until <= now && !answers.is_waiting {
            *answers = Answers { count: 0, until, is_waiting: false };
        }
        if answers.count < AT_ONCE {
            answers.count += 1;
            client.send_again(rank, topic);
        } else {
            answers.is_waiting = true;
        }
    }

    /// Sends the answers whose window has ended.
    pub(crate) fn step(&mut self, client: &mut Client, now: Duration) {
        self.0.retain(|(rank, topic), answers| {
            if answers.until > now {
                return true;
            }
            if !core::mem::replace(&mut answers.is_waiting, false) {
                return false;
            }
            answers.until = now.saturating_add(WINDOW);
            client.send_again(*rank, topic);
            true
        });
    }

    /// Time of the next call of [`Defence::step`].
    pub(crate) fn due(&self) -> Option<Duration> {
        self.0.values().filter(|answers| answers.is_waiting).map(|answers| answers.until).min()
    }
}
