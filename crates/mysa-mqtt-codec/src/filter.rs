//! Topic filters and their matching rules (4.7).

use core::fmt;

use crate::text::{InvalidText, MAX_TEXT};
use crate::topic::Topic;

/// Topic filter: a topic name whose levels may be `+` (any one level) and whose last level may be `#` (the parent level
/// and everything below it). Checked when it is constructed.
///
/// ```
/// use mysa_mqtt_codec::{Filter, InvalidText, Topic};
///
/// let filter = Filter::new("/v1/dev/+/out")?;
/// assert!(filter.matches(Topic::new("/v1/dev/a0b1c2d3e4f5/out")?));
/// assert!(!filter.matches(Topic::new("/v1/dev/a0b1c2d3e4f5/in")?));
/// assert_eq!(Filter::new("/v1/dev/a+/out"), Err(InvalidText::MisplacedPlus));
/// # Ok::<(), InvalidText>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Filter<'a>(&'a str);

impl<'a> Filter<'a> {
    /// Checks a filter.
    ///
    /// # Errors
    /// The rule that the filter breaks.
    pub fn new(filter: &'a str) -> Result<Self, InvalidText> {
        check(filter).map(|()| Self(filter))
    }

    pub(crate) fn from_wire(bytes: &'a [u8]) -> Result<Self, InvalidText> {
        Self::new(core::str::from_utf8(bytes).map_err(|_| InvalidText::NotUtf8)?)
    }

    /// The filter as a string.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// True if it contains `+` or `#`.
    #[must_use]
    pub fn has_wildcard(self) -> bool {
        self.0.bytes().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// True if a message published to `topic` reaches a subscription to this filter.
    ///
    /// A wildcard in the first level does not match a topic that begins with `$` \[MQTT-4.7.2-1\]. One pass over both,
    /// without backtracking.
    #[must_use]
    pub fn matches(self, topic: Topic<'_>) -> bool {
        let (filter, topic) = (self.0.as_bytes(), topic.as_bytes());
        if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
            return false;
        }
        let mut levels = topic.split(|&byte| byte == b'/');
        for wanted in filter.split(|&byte| byte == b'/') {
            match (wanted, levels.next()) {
                // Matches even if no level is left: `sport/#` matches `sport`.
                (b"#", _) => return true,
                (b"+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

impl<'a> From<Topic<'a>> for Filter<'a> {
    /// A topic name is a filter that matches only itself.
    fn from(topic: Topic<'a>) -> Self {
        Self(topic.as_str())
    }
}

impl<'a> TryFrom<&'a str> for Filter<'a> {
    type Error = InvalidText;

    fn try_from(filter: &'a str) -> Result<Self, InvalidText> {
        Self::new(filter)
    }
}

impl PartialEq<str> for Filter<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.0).finish()
    }
}

impl fmt::Display for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

fn check(filter: &str) -> Result<(), InvalidText> {
    if filter.is_empty() {
        return Err(InvalidText::Empty);
    }
    if filter.len() > MAX_TEXT {
        return Err(InvalidText::TooLong);
    }
    let bytes = filter.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let opens = at == 0 || bytes[at - 1] == b'/';
        match byte {
            0 => return Err(InvalidText::Nul),
            b'#' if !opens || at + 1 != bytes.len() => return Err(InvalidText::MisplacedHash),
            b'+' if !opens || !matches!(bytes.get(at + 1), None | Some(b'/')) => {
                return Err(InvalidText::MisplacedPlus);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_filter_is_refused_where_a_wildcard_shares_its_level() {
        for filter in
            ["#", "a/#", "/#", "+", "+/a", "a/+/b", "+/+/#", "/+", "+/", "/", "a//b", "$aws/#", "\u{122b}"]
        {
            assert!(Filter::new(filter).is_ok(), "{filter}");
        }
        for (filter, error) in [
            ("", InvalidText::Empty),
            ("a\0", InvalidText::Nul),
            ("a#", InvalidText::MisplacedHash),
            ("#/a", InvalidText::MisplacedHash),
            ("a/#/b", InvalidText::MisplacedHash),
            ("a/#/", InvalidText::MisplacedHash),
            ("##", InvalidText::MisplacedHash),
            ("a+", InvalidText::MisplacedPlus),
            ("+a/b", InvalidText::MisplacedPlus),
            ("++", InvalidText::MisplacedPlus),
            ("a/+b", InvalidText::MisplacedPlus),
            ("+#", InvalidText::MisplacedPlus),
        ] {
            assert_eq!(Filter::new(filter), Err(error), "{filter:?}");
        }
        assert_eq!(Filter::new(&"f".repeat(MAX_TEXT + 1)), Err(InvalidText::TooLong));
    }

    #[test]
    fn matching_follows_the_examples_of_the_standard() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/tennis/player1/#", "sport/tennis/player10", false),
            ("sport/#", "sport", true),
            ("sport/#", "sports", false),
            ("#", "a/b", true),
            ("#", "/", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("+", "finance", true),
            ("+/tennis/#", "sport/tennis", true),
            ("+/tennis/#", "sport/golf", false),
            ("#", "$SYS/broker", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a/#", "a/$b", true),
            ("ACCOUNTS", "Accounts", false),
            ("a", "a/", false),
            ("a/", "a", false),
            ("a//b", "a//b", true),
            ("a/+/b", "a//b", true),
            ("/v1/dev/+/out", "/v1/dev/a0b1c2d3e4f5/out", true),
            ("/v1/dev/+/out", "/v1/dev/a0b1c2d3e4f5/batch", false),
            ("/v1/dev/+/out", "v1/dev/a0b1c2d3e4f5/out", false),
        ] {
            let (filter, topic) = (Filter::new(filter).unwrap(), Topic::new(topic).unwrap());
            assert_eq!(filter.matches(topic), expected, "{filter} against {topic}");
        }
    }
}
