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
