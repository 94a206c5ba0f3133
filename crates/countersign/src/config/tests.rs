#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod places;

use std::path::Path;

use super::{Loaded, schema};

const GOOD: &str = r#"
[[listener]]
name = "main"
address = "127.0.0.1:8080"

[[api]]
name = "one"
dialect = "./dialect.toml"
at = ["/one"]
upstream = "http://127.0.0.1:9000"
token.session = { idle = "30m", per_account = 3 }
issuers."https://issuer.example" = "self"

[[api.route]]
at = "GET /x/**"
allow = { roles = ["admin"], max_age = "1h" }

[[api]]
name = "two"
dialect = "./dialect.toml"
at = ["two.example/", "two.example/one"]
upstream = { backends = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"], health = "/live" }
shared.device = { file = "device.txt" }

[[api.route]]
at = "/**"
allow = "authenticated"
"#;

const DIALECT: &str = r#"
deployments = ["strict", "trusting"]
[credential.who]
scheme = "unproven"
deployments = ["trusting"]
[token.session]
kind = "session"
[token.device]
kind = "shared"
[token.key]
kind = "key"
[token.signed]
kind = "jwt"
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dialect.toml"), DIALECT).unwrap();
    std::fs::write(folder.path().join("device.txt"), "sixteen-letters.\n").unwrap();
    std::fs::write(folder.path().join("short.txt"), "fifteen-letters\n").unwrap();
    std::fs::write(folder.path().join("empty.txt"), "\n").unwrap();
    folder
}

fn mistakes(text: &str) -> Vec<String> {
    let folder = folder();
    match Loaded::parse(Path::new("c.toml"), folder.path(), text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => {
            let here = format!("{}/", folder.path().display());
            mistakes.iter().map(|mistake| mistake.to_string().replace(&here, "").replace("./", "")).collect()
        }
    }
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(mistakes(GOOD), [""; 0]);
}

#[test]
fn every_bad_edit_is_told_with_line_key_and_hint() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/bad-edits.txt");
    let cases = std::fs::read_to_string(&file).unwrap();
    let mut written = String::new();
    for case in cases.split("\n\n").filter(|case| !case.trim().is_empty()) {
        let lines =
            |mark: &str| -> Vec<&str> { case.lines().filter_map(|line| line.strip_prefix(mark)).collect() };
        let (from, to) = (lines("- ").join("\n"), lines("+ ").join("\n"));
        assert!(GOOD.contains(&from), "no such text in the good file: {from}");
        let found = mistakes(&GOOD.replacen(&from, &to, 1));
        let edit = case.lines().filter(|line| !line.starts_with("! "));
        let found = found.iter().map(|mistake| format!("! {mistake}"));
        let told: Vec<String> = edit.map(str::to_owned).chain(found).collect();
        let told = told.join("\n");
        if std::env::var_os("UPDATE").is_none() {
            assert_eq!(case.trim_end(), told, "run with UPDATE=1 and read the difference");
        }
        written.push_str(&format!("{told}\n\n"));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &written).unwrap();
    }
}

#[test]
fn a_dialect_that_is_misspelt_is_suggested() {
    let name = crate::dialects::EMBEDDED[0].name;
    let typo = GOOD.replacen("./dialect.toml", &format!("{name}x"), 1);
    let expected =
        format!("c.toml:8: api[0].dialect: no dialect is called `{name}x`; did you mean `{name}`?");
    assert_eq!(mistakes(&typo), [expected]);
}

#[test]
fn a_believed_header_and_an_open_listener_must_be_said_twice() {
    let open = GOOD.replace("127.0.0.1:8080", "0.0.0.0:8080");
    let trusting = open.replacen("at = [\"/one\"]", "at = [\"/one\"]\ndeployment = \"trusting\"", 1);
    let enabled = open.replacen("at = [\"/one\"]", "at = [\"/one\"]\nenable = [\"who\"]", 1);
    let expected = "c.toml:6: api[0]: believes whatever a caller says as `who`, and other machines can reach \
                    listener `main` at 0.0.0.0:8080; listen on 127.0.0.1, or write dangerous = [\"who\", \
                    \"unproven-from-anywhere\"]";
    assert_eq!(mistakes(&open), [""; 0]);
    assert_eq!(mistakes(&trusting), [expected]);
    assert_eq!(mistakes(&enabled), [expected]);
    let said = trusting.replacen(
        "[[api.route]]",
        "dangerous = [\"who\", \"unproven-from-anywhere\"]\n[[api.route]]",
        1,
    );
    assert_eq!(mistakes(&said), [""; 0]);
    // On this machine alone, and what stands before it brings the requests of others.
    let trusting = trusting.replacen("0.0.0.0:8080", "127.0.0.1:8080", 1);
    assert_eq!(mistakes(&trusting), [""; 0]);
    let check = |table: &str, how: &str, hint: &str| {
        let (listener, network) = match table.starts_with('[') {
            true => (trusting.clone(), table),
            false => (trusting.replacen("\n\n[[api]]", &format!("\n{table}\n\n[[api]]"), 1), ""),
        };
        let told = mistakes(&format!("{listener}\n{network}\n"));
        assert_eq!(told.len(), usize::from(!how.is_empty()), "{table}: {told:#?}");
        let expected = format!("listener `main` at 127.0.0.1:8080 through {how}; {hint}");
        assert!(told.iter().all(|told| told.contains(&expected)), "{told:#?}");
    };
    let here = ("a proxy of this machine", "take this machine out of `network.trusted_proxies`");
    for network in ["127.0.0.1", "127.0.0.0/8", "::1", "::/1", "::ffff:127.0.0.1"] {
        check(&format!("[network]\ntrusted_proxies = [\"10.0.0.0/8\", \"{network}\"]"), here.0, here.1);
    }
    check("[network]\ntrusted_proxies = [\"10.0.0.0/8\", \"fe80::/10\"]", "", "");
    let balancer = ("what sends it the PROXY protocol", "take its `proxy_protocol_from` away");
    check("proxy_protocol_from = [\"127.0.0.1\"]", balancer.0, balancer.1);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let bad =
        GOOD.replace("name = \"main\"", "nam = \"main\"").replace("/x/**", "x").replace("\"self\"", "7");
    assert_eq!(mistakes(&bad).len(), 4, "{:#?}", mistakes(&bad));
    let bad = GOOD
        .replace("device.txt", "none.txt")
        .replace("\"two\"", "\"one\"")
        .replace("dialect.toml", "d.toml");
    assert_eq!(mistakes(&bad).len(), 4, "{:#?}", mistakes(&bad));
    assert_eq!(mistakes("").len(), 2);
}

#[test]
fn the_checked_in_schema_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.schema.json");
    let mut expected = serde_json::to_string_pretty(&schema()).unwrap();
    expected.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "docs/config.schema.json is out of date; run with UPDATE=1");
}

/// Configurations of the documentation, each with its page.
fn documented() -> Vec<(String, String)> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&path).unwrap();
            let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
            let whole = blocks.filter(|block| block.contains("[[listener]]") && block.contains("[[api]]"));
            found.extend(whole.map(|block| (path.display().to_string(), block.to_owned())));
        }
    }
    found
}

#[test]
fn configurations_of_the_documentation_work_when_they_are_pasted() {
    let documented = documented();
    assert!(documented.len() >= 2, "{}", documented.len());
    for (page, text) in documented {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        // Files that a configuration names: certificates, with one key for all, and secrets.
        for name in text.split('"').filter(|name| !name.contains(['/', ' ', '='])) {
            let file = folder.path().join(name);
            match name.rsplit_once('.').map(|(_, extension)| extension) {
                Some("pem") => {
                    std::fs::write(file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
                }
                // The first byte of the format.
                Some("keytab") => std::fs::write(file, [5, 2]).unwrap(),
                Some("password" | "authorization" | "secret") => {
                    std::fs::write(file, "a secret that nobody guesses\n").unwrap()
                }
                Some(_) | None => {}
            }
        }
        let loaded = Loaded::parse(Path::new("countersign.toml"), folder.path(), &text);
        let loaded = loaded.unwrap_or_else(|mistakes| panic!("{page}: {mistakes:#?}"));
        let problems = crate::wire::problems(&loaded);
        assert!(problems.is_empty(), "{page}: {problems:#?}");
    }
}

/// What is wrong with a good file to which this is added.
fn problems(added: &str) -> Vec<String> {
    let folder = folder();
    let loaded = Loaded::parse(Path::new("c.toml"), folder.path(), &format!("{GOOD}\n{added}")).unwrap();
    let lines = |mistake: &super::Mistake| format!("{}: {}", mistake.key, mistake.message);
    let problems = crate::wire::directory_problems(&loaded);
    problems.iter().map(lines).collect()
}

#[test]
fn directories_are_checked_before_anything_is_asked() {
    let ldap = |servers: &str, rest: &str| {
        format!("[directory.corp.ldap]\nservers = [\"{servers}\"]\nbase = \"o=x\"\n{rest}")
    };
    let direct = "bind = \"uid={user},o=x\"";
    assert_eq!(problems(&ldap("ldaps://dc1.example", direct)), [""; 0]);
    assert_eq!(problems(&ldap("ldap://127.0.0.1:389", direct)), [""; 0]);
    let check = |added: &str, expected: &str| assert_eq!(problems(added), [expected], "{added}");
    check(
        &ldap("ldap://dc1.example", direct),
        "directory.corp.ldap.servers[0]: would carry passwords in clear; write ldaps://, or start_tls = true",
    );
    check(
        &ldap("ldap://127.0.0.1.example", direct),
        "directory.corp.ldap.servers[0]: would carry passwords in clear; write ldaps://, or start_tls = true",
    );
    check(&ldap("ldaps://dc1.example", "bind = \"cn=admin,o=x\""), "directory.corp.ldap.bind: has no {user}");
    check(
        &ldap("ldaps://dc1.example", "filter = \"(uid={user})\""),
        "directory.corp.ldap: needs `filter` with `search_as`, or `bind` alone",
    );
    check(
        &ldap("ldaps://dc1.example", &format!("{direct}\ngroups = {{ attribute = \"memberOf\" }}")),
        "directory.corp.ldap.groups: goes with `roles`, which names the groups that give some",
    );
    check(
        "[directory.portal.http]\nurl = \"http://login.example/x\"",
        "directory.portal.http.url: must be https; http is for this machine alone",
    );
    check(
        "[directory.portal.http]\nurl = \"https://login.example/x\"\nid = \"user.id\"",
        "directory.portal.http.id: is no JSON pointer; it begins with `/`, like \"/user/mail\"",
    );
    let twice = |more: &str| {
        format!("[directory.portal.http]\nurl = \"https://login.example/x\"\nbody = \"form\"\n{more}")
    };
    check(
        &twice("fields = { password = \"x\" }"),
        "directory.portal.http.fields.password: is `password_field`, which the gate fills in; take it out",
    );
    check(
        &twice("fields = { Login = \"x\" }\nuser_field = \"login\""),
        "directory.portal.http.fields.Login: is `user_field`, which the gate fills in; take it out",
    );
    check(
        &twice("user_field = \"pass\"\npassword_field = \"pass\""),
        "directory.portal.http.password_field: is `user_field` as well; each has a name of its own",
    );
    check(
        &twice("authorization_file = \"c.toml\""),
        "directory.portal.http.wrong: is missing, and goes with `authorization_file`: name the statuses that say of a \
         password alone that it is wrong, like wrong = [403]; what the service answers when it no longer knows the gate is \
         none of them",
    );
    check("[directory.none]", "directory.none: needs exactly one of `ldap` and `http`");
    check("[[api.directory]]\nname = \"corp\"", "api[1].directory[0].name: no directory is called `corp`");
}

#[test]
fn log_ins_with_issuers_are_checked_before_anybody_is_sent_away() {
    let (_, page) = documented().into_iter().find(|(page, _)| page.ends_with("oidc-login.md")).unwrap();
    let told = |changes: &[(&str, &str)]| -> Vec<String> {
        let folder = folder();
        std::fs::write(folder.path().join("client.secret"), "a secret").unwrap();
        let mut text = page.clone();
        for (old, new) in changes {
            assert_eq!(text.matches(old).count(), 1, "{old}");
            text = text.replace(old, new);
        }
        let loaded = Loaded::parse(Path::new("c.toml"), folder.path(), &text).unwrap();
        crate::wire::problems(&loaded).iter().map(|mistake| mistake.message.clone()).collect()
    };
    assert_eq!(told(&[]), [""; 0]);
    let discovery = "discovery = \"https://id.example.com/realms/staff/.well-known/openid-configuration\"";
    let jwks = (discovery, "jwks_url = \"https://id.example.com/jwks\"");
    let client = "client = \"crm-gate\"";
    let with = |more: &str| format!("{client}\n{more}");
    let urls = "authorize_url = \"https://id.example.com/a\"\ntoken_url = \"https://id.example.com/t\"";
    assert_eq!(told(&[jwks, (client, &with(urls))]), [""; 0]);
    let check = |changes: &[(&str, &str)], expected: &str| {
        let told = told(changes);
        assert!(told.len() == 1 && told[0].contains(expected), "{changes:?}: {told:?}");
    };
    check(&[("/crm/login/from/staff", "/login/from/staff")], "come back to /crm/login/from/staff");
    check(&[("https://crm.example.com", "http://crm.example.com")], "must be https");
    check(&[jwks], "needs the issuer's `discovery`, or `authorize_url` and `token_url`");
    check(&[jwks, (client, &with("token_url = \"https://id.example.com/t\""))], "go together");
    check(&[jwks, (client, &with(&urls.replace("https", "http")))], "must be https");
    check(&[("client.secret", "none.secret")], "none.secret");
    let odd = [("name = \"staff\"", "name = \"Staff\""), ("/crm/login/from/staff", "/crm/login/from/Staff")];
    check(&odd, "small letters, digits and `-`");
}

#[test]
fn who_chooses_a_name_that_others_are_believed_about_is_noted() {
    let (_, page) = documented().into_iter().find(|(page, _)| page.ends_with("oidc-login.md")).unwrap();
    let route = "[[api.route]]";
    let front = "[api.front]\nnetworks = [\"10.1.2.0/24\"]\nsecret_file = \"client.secret\"\n\n";
    let told = |front: &str, claims: &str, create: &str| -> Vec<String> {
        let folder = folder();
        std::fs::write(folder.path().join("client.secret"), "a secret that nobody guesses").unwrap();
        let text = page.replacen(route, &format!("{front}{route}"), 1).replacen("claims = {", claims, 1);
        let text = text.replacen("create = true", create, 1);
        let loaded = Loaded::parse(Path::new("c.toml"), folder.path(), &text).unwrap();
        crate::wire::notes(&loaded).iter().map(ToString::to_string).collect()
    };
    let named = "claims = { subject = \"preferred_username\",";
    let found = told(front, named, "create = true");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("c.toml:23: api[0].issuers.")
            && found[0].contains("claim `preferred_username` says, and a front lets in"),
        "{found:#?}"
    );
    assert_eq!(told(front, "claims = {", "create = true"), [""; 0]);
    assert_eq!(told(front, "claims = { subject = \"sub\",", "create = true"), [""; 0]);
    assert_eq!(told("", named, "create = true"), [""; 0]);
    assert_eq!(told(front, named, "create = false"), [""; 0]);
}

/// T-F11.
#[test]
fn a_route_about_what_people_log_in_by_is_told() {
    let (_, page) = documented().into_iter().find(|(page, _)| page.ends_with("issuers.md")).unwrap();
    let told = |at: &str, allow: &str| -> Vec<String> {
        let text = format!("{page}\n[[api.route]]\nat = \"{at}\"\nallow = {allow}\n");
        let loaded = Loaded::parse(Path::new("c.toml"), folder().path(), &text).unwrap();
        crate::wire::problems(&loaded).iter().map(ToString::to_string).collect()
    };
    for at in ["POST /identity/token", "/identity/token"] {
        let told = told(at, "{ roles = [\"ADMIN\"] }");
        assert_eq!(told.len(), 1, "{at}: {told:#?}");
        assert!(
            told[0].contains("api[0].route[1].at: is about `token`, which the gate answers itself"),
            "{told:#?}"
        );
    }
    assert_eq!(told("POST /identity/token", "\"anonymous\""), [""; 0]);
    for at in ["/identity/**", "GET /identity/token", "/identity/{what}", "/{a}/{b}", "POST /**"] {
        assert_eq!(told(at, "\"authenticated\""), [""; 0], "{at}");
    }
}

#[test]
fn what_of_an_issuer_is_never_looked_at_is_told() {
    let (_, page) = documented().into_iter().find(|(page, _)| page.ends_with("issuers.md")).unwrap();
    let told = |changes: &[(&str, &str)]| -> Vec<String> {
        let mut text = page.clone();
        for (old, new) in changes {
            assert_eq!(text.matches(old).count(), 1, "{old}");
            text = text.replace(old, new);
        }
        let loaded = Loaded::parse(Path::new("c.toml"), folder().path(), &text).unwrap();
        let problems = crate::wire::problems(&loaded);
        let shown = |mistake: &super::Mistake| {
            let key = mistake.key.split("shop\"").last().unwrap_or_default();
            format!("{key}: {}; {}", mistake.message, mistake.hint.as_deref().unwrap_or_default())
        };
        problems.iter().map(shown).collect()
    };
    assert_eq!(told(&[]), [""; 0]);
    let roles = ", roles = \"/realm_access/roles\"";
    assert_eq!(
        told(&[(roles, "")]),
        [
            ".roles: is never looked at: no claim fills the roles; say which one, like claims = { roles = \"groups\" }"
        ]
    );
    for (wrong, meant) in [("tenent", "tenant"), ("Tenant", "tenant"), ("tennant", "tenant")] {
        assert_eq!(
            told(&[("tenant = ", &format!("{wrong} = "))]),
            [format!(".claims.{wrong}: would be a key of that name; did you mean `{meant}`?")]
        );
    }
    for key in ["mail", "company", "merchant", "sub"] {
        assert_eq!(told(&[("tenant = ", &format!("{key} = "))]), [""; 0], "{key}");
    }
}

/// T-F10.
#[test]
fn an_issuer_says_whom_its_subjects_name_where_those_are_compared() {
    let (_, page) = documented().into_iter().find(|(page, _)| page.ends_with("issuers.md")).unwrap();
    let is_another = "same_people = false ";
    assert_eq!(page.matches(is_another).count(), 1);
    let told = |ids: &str, said: &str| -> Vec<String> {
        let route =
            format!("[[api.route]]\nat = \"/of/{{subject}}\"\nallow = \"authenticated\"\nids = {{ {ids} }}");
        let text = page.replace(is_another, said);
        let text = format!("{text}\n{route}\n");
        let loaded = Loaded::parse(Path::new("c.toml"), folder().path(), &text).unwrap();
        crate::wire::problems(&loaded).iter().map(ToString::to_string).collect()
    };
    for ids in ["subject = \"path subject\"", "\"customer|subject?\" = \"path subject\""] {
        let told = told(ids, "same_people = true ");
        assert_eq!(told.len(), 1, "{told:#?}");
        let words = "does not say whom its subjects name, and route `/of/{subject}` compares subjects; write same_people = true if";
        assert!(told[0].starts_with("c.toml:18: api[0].issuers.") && told[0].contains(words), "{told:#?}");
    }
    // The dialect tells services the subject in a header, where its own issuer's people are meant.
    let ids = "customer = \"path subject\"";
    for said in ["same_people = false ", "same_people = true "] {
        assert_eq!(told(ids, said), [""; 0]);
    }
    let told = told(ids, "");
    assert_eq!(told.len(), 1, "{told:#?}");
    let words = "does not say whom its subjects name, and a header of the dialect tells services the subject alone; write";
    assert!(told[0].starts_with("c.toml:11: api[0].issuers.") && told[0].contains(words), "{told:#?}");
}

#[test]
fn a_realm_is_one_that_challenges_can_carry() {
    let (_, page) = documented().into_iter().find(|(page, _)| page.ends_with("digest.md")).unwrap();
    for (realm, expected) in [
        (r#"'The "Shop", \ and co'"#, 0),
        ("\"Läden\"", 1),
        ("\"a\\tb\"", 1),
        ("\"a\\r\\nX: y\"", 1),
        ("\"\"", 1),
    ] {
        let enable = "enable = [\"digest\"]";
        let text = page.replace(enable, &format!("{enable}\nrealm = {realm}"));
        let loaded = Loaded::parse(Path::new("c.toml"), folder().path(), &text).unwrap();
        let told = crate::wire::problems(&loaded);
        assert_eq!(told.len(), expected, "{realm}: {told:?}");
        assert!(told.iter().all(|mistake| mistake.message.contains("`realm` stands in a header")));
    }
}

/// What `fuzz/fuzz_targets/configuration.rs` does, on its corpus and the beginnings of it.
#[test]
fn the_corpus_leads_nowhere() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/configuration");
    let mut seeds = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&seed);
        seeds += 1;
        for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
            match Loaded::parse(Path::new("c.toml"), Path::new("/nonexistent"), &text[..end]) {
                Ok(loaded) => assert!(!loaded.config.listener.is_empty() && !loaded.config.api.is_empty()),
                Err(mistakes) => {
                    assert!(!mistakes.is_empty());
                    let lines = text[..end].lines().count() + 1;
                    assert!(mistakes.iter().all(|mistake| (1..=lines).contains(&mistake.line)));
                }
            }
        }
    }
    assert!(seeds >= 5);
}
