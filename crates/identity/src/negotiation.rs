//! How Windows' log-ins are checked, by API: keytabs for Kerberos, the store or a domain's program for NTLM.

pub(crate) mod helper;

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use countersign_negotiate::binding::{ChannelBinding, Demand, EndPointHash};
use countersign_negotiate::helper::Protocol;
use countersign_negotiate::kerberos::{Acceptor, KerberosError, Library, name_and_realm};
use countersign_negotiate::ntlm::{Mic, Names};
use hashbrown::HashMap;

use self::helper::Helpers;
use crate::rcu::Rcu;

/// How an API checks Kerberos.
#[derive(Clone, Debug)]
pub struct KerberosSettings {
    /// The file with the keys of the service, `HTTP/host@REALM`.
    pub keytab: PathBuf,
    /// Whose principals are let in; a principal of any other realm is refused, whatever its name.
    pub realms: Vec<String>,
    /// Which account a principal is.
    pub names: PrincipalNames,
    /// What becomes of a principal that has no account.
    pub first_sight: FirstSight,
    /// What is demanded of the channel binding.
    pub binding: Demand,
}

/// Which account a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalNames {
    /// `alice@EXAMPLE.TEST` is `alice`; principals with an instance (`alice/admin`) are nobody. For one realm.
    WithoutRealm,
    /// `alice@EXAMPLE.TEST` is `alice@EXAMPLE.TEST`.
    Whole,
}

/// What becomes of somebody who is proven and has no account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstSight {
    /// He is refused.
    Refuse,
    /// An account is made for him, without a password.
    Create {
        /// With these roles.
        roles: Vec<String>,
        /// Of this tenant.
        tenant: Option<String>,
    },
}

/// How an API checks NTLM.
#[derive(Clone, Debug)]
pub struct NtlmSettings {
    /// Who knows the passwords.
    pub verifier: NtlmVerifier,
    /// What the gate calls itself and its domain.
    pub names: Names,
    /// Whether clients must sign the exchange. A domain's program has its own mind about that.
    pub mic: Mic,
    /// What is demanded of the channel binding; the store's accounts alone.
    pub binding: Demand,
}

/// Who knows the passwords that NTLM proves.
#[derive(Clone, Debug)]
pub enum NtlmVerifier {
    /// The store, of accounts that opted in.
    Store,
    /// A program that asks a domain: Samba's `ntlm_auth`.
    Helper {
        /// The program.
        program: PathBuf,
        /// Its arguments, beside the one for the protocol.
        arguments: Vec<String>,
        /// What becomes of a user who has no account.
        first_sight: FirstSight,
    },
}

/// How an API checks either.
#[derive(Clone, Debug, Default)]
pub struct NegotiationSettings {
    /// Kerberos.
    pub kerberos: Option<KerberosSettings>,
    /// NTLM.
    pub ntlm: Option<NtlmSettings>,
}

/// Kerberos, ready.
pub(crate) struct Kerberos {
    pub(crate) acceptor: Arc<Acceptor>,
    pub(crate) settings: KerberosSettings,
}

/// NTLM, ready.
pub(crate) struct Ntlm {
    pub(crate) settings: NtlmSettings,
    pub(crate) helpers: Option<DomainHelpers>,
}

/// The program of a domain, for either form of its messages.
pub(crate) struct DomainHelpers {
    pub(crate) bare: Arc<Helpers>,
    pub(crate) spnego: Arc<Helpers>,
    pub(crate) first_sight: FirstSight,
}

/// What an API checks Windows' log-ins with.
pub(crate) struct Mechanisms {
    pub(crate) kerberos: Option<Kerberos>,
    pub(crate) ntlm: Option<Ntlm>,
}

impl Mechanisms {
    fn new(settings: NegotiationSettings) -> Result<Self, KerberosError> {
        let kerberos = match settings.kerberos {
            Some(settings) => {
                let acceptor = Arc::new(Acceptor::of_keytab(&Library::load()?, &settings.keytab)?);
                Some(Kerberos { acceptor, settings })
            }
            None => None,
        };
        let ntlm = settings.ntlm.map(|settings| {
            let helpers = match &settings.verifier {
                NtlmVerifier::Store => None,
                NtlmVerifier::Helper { program, arguments, first_sight } => {
                    let of = |protocol| Arc::new(Helpers::new(program, arguments, protocol));
                    let (bare, spnego) = (of(Protocol::Ntlm), of(Protocol::Spnego));
                    Some(DomainHelpers { bare, spnego, first_sight: first_sight.clone() })
                }
            };
            Ntlm { settings, helpers }
        });
        Ok(Self { kerberos, ntlm })
    }
}

/// By API.
#[derive(Default)]
pub(crate) struct Negotiations(Rcu<HashMap<String, Arc<Mechanisms>>>);

impl Negotiations {
    pub(crate) fn declare(&self, api: &str, settings: NegotiationSettings) -> Result<(), KerberosError> {
        let mechanisms = Arc::new(Mechanisms::new(settings)?);
        self.0.change(|all| all.insert(api.to_owned(), mechanisms));
        Ok(())
    }

    pub(crate) fn forget(&self, api: &str) {
        self.0.change(|all| all.remove(api));
    }

    pub(crate) fn of(&self, api: &str) -> Option<Arc<Mechanisms>> {
        self.0.read().get(api).cloned()
    }
}

/// The name of a principal's account, or why it can have none.
pub(crate) fn account_name<'p>(
    settings: &KerberosSettings,
    principal: &'p str,
) -> Result<&'p str, &'static str> {
    let Some((name, realm)) = name_and_realm(principal) else { return Err("the principal names no realm") };
    if !settings.realms.iter().any(|known| known == realm) {
        return Err("the principal is of a realm that is not let in");
    }
    match settings.names {
        _ if principal.contains('\\') => Err("the principal has characters that no account's name has"),
        PrincipalNames::Whole => Ok(principal),
        PrincipalNames::WithoutRealm if name.contains('/') => {
            Err("the principal is a service's, or has an instance")
        }
        PrincipalNames::WithoutRealm => Ok(name),
    }
}

/// `tls-server-end-point` of a certificate, if it has one (RFC 5929 section 4.1).
pub(crate) fn channel_binding(certificate: &[u8]) -> Option<ChannelBinding> {
    let algorithm = match EndPointHash::of_certificate(certificate)? {
        EndPointHash::Sha256 => &SHA256,
        EndPointHash::Sha384 => &SHA384,
        EndPointHash::Sha512 => &SHA512,
    };
    Some(ChannelBinding::tls_server_end_point(digest(algorithm, certificate).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_the_account_that_the_settings_say() {
        let check = |names, realms: &[&str], principal, expected: Result<&str, ()>| {
            let settings = KerberosSettings {
                keytab: PathBuf::new(),
                realms: realms.iter().map(|&realm| realm.to_owned()).collect(),
                names,
                first_sight: FirstSight::Refuse,
                binding: Demand::Off,
            };
            assert_eq!(account_name(&settings, principal).map_err(|_| ()), expected, "{principal}");
        };
        let short = PrincipalNames::WithoutRealm;
        check(short, &["EXAMPLE.TEST"], "alice@EXAMPLE.TEST", Ok("alice"));
        check(short, &["EXAMPLE.TEST"], "alice@OTHER.TEST", Err(()));
        check(short, &["EXAMPLE.TEST"], "alice@example.test", Err(()));
        check(short, &["EXAMPLE.TEST"], "alice/admin@EXAMPLE.TEST", Err(()));
        check(short, &["EXAMPLE.TEST"], r"alice\@EXAMPLE.TEST@OTHER.TEST", Err(()));
        check(short, &["EXAMPLE.TEST"], r"alice\@x@EXAMPLE.TEST", Err(()));
        check(short, &["EXAMPLE.TEST"], "alice", Err(()));
        check(short, &[], "alice@EXAMPLE.TEST", Err(()));
        let whole = PrincipalNames::Whole;
        check(whole, &["A.TEST", "B.TEST"], "alice@B.TEST", Ok("alice@B.TEST"));
        check(whole, &["A.TEST", "B.TEST"], "alice@C.TEST", Err(()));
    }
}
