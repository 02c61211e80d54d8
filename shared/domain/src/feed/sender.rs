//! Who sends events.

use serde::{Deserialize, Serialize};

/// The longest name of a sender, in characters: sources of a bus are named by whoever sends there.
const MAX_NAME_CHARS: usize = 128;

/// What a sender is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderKind {
    /// A write key, by its label.
    WriteKey,
    /// A feed of the lifecycle file, or a preset of the same name.
    Feed,
    /// The `source` of events on a bus that no feed claims.
    Bus,
    /// Whoever may put messages into the queue.
    Queue,
    /// An imported file.
    Import,
}

impl SenderKind {
    const ALL: [SenderKind; 5] = [
        SenderKind::WriteKey,
        SenderKind::Feed,
        SenderKind::Bus,
        SenderKind::Queue,
        SenderKind::Import,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SenderKind::WriteKey => "write_key",
            SenderKind::Feed => "feed",
            SenderKind::Bus => "bus",
            SenderKind::Queue => "queue",
            SenderKind::Import => "import",
        }
    }
}

/// Who sends events: what lets them in, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Sender {
    /// What it is known by.
    pub kind: SenderKind,
    /// Its name among those.
    pub name: String,
}

impl Sender {
    /// A sender of a kind.
    #[must_use]
    pub fn new(kind: SenderKind, name: &str) -> Sender {
        Sender { kind, name: name.chars().take(MAX_NAME_CHARS).collect() }
    }

    /// A sender as it was written down.
    #[must_use]
    pub fn read(kind: &str, name: &str) -> Option<Sender> {
        let kind = SenderKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        Some(Sender { kind, name: name.to_owned() })
    }
}
