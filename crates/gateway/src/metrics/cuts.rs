//! Clients that were cut off before, or without, a request that an access line could tell of.
//!
//! There may be very many of them at once, so that each is counted, and one line now and then says how many.

use std::sync::atomic::{AtomicU64, Ordering};

/// The limit that a client was cut off at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Too many connections in all.
    Connections,
    /// Too many of one address.
    ConnectionsPerAddress,
    /// No handshake in time.
    Handshake,
    /// No head in time.
    Head,
    /// Nothing taken of an answer in time.
    WriteStall,
}

impl Cut {
    /// All, with the names of their limits as the configuration has them.
    pub(super) const ALL: [(Self, &'static str); 5] = [
        (Self::Connections, "connections"),
        (Self::ConnectionsPerAddress, "connections_per_address"),
        (Self::Handshake, "handshake_timeout"),
        (Self::Head, "header_timeout"),
        (Self::WriteStall, "write_timeout"),
    ];
}

/// How many there were of each.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    counted: [AtomicU64; Cut::ALL.len()],
    told: [AtomicU64; Cut::ALL.len()],
}

impl Cuts {
    /// Counts one.
    pub(crate) fn count(&self, cut: Cut) {
        let place = Cut::ALL.iter().position(|(other, _)| *other == cut);
        if let Some(cell) = place.and_then(|place| self.counted.get(place)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each limit with how many were cut off at it.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Cut::ALL.iter().zip(&self.counted).map(|((_, name), cell)| (*name, cell.load(Ordering::Relaxed)))
    }

    /// Logs what was counted since the last time.
    pub(crate) fn tell(&self) {
        for ((limit, counted), told) in self.counts().zip(&self.told) {
            let more = counted.saturating_sub(told.swap(counted, Ordering::Relaxed));
            if more > 0 {
                tracing::warn!(limit, clients = more, "cut clients off");
            }
        }
    }
}
