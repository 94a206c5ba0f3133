//! E4 and P-BAY8: every way in which something can end, against everything that lives on it.
//!
//! One row for each cause, one column for each channel: what is open in a session, and what is presented with each
//! request. Each is timed from the moment that the cause is acknowledged, and the worst of all is printed. What is
//! promised is one second. Where a cause does not end a channel, the cell says so, and the channel must go on.

mod agent;

use std::fmt;
use std::time::{Duration, Instant};

use countersign_auth::secret::Secret;
use countersign_identity::accounts::{AccountDraft, AccountError, AccountView, Standing};
use countersign_identity::service::By;
use countersign_identity::service::equivalents::NewPassword;

use agent::Agent;

/// What is promised.
pub(super) const BOUND: Duration = Duration::from_secs(1);
/// What a machine may take on top that runs other tests beside.
pub(super) const SLACK: Duration = Duration::from_secs(59);
/// Between two looks at a credential.
const LOOK: Duration = Duration::from_millis(5);

/// Three APIs with the same users: sessions with push channels, log-ins with refresh tokens, signed tokens.
const WORLD: &str = r#"
[[api]]
name    = "centre"
dialect = "genesys"
at      = ["/api/v2"]

[[api.route]]
at      = "/channel"
allow   = "authenticated"
upgrade = true

[[api.route]]
at    = "/**"
allow = "authenticated"

[[api]]
name    = "push"
dialect = "voltmx"
at      = ["push.example/"]

[[api.route]]
at    = "/**"
allow = "authenticated"

[[api]]
name    = "shop"
dialect = "enactor"
at      = ["shop.example/"]
enable  = ["basic"]
issuers."http://www.enactor.co/" = "self"

[[api.route]]
at    = "/**"
allow = "authenticated"
"#;

/// What ends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    EndContactCenterSession,
    OwnSessionEnded,
    AdministratorEndsSession,
    LogOutOfTokens,
    AdministratorEndsTokens,
    AdministratorEndsAllSessions,
    PasswordSet,
    RoleRemoved,
    AccountDisabled,
    AccountDeleted,
}

impl Cause {
    const ALL: [Cause; 10] = [
        Self::EndContactCenterSession,
        Self::OwnSessionEnded,
        Self::AdministratorEndsSession,
        Self::LogOutOfTokens,
        Self::AdministratorEndsTokens,
        Self::AdministratorEndsAllSessions,
        Self::PasswordSet,
        Self::RoleRemoved,
        Self::AccountDisabled,
        Self::AccountDeleted,
    ];

    /// What it is to a channel.
    fn to(self, channel: Channel) -> Fate {
        match (self, channel.lives_on()) {
            // One session or one log-in ends; what else its owner has is none of it.
            (
                Self::EndContactCenterSession | Self::OwnSessionEnded | Self::AdministratorEndsSession,
                Base::Session,
            )
            | (Self::LogOutOfTokens | Self::AdministratorEndsTokens, Base::LogIn) => Fate::Ends,
            (
                Self::EndContactCenterSession
                | Self::OwnSessionEnded
                | Self::AdministratorEndsSession
                | Self::LogOutOfTokens
                | Self::AdministratorEndsTokens,
                Base::Session | Base::LogIn | Base::SignedToken | Base::Password | Base::Account,
            ) => Fate::GoesOn,
            // All that was given out for a proof ends, and what is open. The password is neither: whoever knows it may
            // log in again, and what he could do by his role alone he can no longer.
            (Self::AdministratorEndsAllSessions | Self::RoleRemoved, Base::Password) => Fate::GoesOn,
            (
                Self::AdministratorEndsAllSessions | Self::RoleRemoved,
                Base::Session | Base::LogIn | Base::SignedToken | Base::Account,
            )
            | (
                Self::PasswordSet | Self::AccountDisabled | Self::AccountDeleted,
                Base::Session | Base::LogIn | Base::SignedToken | Base::Password | Base::Account,
            ) => Fate::Ends,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What becomes of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ends,
    GoesOn,
}

/// What a channel lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Session,
    LogIn,
    SignedToken,
    Password,
    /// The account as it was when something was opened.
    Account,
}

/// What somebody has open, or presents with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Channel {
    /// A held connect of the push channels.
    PushClient,
    /// A WebSocket to the service.
    WebSocket,
    /// An answer that goes on and on.
    Stream,
    /// A request whose answer has not begun.
    Waiting,
    /// A stream that a signed token opened.
    TokenStream,
    /// A stream that a password opened.
    PasswordStream,
    /// The session's cookie, in the next request.
    Cookie,
    /// The access token of a log-in.
    AccessToken,
    /// Its refresh token.
    RefreshToken,
    /// A signed token of the gate that was verified before.
    SignedToken,
    /// A password that was checked before.
    Password,
}

impl Channel {
    /// What is looked at first takes no time.
    const ALL: [Channel; 11] = [
        Self::Cookie,
        Self::AccessToken,
        Self::RefreshToken,
        Self::SignedToken,
        Self::Password,
        Self::PushClient,
        Self::WebSocket,
        Self::Stream,
        Self::Waiting,
        Self::TokenStream,
        Self::PasswordStream,
    ];

    fn lives_on(self) -> Base {
        match self {
            Self::PushClient | Self::WebSocket | Self::Stream | Self::Waiting | Self::Cookie => Base::Session,
            Self::AccessToken | Self::RefreshToken => Base::LogIn,
            Self::SignedToken | Self::TokenStream => Base::SignedToken,
            Self::Password => Base::Password,
            Self::PasswordStream => Base::Account,
        }
    }
}

impl Agent<'_> {
    /// Lets something end; it has when this returns, as far as whoever asked for it knows.
    fn end(&self, cause: Cause) {
        let world = &self.ground.world;
        let (service, now, by) = (world.service(), world.now(), By::gate());
        let reference = |api: &str| {
            let held = service.tokens(self.id, api, now).unwrap();
            held.first().unwrap_or_else(|| panic!("{cause}: nothing to end at {api}")).reference
        };
        match cause {
            Cause::EndContactCenterSession => {
                let body = r#"{"operationName":"EndContactCenterSession"}"#;
                assert_eq!(self.ground.send(&self.post("/me", body)).status(), 200);
            }
            Cause::OwnSessionEnded => {
                let path = format!("DELETE /api/v2/me/sessions/{} HTTP/1.1", reference("centre"));
                let request = self.post("", "").replacen("POST /api/v2 HTTP/1.1", &path, 1);
                assert_eq!(self.ground.send(&request).status(), 200);
            }
            Cause::AdministratorEndsSession => {
                assert!(world.block_on(service.end_session(self.id, reference("centre"), by, now)).unwrap());
            }
            Cause::LogOutOfTokens => {
                let request =
                    format!("POST /logout HTTP/1.1\nHost: push.example\nAuthorization: {}", self.access);
                assert_eq!(self.ground.send(&request).status(), 200);
            }
            Cause::AdministratorEndsTokens => {
                assert!(world.block_on(service.end_session(self.id, reference("push"), by, now)).unwrap());
            }
            Cause::AdministratorEndsAllSessions => {
                world.block_on(service.end_sessions(self.id, by, now)).unwrap();
            }
            Cause::PasswordSet => {
                let password = NewPassword::Lasting(Secret::new("quite another password"));
                world.block_on(service.set_password(self.id, password, Vec::new(), by, now)).unwrap();
            }
            Cause::RoleRemoved => {
                let bare = |view: &AccountView| {
                    Ok::<_, AccountError>(AccountDraft::new(&view.account.kind, &view.account.name))
                };
                world.block_on(service.update_account(self.id, bare, by, now)).unwrap();
            }
            Cause::AccountDisabled => {
                world.block_on(service.set_standing(self.id, Standing::Disabled, by, now)).unwrap();
            }
            Cause::AccountDeleted => world.block_on(service.delete_account(self.id, by, now)).unwrap(),
        }
    }
}

/// The slowest cell of the table so far.
#[derive(Default)]
struct Worst(Duration, String);

impl Worst {
    fn note(&mut self, took: Duration, what: impl FnOnce() -> String) {
        if took > self.0 {
            *self = Self(took, what());
        }
    }
}

#[test]
fn e4_whatever_ends_reaches_all_that_lives_on_it_within_a_second() {
    let ground = agent::ground(WORLD);
    let mut worst = Worst::default();
    for cause in Cause::ALL {
        let mut bystander = Agent::new(&ground, &format!("bystander-{cause}"));
        let mut agent = Agent::new(&ground, &format!("agent-{cause}"));
        agent.end(cause);
        let since = Instant::now();
        let mut row = Vec::new();
        // What ends first, so that nobody waits for what goes on.
        let (ends, stays): (Vec<_>, Vec<_>) =
            Channel::ALL.into_iter().partition(|channel| cause.to(*channel) == Fate::Ends);
        for channel in ends {
            let took = agent.is_over(channel, since);
            row.push(format!("{channel:?} {} ms", took.as_millis()));
            worst.note(took, || format!("{channel:?} after {cause}"));
            assert!(took <= BOUND + SLACK, "{channel:?} after {cause} took {took:?}");
        }
        for channel in stays {
            agent.goes_on(channel);
            row.push(format!("{channel:?} goes on"));
        }
        println!("{cause}: {}", row.join(", "));
        agent.is_told(cause);
        // Whoever else is there notices nothing.
        for channel in Channel::ALL {
            bystander.goes_on(channel);
        }
    }
    println!("worst of all: {} ms, {}; promised: {} ms", worst.0.as_millis(), worst.1, BOUND.as_millis());
}
