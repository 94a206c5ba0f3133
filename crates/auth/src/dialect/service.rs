//! Named services: what an endpoint can mount beside operations, because a file cannot say it.

use std::collections::BTreeMap;
use std::time::Duration;

/// A service that is written in Rust and mounted by an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A Bayeux server (CometD): push channels that belong to sessions.
    Bayeux,
    /// Users, devices and agents of a contact centre.
    ContactCentre,
}

/// What an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// A time such as `20s`.
    Time,
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// A table: name = list of strings.
    Table,
}

impl OptionKind {
    /// As the reference names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Text => "string",
            Self::Texts => "list of strings",
            Self::Table => "table: channel = list of roles",
        }
    }
}

impl Service {
    /// All of them, in the order of the reference.
    pub const ALL: [Service; 2] = [Self::Bayeux, Self::ContactCentre];

    /// Its name in dialect files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bayeux => "bayeux",
            Self::ContactCentre => "contact-centre",
        }
    }

    /// What its `options` may say: name, kind, meaning.
    pub const fn options(self) -> &'static [(&'static str, OptionKind, &'static str)] {
        match self {
            Self::Bayeux => &[
                ("hold", OptionKind::Time, "A connect is held that long at most. Default 20 s."),
                ("channels", OptionKind::Texts, "Channels and patterns that every caller may listen to."),
                ("roles", OptionKind::Table, "Further ones, for callers with one of these roles."),
                (
                    "publish",
                    OptionKind::Table,
                    "Where callers with one of these roles may publish. Default: nowhere.",
                ),
            ],
            Self::ContactCentre => &[
                ("version", OptionKind::Text, "What `/diagnostics/version` says."),
                ("agents", OptionKind::Texts, "Roles of those who take calls."),
                ("administrators", OptionKind::Texts, "Roles of those who may create and change users."),
                ("readers", OptionKind::Texts, "Roles of those who may look at users."),
                (
                    "roles",
                    OptionKind::Texts,
                    "Roles that users may be given here. Accounts with any other role are no users of this service: it neither shows nor changes them.",
                ),
                ("media", OptionKind::Texts, "Channels that an agent may log in to: voice, chat, ..."),
            ],
        }
    }
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// See [`OptionKind::Time`].
    Time(Duration),
    /// See [`OptionKind::Text`].
    Text(String),
    /// See [`OptionKind::Texts`].
    Texts(Vec<String>),
    /// See [`OptionKind::Table`].
    Table(BTreeMap<String, Vec<String>>),
}

/// What an endpoint says to the service that it mounts; every name and kind was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceOptions(pub(crate) BTreeMap<&'static str, OptionValue>);

impl ServiceOptions {
    /// A time.
    pub fn time(&self, name: &str) -> Option<Duration> {
        match self.0.get(name) {
            Some(OptionValue::Time(time)) => Some(*time),
            Some(OptionValue::Text(_) | OptionValue::Texts(_) | OptionValue::Table(_)) | None => None,
        }
    }

    /// A string.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(OptionValue::Text(text)) => Some(text),
            Some(OptionValue::Time(_) | OptionValue::Texts(_) | OptionValue::Table(_)) | None => None,
        }
    }

    /// A list of strings; empty if it is not given.
    pub fn texts(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(OptionValue::Texts(texts)) => texts,
            Some(OptionValue::Time(_) | OptionValue::Text(_) | OptionValue::Table(_)) | None => &[],
        }
    }

    /// Names with their lists; none if it is not given.
    pub fn table(&self, name: &str) -> impl Iterator<Item = (&str, &[String])> {
        let table = match self.0.get(name) {
            Some(OptionValue::Table(table)) => Some(table),
            Some(OptionValue::Time(_) | OptionValue::Text(_) | OptionValue::Texts(_)) | None => None,
        };
        table.into_iter().flatten().map(|(name, texts)| (name.as_str(), texts.as_slice()))
    }
}
