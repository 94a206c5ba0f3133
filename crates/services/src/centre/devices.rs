//! Devices: telephones that belong to users.

use std::fmt::Write as _;

use countersign_auth::account::{Account, AccountId};
use countersign_auth::port::services::{ServiceAnswer, ServiceCall};
use countersign_auth::refusal::{Reason, Refusal};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::agents::{Agent, object};
use super::answer::{Code, Failure, done, done_with};
use super::fields::Query;
use super::{Caller, Centre};

/// Devices of one user.
const DEVICES_MAX: usize = 32;
/// A number of E.164 has 15 digits; inside of a company there are dial strings with pauses and extensions.
const NUMBER_CHARS_MAX: usize = 32;

/// A device, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    id: String,
    phone: String,
}

impl Device {
    fn json(&self, base: &str, agent: &Agent) -> Map<String, Value> {
        let path = format!("/devices/{}", self.id);
        let mut members = self.common(agent);
        members.extend([
            ("uri".to_owned(), format!("{base}{path}").into()),
            ("path".to_owned(), path.into()),
            ("model".to_owned(), "CloudDevice".into()),
            ("vendor".to_owned(), "Genesys".into()),
            ("channels".to_owned(), json!(["voice"])),
        ]);
        members
    }

    /// In an event, with its user's state.
    pub(crate) fn event(&self, agent: &Agent) -> Value {
        let mut members = self.common(agent);
        members.insert("userState".to_owned(), agent.state().json());
        members.insert("doNotDisturb".to_owned(), "Off".into());
        members.insert("capabilities".to_owned(), json!(["ForwardCallsOn", "DoNotDisturbOn"]));
        members.into()
    }

    fn common(&self, agent: &Agent) -> Map<String, Value> {
        let is_public = self.phone.starts_with('+');
        let mut members = Map::from_iter([
            ("id".to_owned(), self.id.as_str().into()),
            ("deviceState".to_owned(), device_state(agent).into()),
            ("phoneNumber".to_owned(), self.phone.as_str().into()),
            ("telephonyNetwork".to_owned(), if is_public { "Public" } else { "Private" }.into()),
        ]);
        if is_public {
            members.insert("e164Number".to_owned(), self.phone.as_str().into());
        }
        members
    }
}

/// Whether a property of a device is, or holds, this.
fn has(device: &Map<String, Value>, name: &str, wanted: &str) -> bool {
    let is_it = |value: &Value| value.as_str() == Some(wanted);
    device.get(name).is_some_and(|value| match value.as_array() {
        Some(items) => items.iter().any(is_it),
        None => is_it(value),
    })
}

fn device_state(agent: &Agent) -> &'static str {
    if agent.is_logged_in() { "Active" } else { "Inactive" }
}

/// What is told of an agent who has no device.
pub(crate) fn stateless(agent: &Agent) -> Value {
    json!({ "deviceState": device_state(agent), "userState": agent.state().json() })
}

/// All devices, by their users.
#[derive(Debug, Default)]
pub(crate) struct Devices(HashMap<AccountId, Vec<Device>>);

impl Devices {
    /// Reads what was noted; what cannot be understood is left out and said.
    pub(crate) fn read(notes: Vec<(AccountId, String)>) -> Self {
        let read = |(account, note): (AccountId, String)| match serde_json::from_str(&note) {
            Ok(devices) => Some((account, devices)),
            Err(error) => {
                tracing::error!(account.id = account.0, %error, "could not understand the devices of a user");
                None
            }
        };
        Self(notes.into_iter().filter_map(read).collect())
    }

    pub(crate) fn of(&self, account: AccountId) -> Vec<Device> {
        self.0.get(&account).cloned().unwrap_or_default()
    }

    pub(crate) fn forget(&mut self, account: AccountId) {
        self.0.remove(&account);
    }

    fn owner_of_number(&self, phone: &str, is_seen: impl Fn(AccountId) -> bool) -> Option<AccountId> {
        let has = |devices: &Vec<Device>| devices.iter().any(|device| device.phone == phone);
        self.0
            .iter()
            .find(|(account, devices)| has(devices) && is_seen(**account))
            .map(|(account, _)| *account)
    }

    fn owner_of(&self, id: &str) -> Option<(AccountId, Device)> {
        self.0.iter().find_map(|(account, devices)| {
            devices.iter().find(|device| device.id == id).map(|device| (*account, device.clone()))
        })
    }
}

impl Centre {
    pub(super) fn devices_of(&self, base: &str, account: AccountId) -> Vec<Value> {
        let agent = self.agents().of(account);
        self.devices().of(account).iter().map(|device| device.json(base, &agent).into()).collect()
    }

    pub(super) fn list_devices(&self, me: &Caller<'_>, account: AccountId, query: &Query) -> ServiceAnswer {
        let agent = self.agents().of(account);
        let devices = self.devices().of(account);
        let shown = devices.iter().map(|device| device.json(me.base, &agent));
        let shown = shown.filter(|one| query.matches(|name, wanted| has(one, name, wanted)));
        let (offset, limit) = query.part();
        let shown = shown.skip(offset).take(limit);
        if query.wants_fields() {
            let devices: Vec<Value> = shown.map(|one| query.select(one).into()).collect();
            done_with(json!({ "devices": devices }))
        } else {
            let uris: Vec<Value> = shown.filter_map(|mut one| one.remove("uri")).collect();
            done_with(json!({ "uris": uris }))
        }
    }

    /// Makes a device for a user (`phoneNumber`), or gives him one that there is (`uri`).
    pub(super) async fn add_device(
        &self,
        me: &Caller<'_>,
        user: &Account,
        call: &ServiceCall,
    ) -> Result<ServiceAnswer, Failure> {
        if !user.roles.iter().any(|role| self.options.agents.contains(role)) {
            return Err(Failure::new(Code::State, "Devices are given to agents"));
        }
        let body = object(call)?;
        let _turn = self.changes.enter(me.account.id).await?;
        let _one_at_a_time = self.changing_devices.lock().await;
        let mut own = self.devices().of(user.id);
        if own.len() >= DEVICES_MAX {
            return Err(Failure::new(Code::State, "The user has as many devices as he may"));
        }
        let (device, loser) = match (body.get("phoneNumber"), body.get("uri")) {
            (Some(Value::String(phone)), _) => (self.new_device(me, phone)?, None),
            (None, Some(Value::String(uri))) => self.given_device(me, uri)?,
            (None, None) => return Err(Failure::missing("phoneNumber")),
            (Some(_), _) => return Err(Failure::invalid("phoneNumber", "is no string")),
            (None, Some(_)) => return Err(Failure::invalid("uri", "is no string")),
        };
        if loser == Some(user.id) {
            return Ok(done());
        }
        let left = loser.map(|loser| {
            let mut left = self.devices().of(loser);
            left.retain(|other| other.id != device.id);
            (loser, left)
        });
        let id = device.id.clone();
        own.push(device);
        self.keep(left.into_iter().chain([(user.id, own)]).collect()).await?;
        let path = format!("/devices/{id}");
        Ok(done_with(json!({ "id": id, "uri": format!("{}{path}", me.base), "path": path })))
    }

    pub(super) async fn remove_device(
        &self,
        me: &Caller<'_>,
        user: &Account,
        id: &str,
    ) -> Result<ServiceAnswer, Failure> {
        let _turn = self.changes.enter(me.account.id).await?;
        let _one_at_a_time = self.changing_devices.lock().await;
        let mut own = self.devices().of(user.id);
        let before = own.len();
        own.retain(|device| device.id != id);
        if own.len() == before {
            return Err(Failure::new(Code::NotFound, "Device not found"));
        }
        self.keep(vec![(user.id, own)]).await?;
        Ok(done())
    }

    /// Notes what users have now, of all of them or of none, and then shows it.
    async fn keep(&self, changed: Vec<(AccountId, Vec<Device>)>) -> Result<(), Failure> {
        let note = |(user, devices): &(AccountId, Vec<Device>)| {
            (*user, (!devices.is_empty()).then(|| json!(devices).to_string()))
        };
        let notes = changed.iter().map(note).collect();
        let noted = self.service.note_all(&self.names.device_notes(), notes).await;
        noted.map_err(|error| Failure::Gate(error.into()))?;
        self.devices().0.extend(changed);
        Ok(())
    }

    fn is_of_tenant(&self, me: &Caller<'_>, account: AccountId) -> bool {
        self.service.account(account).is_some_and(|view| view.account.tenant == me.account.tenant)
    }

    fn new_device(&self, me: &Caller<'_>, phone: &str) -> Result<Device, Failure> {
        let is_dialled = |c: char| c.is_ascii_alphanumeric() || "+*#-.() ,".contains(c);
        if phone.is_empty() {
            return Err(Failure::missing("phoneNumber"));
        }
        if phone.chars().count() > NUMBER_CHARS_MAX || !phone.chars().all(is_dialled) {
            return Err(Failure::invalid("phoneNumber", "is no number that could be dialled"));
        }
        if self.devices().owner_of_number(phone, |owner| self.is_of_tenant(me, owner)).is_some() {
            return Err(Failure::new(Code::InUse, format!("The number '{phone}' is already in use.")));
        }
        Ok(Device { id: self.draw_uuid()?, phone: phone.to_owned() })
    }

    fn given_device(&self, me: &Caller<'_>, uri: &str) -> Result<(Device, Option<AccountId>), Failure> {
        let id = uri.rsplit_once("/devices/").map_or(uri, |(_, id)| id);
        let found = self.devices().owner_of(id).filter(|(owner, _)| self.is_of_tenant(me, *owner));
        let (owner, device) = found.ok_or_else(|| Failure::new(Code::NotFound, "Device not found"))?;
        // Only who may change users takes a device from one of them.
        if owner != me.account.id {
            self.need(me, &self.options.administrators)?;
        }
        Ok((device, Some(owner)))
    }

    /// A random UUID (RFC 9562 version 4).
    fn draw_uuid(&self) -> Result<String, Failure> {
        let mut bytes = [0_u8; 16];
        self.random
            .fill(&mut bytes)
            .map_err(|error| Failure::Gate(Refusal::new(Reason::Unavailable, error.0)))?;
        let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{number:032x}");
        let mut text = String::with_capacity(36);
        for (at, digit) in hex.char_indices() {
            if matches!(at, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            let _ = write!(text, "{digit}");
        }
        Ok(text)
    }
}
