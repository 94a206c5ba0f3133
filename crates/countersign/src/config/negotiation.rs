//! `[api.kerberos]` and `[api.ntlm]`: how an API checks Windows' log-ins.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::Report;

/// `[api.kerberos]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kerberos {
    /// The file with the keys of the service `HTTP/host@REALM`.
    pub(crate) keytab: PathBuf,
    /// Whose principals are let in, as the realm is written: usually in capitals.
    pub(crate) realms: Vec<String>,
    /// Which account a principal is.
    #[serde(default)]
    pub(crate) account: PrincipalNames,
    /// Makes accounts for principals that have none; without it they are refused.
    #[serde(default)]
    pub(crate) create: Option<FirstSight>,
    /// Whether proofs must belong to the TLS connection that they come through.
    #[serde(default)]
    pub(crate) channel_binding: ChannelBinding,
}

/// Which account a principal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PrincipalNames {
    /// `alice@EXAMPLE.TEST` is the account `alice`. For one realm alone.
    #[default]
    User,
    /// `alice@EXAMPLE.TEST` is the account `alice@EXAMPLE.TEST`.
    Principal,
}

/// `create` of whoever is proven and has no account.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FirstSight {
    /// Roles of the new account.
    pub(crate) roles: Vec<String>,
    /// Tenant of the new account.
    pub(crate) tenant: Option<String>,
}

/// Whether a proof must belong to the TLS connection that it comes through (`tls-server-end-point`, RFC 5929).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChannelBinding {
    /// It is not looked at: TLS ends before the gate.
    #[default]
    Off,
    /// A wrong one is refused; there need be none.
    IfPresent,
    /// The right one must be there.
    Required,
}

/// `[api.ntlm]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ntlm {
    /// The NetBIOS name of the domain; sign-in windows show it, and users of other domains are refused.
    pub(crate) domain: String,
    /// The domain in DNS: `alice@` it is the account `alice`.
    pub(crate) dns_domain: String,
    /// The NetBIOS name of this machine.
    pub(crate) computer: String,
    /// The name of this machine in DNS.
    pub(crate) dns_computer: String,
    /// A program that asks the domain, with its arguments: Samba's ntlm_auth. Without it, accounts of the gate that
    /// opted in are checked.
    pub(crate) helper: Option<Vec<String>>,
    /// Makes accounts for users of the domain who have none; goes with `helper`.
    pub(crate) create: Option<FirstSight>,
    /// Whether clients must sign the exchange; curl cannot.
    pub(crate) mic: Mic,
    /// Whether proofs must belong to the TLS connection that they come through; does not go with `helper`.
    pub(crate) channel_binding: ChannelBinding,
}

/// Whether clients must sign the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mic {
    /// A signature that is announced must be right.
    #[default]
    IfPresent,
    /// There must be one.
    Required,
}

/// Names in NetBIOS have at most this many characters.
const NETBIOS_MAX: usize = 15;

/// Reports what is wrong with how an API checks Windows' log-ins.
pub(super) fn check(
    kerberos: Option<&Kerberos>,
    ntlm: Option<&Ntlm>,
    path: &str,
    folder: &Path,
    report: &mut Report,
) {
    if let Some(kerberos) = kerberos {
        check_kerberos(kerberos, &format!("{path}.kerberos"), folder, report);
    }
    if let Some(ntlm) = ntlm {
        check_ntlm(ntlm, &format!("{path}.ntlm"), report);
    }
}

/// A keytab begins with its format's number, 5, and version (MIT's `keytab_file_format`).
fn check_kerberos(kerberos: &Kerberos, path: &str, folder: &Path, report: &mut Report) {
    let keytab = folder.join(&kerberos.keytab);
    let mut add = |problem: String, hint: &str| {
        report.add(&format!("{path}.keytab"), problem, Some(hint.to_owned()));
    };
    let way_out = "make it with ktadd or ktpass, readable for the gate and nobody else";
    match std::fs::read(&keytab) {
        Ok(bytes) if bytes.starts_with(&[5]) => {}
        Ok(_) => add(format!("{} is no keytab", keytab.display()), way_out),
        Err(error) => add(format!("could not read {}: {error}", keytab.display()), way_out),
    }
    if kerberos.realms.is_empty() {
        let hint = "write realms = [\"EXAMPLE.COM\"]";
        report.add(&format!("{path}.realms"), "no realm: nobody would be let in", Some(hint.to_owned()));
    }
    if kerberos.realms.len() > 1 && kerberos.account == PrincipalNames::User {
        let problem = "one name of two realms would be one account";
        let hint = "write account = \"principal\", or name one realm";
        report.add(&format!("{path}.realms"), problem, Some(hint.to_owned()));
    }
}

fn check_ntlm(ntlm: &Ntlm, path: &str, report: &mut Report) {
    for (key, name) in [("domain", &ntlm.domain), ("computer", &ntlm.computer)] {
        if name.chars().count() > NETBIOS_MAX || name.contains('.') {
            let hint = "the short name, such as CORP; the long one is `dns_domain` or `dns_computer`";
            let problem = format!("`{name}` is no NetBIOS name");
            report.add(&format!("{path}.{key}"), problem, Some(hint.to_owned()));
        }
    }
    match &ntlm.helper {
        Some(helper) => {
            if helper.first().is_none_or(|program| !Path::new(program).is_absolute()) {
                let hint = "write helper = [\"/usr/bin/ntlm_auth\"]";
                let problem = "needs the whole path of a program";
                report.add(&format!("{path}.helper"), problem, Some(hint.to_owned()));
            }
            if ntlm.domain.is_empty() {
                let hint = "write domain = \"CORP\"";
                let problem = "a domain's program needs it: users of other domains are refused";
                report.add(&format!("{path}.domain"), problem, Some(hint.to_owned()));
            }
            if ntlm.channel_binding != ChannelBinding::Off || ntlm.mic != Mic::IfPresent {
                let problem = "checks the exchange itself: `channel_binding` and `mic` do not go with it";
                report.add(&format!("{path}.helper"), problem, None);
            }
        }
        None if ntlm.create.is_some() => {
            let problem = "goes with `helper`: without it only accounts that are there can be checked";
            report.add(&format!("{path}.create"), problem, None);
        }
        None => {}
    }
}
