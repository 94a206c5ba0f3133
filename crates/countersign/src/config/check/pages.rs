//! Checks what an API says about pages of other origins.

use crate::config::pages::SameSite;
use crate::config::report::Report;
use crate::config::tree::Api;

/// Reports what would let foreign pages do more than was meant.
pub(super) fn check(api: &Api, path: &str, report: &mut Report) {
    if api.same_site == Some(SameSite::None) && !api.csrf {
        let hint = "leave `same_site` out, or CSRF protection on";
        let message = "every page of the world could use its sessions, since `csrf` is off";
        report.add(&format!("{path}.same_site"), message, Some(hint.to_owned()));
    }
    if let Some(cors) = &api.cors {
        let key = |key: &str| format!("{path}.cors.{key}");
        if cors.origins.is_empty() {
            let hint = "name origins like \"https://desk.example\", or take [api.cors] away";
            report.add(&key("origins"), "no origin: no page could call", Some(hint.to_owned()));
        }
        let all = cors.origins.iter().position(|origin| origin.0 == "*");
        if let Some(at) = all.filter(|_| cors.credentials) {
            let hint = "name the origins, or take `credentials` away";
            let message = "every page of the world would get the user's answers";
            report.add(&format!("{}[{at}]", key("origins")), message, Some(hint.to_owned()));
        } else if let Some(at) = all.filter(|_| cors.origins.len() > 1) {
            report.add(&format!("{}[{at}]", key("origins")), "stands alone, or not at all", None);
        }
    }
}
