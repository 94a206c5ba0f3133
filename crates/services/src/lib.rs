//! Named services that an endpoint of a dialect mounts: what data cannot say.
//!
//! [`push`] is the Bayeux endpoint (CometD): channels that belong to sessions. [`centre`] is the contact centre: users
//! that are accounts of the gate, their devices, and agents who go ready. [`mounted`] builds what the APIs of a
//! configuration mount, answers the gate's calls, and ends whatever hangs on a session that ended. [`publish`] takes
//! events from services behind the gate.

pub mod centre;
pub mod mounted;
pub mod publish;
pub mod push;
