//! Clients that were cut off, or failed, before or without a request that an access line could tell of.
//!
//! There may be very many of them at once, so that each is counted, and one line now and then says how many.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

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
    /// Too many frames of HTTP/2 that ask for nothing.
    ControlFrames,
}

impl Cut {
    /// All, with the names of their limits as the configuration has them.
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Connections, "connections"),
        (Self::ConnectionsPerAddress, "connections_per_address"),
        (Self::Handshake, "handshake_timeout"),
        (Self::Head, "header_timeout"),
        (Self::WriteStall, "write_timeout"),
        (Self::ControlFrames, "control_frames"),
    ];
}

/// Why a TLS handshake failed. What it was exactly is in the log at `debug`, with the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedHandshake {
    /// The client went away.
    Gone,
    /// The client said so: of our certificate, most of the time.
    RefusedByClient,
    /// No version, cipher or protocol in common.
    Incompatible,
    /// The client's own certificate, or that it has none.
    ClientCertificate,
    /// What came is not TLS.
    NotTls,
    /// Anything else.
    Other,
}

impl FailedHandshake {
    /// All, with their names.
    const ALL: [(Self, &'static str); 6] = [
        (Self::Gone, "gone"),
        (Self::RefusedByClient, "refused-by-client"),
        (Self::Incompatible, "incompatible"),
        (Self::ClientCertificate, "client-certificate"),
        (Self::NotTls, "not-tls"),
        (Self::Other, "other"),
    ];

    /// Of what a handshake ended with.
    pub(crate) fn of(error: &std::io::Error) -> Self {
        use rustls::Error;
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return Self::Gone;
        };
        if matches!(tls, Error::AlertReceived(_)) {
            Self::RefusedByClient
        } else if matches!(tls, Error::PeerIncompatible(_) | Error::NoApplicationProtocol) {
            Self::Incompatible
        } else if matches!(tls, Error::InvalidCertificate(_) | Error::NoCertificatesPresented) {
            Self::ClientCertificate
        } else if matches!(tls, Error::InvalidMessage(_)) {
            Self::NotTls
        } else {
            Self::Other
        }
    }
}

/// Why the HTTP engine refused a head by itself: nobody has seen a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is no HTTP, or has what the engine refuses; 400.
    Malformed,
    /// It is far beyond the limits; 431.
    TooLarge,
}

impl Unread {
    /// All, with their names.
    const ALL: [(Self, &'static str); 2] = [(Self::Malformed, "malformed"), (Self::TooLarge, "too-large")];
}

/// How many there were of each.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    limits: Tally<{ Cut::ALL.len() }>,
    handshakes: Tally<{ FailedHandshake::ALL.len() }>,
    heads: Tally<{ Unread::ALL.len() }>,
    /// Connections that the system did not hand out.
    missed: Tally<1>,
    /// The system's number of the last error of those.
    missed_why: AtomicI32,
}

impl Cuts {
    /// Counts one that was cut off.
    pub(crate) fn count(&self, cut: Cut) {
        self.limits.count(Cut::ALL.iter().position(|(other, _)| *other == cut));
    }

    /// Counts one whose handshake failed.
    pub(crate) fn count_handshake(&self, failed: FailedHandshake) {
        self.handshakes.count(FailedHandshake::ALL.iter().position(|(other, _)| *other == failed));
    }

    /// Counts one whose head the engine refused.
    pub(crate) fn count_unread(&self, why: Unread) {
        self.heads.count(Unread::ALL.iter().position(|(other, _)| *other == why));
    }

    /// Counts a try to take a connection that was in vain.
    pub(crate) fn count_missed(&self, error: &io::Error) {
        self.missed_why.store(error.raw_os_error().unwrap_or_default(), Ordering::Relaxed);
        self.missed.count(Some(0));
    }

    /// How many of them there were.
    pub(super) fn missed(&self) -> u64 {
        self.missed.counts().sum()
    }

    /// Each limit with how many were cut off at it.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Cut::ALL.iter().zip(self.limits.counts()).map(|((_, name), count)| (*name, count))
    }

    /// Each kind of failed handshake with how many there were.
    pub(super) fn handshakes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        FailedHandshake::ALL.iter().zip(self.handshakes.counts()).map(|((_, name), count)| (*name, count))
    }

    /// Each reason for which heads were refused with how many there were.
    pub(super) fn unread(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Unread::ALL.iter().zip(self.heads.counts()).map(|((_, name), count)| (*name, count))
    }

    /// Logs what was counted since the last time.
    pub(crate) fn tell(&self) {
        for ((_, limit), more) in Cut::ALL.iter().zip(self.limits.untold()) {
            if more > 0 {
                tracing::warn!(limit, clients = more, "cut clients off");
            }
        }
        for ((_, kind), more) in FailedHandshake::ALL.iter().zip(self.handshakes.untold()) {
            if more > 0 {
                tracing::warn!(tls.failure = kind, clients = more, "could not finish TLS handshakes");
            }
        }
        for ((_, kind), more) in Unread::ALL.iter().zip(self.heads.untold()) {
            if more > 0 {
                tracing::warn!(kind, clients = more, "could not read heads of requests");
            }
        }
        let tries: u64 = self.missed.untold().sum();
        if tries > 0 {
            let error = io::Error::from_raw_os_error(self.missed_why.load(Ordering::Relaxed));
            tracing::warn!(tries, %error, "could not accept connections");
        }
    }
}

/// Counts, and how much of them was told.
#[derive(Debug)]
struct Tally<const N: usize> {
    counted: [AtomicU64; N],
    told: [AtomicU64; N],
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        let none = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { counted: none(), told: none() }
    }
}

impl<const N: usize> Tally<N> {
    fn count(&self, place: Option<usize>) {
        if let Some(cell) = place.and_then(|place| self.counted.get(place)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.counted.iter().map(|cell| cell.load(Ordering::Relaxed))
    }

    /// Of each, how many there were since this was last asked.
    fn untold(&self) -> impl Iterator<Item = u64> + '_ {
        self.counts()
            .zip(&self.told)
            .map(|(counted, told)| counted.saturating_sub(told.swap(counted, Ordering::Relaxed)))
    }
}
