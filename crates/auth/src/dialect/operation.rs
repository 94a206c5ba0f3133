//! The closed list of what an endpoint can do.

use crate::dialect::service::Service;

/// What a call of the gate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Login, refresh, exchange, pair, anonymous start.
    Issue,
    /// Logout.
    End,
    /// Who am I, the CSRF token, a page, a version.
    Show,
    /// Always the same refusal.
    Refuse,
    /// The caller's sessions.
    SessionList,
    /// One of them.
    SessionShow,
    /// Makes an API key.
    KeyCreate,
    /// Lists keys.
    KeyList,
    /// Shows a key.
    KeyShow,
    /// Changes a key.
    KeyUpdate,
    /// Gives a key a new value.
    KeyRotate,
    /// Deletes a key.
    KeyDelete,
    /// Changes the caller's password.
    PasswordChange,
    /// Sends a browser to an issuer.
    IssuerLogin,
    /// Whatever a named service does.
    Service(Service),
}

/// What an operation is told beside the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inputs {
    pub(crate) required: &'static [&'static str],
    pub(crate) optional: &'static [&'static str],
}

impl Operation {
    /// All of them, in the order of the reference.
    pub const ALL: [Operation; 16] = [
        Self::Issue,
        Self::End,
        Self::Show,
        Self::Refuse,
        Self::SessionList,
        Self::SessionShow,
        Self::KeyCreate,
        Self::KeyList,
        Self::KeyShow,
        Self::KeyUpdate,
        Self::KeyRotate,
        Self::KeyDelete,
        Self::PasswordChange,
        Self::IssuerLogin,
        Self::Service(Service::Bayeux),
        Self::Service(Service::ContactCentre),
    ];

    /// Its name in dialect files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::End => "end",
            Self::Show => "show",
            Self::Refuse => "refuse",
            Self::SessionList => "session-list",
            Self::SessionShow => "session-show",
            Self::KeyCreate => "key-create",
            Self::KeyList => "key-list",
            Self::KeyShow => "key-show",
            Self::KeyUpdate => "key-update",
            Self::KeyRotate => "key-rotate",
            Self::KeyDelete => "key-delete",
            Self::PasswordChange => "password-change",
            Self::IssuerLogin => "issuer-login",
            Self::Service(service) => service.name(),
        }
    }

    /// The operation of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The service that it mounts.
    pub const fn service(self) -> Option<Service> {
        match self {
            Self::Service(service) => Some(service),
            Self::Issue
            | Self::End
            | Self::Show
            | Self::Refuse
            | Self::SessionList
            | Self::SessionShow
            | Self::KeyCreate
            | Self::KeyList
            | Self::KeyShow
            | Self::KeyUpdate
            | Self::KeyRotate
            | Self::KeyDelete
            | Self::IssuerLogin
            | Self::PasswordChange => None,
        }
    }

    pub(crate) const fn inputs(self) -> Inputs {
        let (required, optional): (&[&str], &[&str]) = match self {
            Self::Issue => (&[], &["force", "return_to"]),
            Self::End => (&[], &["session"]),
            Self::Show => (&[], &["return_to"]),
            Self::Refuse | Self::SessionList | Self::Service(_) => (&[], &[]),
            Self::SessionShow => (&["session"], &[]),
            Self::KeyCreate => (&[], &["owner", "label", "description", "expires", "endless"]),
            Self::KeyList => (&[], &["owner"]),
            Self::KeyShow | Self::KeyRotate | Self::KeyDelete => (&["key"], &["owner"]),
            Self::KeyUpdate => (&["key"], &["owner", "label", "description", "expires", "endless"]),
            Self::PasswordChange => (&["old", "new"], &["user"]),
            Self::IssuerLogin => (&["issuer"], &["return_to"]),
        };
        Inputs { required, optional }
    }

    /// Whether it manages API keys.
    pub(crate) const fn is_about_keys(self) -> bool {
        match self {
            Self::KeyCreate
            | Self::KeyList
            | Self::KeyShow
            | Self::KeyUpdate
            | Self::KeyRotate
            | Self::KeyDelete => true,
            Self::Issue
            | Self::End
            | Self::Show
            | Self::Refuse
            | Self::SessionList
            | Self::SessionShow
            | Self::PasswordChange
            | Self::IssuerLogin
            | Self::Service(_) => false,
        }
    }

    /// Whether it changes something, so that GET may not call it.
    pub(crate) const fn changes(self) -> bool {
        match self {
            Self::KeyCreate
            | Self::KeyUpdate
            | Self::KeyRotate
            | Self::KeyDelete
            | Self::PasswordChange
            | Self::End => true,
            // A pair or an access token may be asked for by GET: it changes nothing that exists. A service looks at the
            // method itself.
            Self::Issue
            | Self::IssuerLogin
            | Self::Service(_)
            | Self::Show
            | Self::Refuse
            | Self::SessionList
            | Self::SessionShow
            | Self::KeyList
            | Self::KeyShow => false,
        }
    }
}
