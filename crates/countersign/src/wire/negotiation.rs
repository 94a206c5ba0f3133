//! How the APIs of a configuration check Windows' log-ins.

use countersign_auth::api::Mechanism;
use countersign_identity::negotiation::{
    FirstSight, KerberosSettings, NegotiationSettings, NtlmSettings, NtlmVerifier, PrincipalNames,
};
use countersign_negotiate::binding::Demand;
use countersign_negotiate::ntlm::{Mic, Names};

use crate::config::negotiation as config;
use crate::config::{Api, Loaded};

/// By what `negotiate` and `ntlm` credentials of an API can be proven.
pub(super) fn mechanisms(api: &Api) -> Vec<Mechanism> {
    let kerberos = api.kerberos.as_ref().map(|_| Mechanism::Kerberos);
    let ntlm = api.ntlm.as_ref().map(|_| Mechanism::Ntlm);
    kerberos.into_iter().chain(ntlm).collect()
}

/// The settings of an API; `None` if it checks neither.
pub(super) fn settings(loaded: &Loaded, api: &Api) -> Option<NegotiationSettings> {
    if api.kerberos.is_none() && api.ntlm.is_none() {
        return None;
    }
    let kerberos = api.kerberos.as_ref().map(|kerberos| KerberosSettings {
        keytab: loaded.path(&kerberos.keytab),
        realms: kerberos.realms.clone(),
        names: match kerberos.account {
            config::PrincipalNames::User => PrincipalNames::WithoutRealm,
            config::PrincipalNames::Principal => PrincipalNames::Whole,
        },
        first_sight: first_sight(kerberos.create.as_ref()),
        binding: demand(kerberos.channel_binding),
    });
    Some(NegotiationSettings { kerberos, ntlm: api.ntlm.as_ref().map(ntlm) })
}

fn ntlm(ntlm: &config::Ntlm) -> NtlmSettings {
    let verifier = match ntlm.helper.as_deref() {
        Some([program, arguments @ ..]) => NtlmVerifier::Helper {
            program: program.into(),
            arguments: arguments.to_vec(),
            first_sight: first_sight(ntlm.create.as_ref()),
        },
        Some([]) | None => NtlmVerifier::Store,
    };
    NtlmSettings {
        verifier,
        names: Names {
            domain: ntlm.domain.clone(),
            computer: ntlm.computer.clone(),
            dns_domain: ntlm.dns_domain.clone(),
            dns_computer: ntlm.dns_computer.clone(),
        },
        mic: match ntlm.mic {
            config::Mic::IfPresent => Mic::IfPresent,
            config::Mic::Required => Mic::Required,
        },
        binding: demand(ntlm.channel_binding),
    }
}

fn first_sight(create: Option<&config::FirstSight>) -> FirstSight {
    match create {
        Some(create) => FirstSight::Create { roles: create.roles.clone(), tenant: create.tenant.clone() },
        None => FirstSight::Refuse,
    }
}

const fn demand(binding: config::ChannelBinding) -> Demand {
    match binding {
        config::ChannelBinding::Off => Demand::Off,
        config::ChannelBinding::IfPresent => Demand::IfPresent,
        config::ChannelBinding::Required => Demand::Required,
    }
}
