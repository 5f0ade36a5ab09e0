//! How haproxy sees a server.

use std::fmt;

use serde::{Deserialize, Serialize};

/// haproxy's word for a server's state: `UP`, `DOWN`, `UP 1/2` on its way down, `DOWN 1/2` on its way up, `MAINT`, `no check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerState(String);

impl ServerState {
    /// It passes its checks and gets new connections, also on its way down.
    pub fn is_up(&self) -> bool {
        self.name() == "UP"
    }

    /// It fails its checks and gets no connections, also on its way up.
    pub fn is_down(&self) -> bool {
        self.name() == "DOWN"
    }

    /// Without how many checks are still missing for a change.
    fn name(&self) -> &str {
        let Self(word) = self;
        word.split(' ').next().unwrap_or_default()
    }
}

impl From<&str> for ServerState {
    fn from(word: &str) -> Self {
        Self(word.to_owned())
    }
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_its_way_down_is_still_up_and_the_other_way_round() {
        let cases = [
            ("UP", true, false),
            ("UP 1/2", true, false),
            ("DOWN", false, true),
            ("DOWN 1/2", false, true),
            ("MAINT (via apiservers/node1)", false, false),
            ("no check", false, false),
            ("", false, false),
        ];
        for (word, up, down) in cases {
            let state = ServerState::from(word);
            assert_eq!((state.is_up(), state.is_down()), (up, down), "{word:?}");
            assert_eq!(state.to_string(), word);
        }
    }
}
