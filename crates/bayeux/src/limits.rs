//! What a message may be like, whoever sends it.

/// The longest body that is looked at: 64 messages of a kilobyte.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How deep arrays and objects may lie in each other: no event of any client is a tenth of that, and parsers behind
/// this one may use recursion.
pub const JSON_DEPTH_MAX: usize = 64;
/// Messages of one request. Clients put together what one turn of their program sends: a dozen.
pub const MESSAGES_MAX: usize = 64;
/// The longest channel name.
pub const CHANNEL_BYTES_MAX: usize = 255;
/// Segments of a channel name; a publish looks up two patterns for each.
pub const CHANNEL_SEGMENTS_MAX: usize = 16;
/// The longest message id that is echoed, as it is written, with its quotes. Clients count.
pub const ID_BYTES_MAX: usize = 64;
/// The longest event. It is kept once, however many wait for it.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Clients of one session. A browser with that many tabs is a loop.
pub const SESSION_CLIENTS_MAX: usize = 32;
/// Clients of one account, over all its sessions: a test's account, or a wall of screens.
pub const ACCOUNT_CLIENTS_MAX: usize = 256;
/// Clients of all; each is about a kilobyte, and a machine has no more connections than that.
pub const CLIENTS_MAX: usize = 1_000_000;
/// Subscriptions of one client: a page listens to a dozen channels.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Events that wait for one client, unacknowledged ones included: what a minute without a network brings.
pub const QUEUE_EVENTS_MAX: usize = 256;
/// Bytes of those events, and of all events in one answer: a request may speak for all clients of its session.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024;
