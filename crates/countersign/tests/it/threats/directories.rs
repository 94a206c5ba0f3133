//! D, F: passwords that a directory knows.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use countersign_auth::secret::Secret;
use countersign_identity::directory::http::{BodyForm, HttpDirectory, HttpOptions};
use countersign_identity::directory::ldap::link::{Privacy, Server};
use countersign_identity::directory::ldap::pattern::Pattern;
use countersign_identity::directory::ldap::{LdapDirectory, LdapOptions, Way};
use countersign_identity::directory::person::{Field, Mapping};
use countersign_identity::directory::{Directory, DirectorySettings, FirstSight, Route};
use countersign_identity::outbound::{Endpoint, Outbound};
use countersign_identity::tls;

use super::{Ground, Told};
use crate::slapd::{BASE, SEARCHER, Slapd, person};

fn options(server: SocketAddr, privacy: Privacy, way: Way) -> LdapOptions {
    let fields = [("name", "uid"), ("email", "mail")];
    LdapOptions {
        servers: vec![Server { host: server.ip().to_string(), port: server.port(), privacy }],
        tls: tls::client(&[]).unwrap(),
        base: format!("ou=people,{BASE}"),
        way,
        id: "entryUUID".to_owned(),
        mapping: Mapping {
            fields: fields.map(|(field, source)| (Field::named(field), source.to_owned())).to_vec(),
            roles: None,
        },
        groups: None,
        patience: Duration::from_secs(60),
        idle_most: 2,
    }
}

fn searching() -> Way {
    Way::Search {
        filter: Pattern::filter("(&(objectClass=person)(uid={user}))", "user").unwrap(),
        name: SEARCHER.0.to_owned(),
        password: Secret::new(SEARCHER.1),
    }
}

fn direct() -> Way {
    Way::Direct(Pattern::bind(&format!("uid={{user}},ou=people,{BASE}")).unwrap())
}

/// A gate that asks a directory about log-ins that name the provider `AD`.
fn ground(options: LdapOptions) -> Ground {
    ground_over(Box::new(LdapDirectory::new(options)))
}

fn ground_over(directory: Box<dyn Directory>) -> Ground {
    ground_remembering(directory, Duration::from_millis(1))
}

fn ground_remembering(directory: Box<dyn Directory>, remembered: Duration) -> Ground {
    let ground = Ground::of("voltmx");
    let settings = DirectorySettings { first_sight: FirstSight::Create, remembered, at_once: 4, waiting: 16 };
    let service = ground.world.service();
    service.add_directory("corp", directory, settings);
    let route = Route {
        api: "push".to_owned(),
        kind: "users".to_owned(),
        provider: Some("AD".to_owned()),
        domain: None,
    };
    assert!(service.route_directory(route, "corp"));
    ground
}

fn login(ground: &Ground, user: &str, password: &str, provider: Option<&str>) -> Told {
    let body = serde_json::json!({ "userid": user, "password": password, "provider": provider });
    ground.send(&format!(
        "POST /authService/accounts/login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{body}"
    ))
}

#[test]
fn d12_users_write_no_filters_and_an_empty_password_is_nobodys() {
    let slapd = Slapd::start(&[person("rosa", "rosapw"), person("a*b", "starpw")]);
    for way in [searching(), direct()] {
        let ground = ground(options(slapd.address(), Privacy::None, way));
        let ask = |user: &str, password: &str| login(&ground, user, password, Some("AD"));
        ask("rosa", "rosapw").answered();
        ask("a*b", "starpw").answered();
        let wrong = ask("rosa", "wrong").refused(401).bytes();
        for user in [
            "*",
            "r*",
            "rosa*",
            ")(uid=*",
            "rosa)(uid=*",
            "*)(objectClass=*",
            "(rosa)",
            "\\2a",
            "rosa,ou=people",
            "rosa+cn=rosa",
            "nobody",
        ] {
            assert_eq!(ask(user, "rosapw").refused(401).bytes(), wrong, "{user}");
        }
        assert_eq!(ask("rosa", "").refused(401).bytes(), wrong);
        for password in ["\0", "rosapw\0", "\0rosapw"] {
            ask("rosa", password).refused(400);
        }
        for long in [256, 257, 60_000] {
            assert_eq!(ask(&"r".repeat(long), "rosapw").refused(401).bytes(), wrong, "{long}");
        }
        assert_eq!(ask("rosa", &"r".repeat(60_000)).refused(401).bytes(), wrong);
        ask("rosa\0", "rosapw").refused(400);
        ask("rosa", "rosapw").answered();
    }
}

/// Who is bound is the directory's answer, and it must be one.
#[test]
fn ldap6_several_entries_of_one_name_are_nobody() {
    let twin = |name: &str, password: &str| {
        person("rosa", password)
            .replacen("dn: uid=rosa,", &format!("dn: cn={name},"), 1)
            .replace("cn: rosa", &format!("cn: {name}"))
    };
    let slapd =
        Slapd::start(&[twin("first", "firstpw"), twin("second", "secondpw"), person("dora", "dorapw")]);
    let ground = ground(options(slapd.address(), Privacy::None, searching()));
    let wrong = login(&ground, "dora", "wrong", Some("AD")).refused(401).bytes();
    for password in ["firstpw", "secondpw", "wrong"] {
        assert_eq!(login(&ground, "rosa", password, Some("AD")).refused(401).bytes(), wrong, "{password}");
    }
    login(&ground, "dora", "dorapw", Some("AD")).answered();
}

#[test]
fn d12_referrals_lead_nowhere() {
    let (address, heard) = listener(b"");
    let referral = format!(
        "dn: cn=elsewhere,ou=people,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\n\
         cn: elsewhere\nuid: dave\nref: ldap://{address}/ou=people,{BASE}\n"
    );
    let slapd = Slapd::start(&[person("rosa", "rosapw"), referral]);
    for way in [searching(), direct()] {
        let ground = ground(options(slapd.address(), Privacy::None, way));
        login(&ground, "rosa", "rosapw", Some("AD")).answered();
        login(&ground, "dave", "rosapw", Some("AD")).refused(401);
    }
    assert!(heard.try_recv().is_err(), "somebody was sent to where the referral points");
}

/// Whoever is between answers StartTLS with a refusal, or with what is no LDAP, or with TLS of his own.
#[test]
fn d12_starttls_is_not_given_up() {
    let answers: [&[u8]; 4] = [
        b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00",
        b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x15\x03\x01\x00\x02\x02\x28",
        b"\x30\x84\x7f\xff\xff\xff",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ];
    for answer in answers {
        let (address, heard) = listener(answer);
        let ground = ground(options(address, Privacy::StartTls, direct()));
        login(&ground, "rosa", "secret of rosa", Some("AD")).refused(503);
        drop(ground);
        let heard: Vec<u8> = heard.try_iter().flatten().collect();
        let has = |words: &[u8]| heard.windows(words.len()).any(|window| window == words);
        assert!(has(b"1.3.6.1.4.1.1466.20037") && !has(b"secret of rosa"), "{heard:x?}");
    }
}

#[test]
fn f1_a_directory_that_is_away_is_neither_right_nor_wrong() {
    let mut slapd = Slapd::start(&[person("rosa", "rosapw")]);
    let ground = ground(options(slapd.address(), Privacy::None, searching()));
    login(&ground, "rosa", "rosapw", Some("AD")).answered();
    slapd.stop();
    for _ in 0..10 {
        login(&ground, "rosa", "rosapw", Some("AD")).refused(503);
        login(&ground, "rosa", "wrong", Some("AD")).refused(503);
    }
    login(&ground, "alice", "wonderland-7", None).answered();
    slapd.resume();
    // Nobody was counted as wrong while nobody could tell.
    login(&ground, "rosa", "rosapw", Some("AD")).answered();
    login(&ground, "rosa", "wrong", Some("AD")).refused(401);
}

/// `BindResponse ::= [APPLICATION 1] { resultCode, matchedDN, diagnosticMessage }`, to the message 1.
fn bind_response(code: u8, text: &str) -> Vec<u8> {
    let short = |length: usize| u8::try_from(length).unwrap();
    let result = [&[0x0a, 1, code, 4, 0, 4, short(text.len())], text.as_bytes()].concat();
    let message = [&[2, 1, 1, 0x61, short(result.len())], &result[..]].concat();
    [&[0x30, short(message.len())], &message[..]].concat()
}

#[test]
fn d12_only_what_calls_a_password_wrong_is_a_wrong_password() {
    let wrong = |data: &str| format!("80090308: LdapErr: AcceptSecurityContext error, data {data}, v3839");
    let mut refused = Vec::new();
    // Active Directory: no such user, wrong, hours, machine, expired, disabled, account expired, must change, locked.
    for data in ["525", "52e", "530", "531", "532", "533", "701", "773", "775"] {
        let (address, _heard) = listener(bind_response(49, &wrong(data)));
        let ground = ground(options(address, Privacy::None, direct()));
        refused.push(login(&ground, "rosa", "rosapw", Some("AD")).refused(401).bytes());
    }
    refused.dedup();
    assert_eq!(refused.len(), 1, "{refused:?}");
    // A referral, and a server that is busy, unavailable, unwilling, wants TLS or another way in, or knows no such code.
    for code in [10, 51, 52, 53, 13, 8, 7, 1, 80, 123] {
        let (address, _heard) = listener(bind_response(code, "data 52e, ldap://elsewhere.example"));
        let ground = ground(options(address, Privacy::None, direct()));
        login(&ground, "rosa", "rosapw", Some("AD")).refused(503);
    }
}

#[test]
fn f1_a_directory_that_says_nothing_is_neither_right_nor_wrong() {
    // It takes connections and never answers; it answers what is no LDAP; it ends after half an answer.
    for answer in [Vec::new(), b"SSH-2.0-x\r\n".to_vec(), bind_response(0, "")[..6].to_vec()] {
        let (address, _heard) = listener(answer);
        let options = options(address, Privacy::None, direct());
        let ground = ground(LdapOptions { patience: Duration::from_millis(200), ..options });
        login(&ground, "rosa", "rosapw", Some("AD")).refused(503);
        login(&ground, "alice", "wonderland-7", None).answered();
    }
}

/// A login service that answers so, whoever logs in.
fn login_service(answer: &str) -> (Ground, Receiver<Vec<u8>>) {
    let (address, heard) = listener(answer);
    (ground_over(asked_at(address)), heard)
}

/// A login service at that address.
fn asked_at(address: SocketAddr) -> Box<dyn Directory> {
    asked_as(None, &[401], address)
}

/// The same, where the gate proves itself.
fn asked_as(authorization: Option<&str>, wrong: &[u16], address: SocketAddr) -> Box<dyn Directory> {
    let options = HttpOptions {
        endpoint: Endpoint::parse(&format!("http://{address}/login")).unwrap(),
        form: BodyForm::Json,
        user_field: "user".to_owned(),
        password_field: "password".to_owned(),
        fields: Vec::new(),
        authorization: authorization.map(Secret::new),
        right: vec![200],
        wrong: wrong.to_vec(),
        id: Some("/uid".to_owned()),
        mapping: Mapping { fields: vec![(Field::named("tenant"), "/company".to_owned())], roles: None },
        groups: None,
        patience: Duration::from_secs(60),
    };
    let outbound = Outbound::new(&tls::client(&[]).unwrap());
    Box::new(HttpDirectory::new(options, outbound).unwrap())
}

/// What the gate proves itself with has expired, or was revoked: nobody's password is wrong for that.
#[test]
fn f1_a_login_service_that_does_not_know_the_gate_says_nothing_of_passwords() {
    for (wrong, status, told) in [(&[422][..], "401 Unauthorized", 503), (&[422], "422 Wrong", 401)] {
        let (address, _heard) =
            listener(format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
        let ground = ground_over(asked_as(Some("Bearer expired"), wrong, address));
        login(&ground, "rosa", "rosapw", Some("AD")).refused(told);
    }
}

/// A log-in that changes the account is a proof of what it made of it, however long the directory took to say so (T-E4).
#[test]
fn e4_a_log_in_that_changes_its_account_goes_on() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut answers = [("north", 0), ("south", 1500)].into_iter();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // All of it: what is left unread when a connection is closed takes the answer with it.
            let (mut request, mut bytes) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"}") && !request.starts_with(b"GET") {
                let Ok(count @ 1..) = stream.read(&mut bytes) else { break };
                request.extend_from_slice(&bytes[..count]);
            }
            // Or it is only asked whether it is there.
            if !request.ends_with(b"}") {
                continue;
            }
            let Some((company, after)) = answers.next() else { return };
            std::thread::sleep(Duration::from_millis(after));
            let body = format!(r#"{{"uid":"rosa","company":"{company}"}}"#);
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _gone = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let ground = ground_remembering(asked_at(address), Duration::from_secs(60));
    login(&ground, "rosa", "first", Some("AD")).answered();
    login(&ground, "rosa", "second", Some("AD")).answered();
    // Remembered now: the directory, which answers nobody any more, is not asked.
    login(&ground, "rosa", "second", Some("AD")).answered();
}

#[test]
fn f2_answers_of_login_services_are_read_up_to_a_length() {
    const MOST: usize = 256 * 1024;
    // Beyond it the password is neither right nor wrong, whatever the status says.
    for (status, length, told) in
        [("200 OK", MOST, 200), ("200 OK", MOST + 1, 503), ("401 Unauthorized", MOST + 1, 503)]
    {
        let around = r#"{"uid":"rosa","x":""}"#;
        let body = around.replace(r#""""#, &format!("\"{}\"", "x".repeat(length - around.len())));
        assert_eq!(body.len(), length);
        let (ground, _heard) = login_service(&format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        assert_eq!(login(&ground, "rosa", "rosapw", Some("AD")).status(), told, "{status} {length}");
    }
}

/// A listener that answers whatever it is sent first and then listens; what it hears comes out.
fn listener(answer: impl Into<Vec<u8>>) -> (SocketAddr, Receiver<Vec<u8>>) {
    let answer: Vec<u8> = answer.into();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (tell, answer) = (tell.clone(), answer.clone());
            std::thread::spawn(move || {
                let mut answered = false;
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if tell.send(bytes[..count].to_vec()).is_err() {
                        return;
                    }
                    if !answered && stream.write_all(&answer).is_err() {
                        return;
                    }
                    answered = true;
                }
            });
        }
    });
    (address, heard)
}
