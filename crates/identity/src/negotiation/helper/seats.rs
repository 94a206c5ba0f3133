//! Who may have an exchange with a program, and whose gives way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use countersign_auth::source::Source;

use super::{Turn, take_out};

/// Exchanges at once, each of which keeps a process from its first message to its last.
const EXCHANGES_MAX: usize = 32;
/// Exchanges at once from one address. A browser opens six connections to a host, each with an exchange of its own.
const PER_ADDRESS_MAX: usize = 8;

/// Where the process of an exchange waits for its client.
#[derive(Default)]
pub(super) enum Place {
    /// It is at work, or the exchange is over.
    #[default]
    Nowhere,
    /// Here.
    Waits(Box<Turn>),
    /// Another exchange of the same address has it. Whoever gives way to others has come too late, as if his time had been
    /// over: what he is charged with stays, or a few addresses could push everybody out as often as they like.
    GaveWay,
}

/// The place of one exchange.
pub(super) type Slot = Arc<Mutex<Place>>;

struct Taken {
    number: u64,
    source: Source,
    slot: Weak<Mutex<Place>>,
}

impl Taken {
    /// Ends the exchange if it waits for its client, for another one of a source.
    fn give_way(&self, to: Source) -> Option<Turn> {
        let slot = self.slot.upgrade()?;
        take_out(&slot, if self.source == to { Place::GaveWay } else { Place::Nowhere })
    }
}

#[derive(Default)]
struct Table {
    last: u64,
    /// The oldest first.
    taken: Vec<Taken>,
}

impl Table {
    /// Makes room among these if there are too many: the oldest gives way that waits for its client.
    fn room(
        &mut self,
        most: usize,
        newcomer: Source,
        is_meant: impl Fn(&Taken) -> bool,
        given_way: &mut Vec<Turn>,
    ) -> Option<()> {
        if self.taken.iter().filter(|taken| is_meant(taken)).count() < most {
            return Some(());
        }
        let meant = self.taken.iter().enumerate().filter(|(_, taken)| is_meant(taken));
        let (place, turn) =
            meant.filter_map(|(place, taken)| Some((place, taken.give_way(newcomer)?))).next()?;
        self.taken.remove(place);
        given_way.push(turn);
        Some(())
    }
}

/// All exchanges with a program.
#[derive(Default)]
pub(super) struct Seats(Mutex<Table>);

impl Seats {
    /// A seat for an exchange whose process will wait in a slot, and those whose exchanges ended for it; `None` if all
    /// that could give way are at work.
    pub(super) fn take(self: &Arc<Self>, source: Source, slot: &Slot) -> Option<(Seat, Vec<Turn>)> {
        let mut given_way = Vec::new();
        let mut table = self.table();
        let has_room = table
            .room(PER_ADDRESS_MAX, source, |taken| taken.source == source, &mut given_way)
            .and_then(|()| table.room(EXCHANGES_MAX, source, |_| true, &mut given_way));
        let seat = has_room.map(|()| {
            table.last += 1;
            let number = table.last;
            table.taken.push(Taken { number, source, slot: Arc::downgrade(slot) });
            Seat { number, seats: Arc::clone(self) }
        });
        // Their seats go with them, and ask for the table.
        drop(table);
        Some((seat?, given_way))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the exchanges of a program; free again when it is dropped.
pub(super) struct Seat {
    number: u64,
    seats: Arc<Seats>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.table().taken.retain(|taken| taken.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::IpAddr;

    use super::*;

    /// Exchanges whose processes are at work give way to nobody.
    #[test]
    fn so_many_exchanges_are_under_way_and_so_many_of_one_address() {
        let (seats, slot) = (Arc::new(Seats::default()), Slot::default());
        let take = |address: usize| {
            let address = IpAddr::from([192, 0, 2, u8::try_from(address).unwrap()]);
            seats.take(Source::of(address), &slot).map(|(seat, _)| seat)
        };
        let mut taken: Vec<Seat> = (0..PER_ADDRESS_MAX).map(|_| take(0).unwrap()).collect();
        assert!(take(0).is_none(), "one more of an address");
        taken.extend((PER_ADDRESS_MAX..EXCHANGES_MAX).map(|number| take(number).unwrap()));
        assert!(take(200).is_none(), "one more of all");
        taken.pop();
        taken.push(take(200).unwrap());
        assert!(take(201).is_none());
    }
}
