//! An OpenID provider of our own, for what real ones do not do: codes that say what they stand for, ID tokens with
//! anything in them, answers that are none.
//!
//! A code is `SUB.NONCE.CHALLENGE`: the test writes it from what the gate sent the browser away with. It is good once,
//! for the client's secret, the address of the way back and the verifier of that challenge.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::world::keys;

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const CLIENT: &str = "the-gate";
pub(crate) const SECRET: &str = "a secret with a blank, and 100% of it";
/// The name of its key.
pub(crate) const KEY: &str = "provider";

/// A change of the claims of an ID token.
pub(crate) type Change = Box<dyn Fn(&mut Map<String, Value>) + Send>;

/// What it does otherwise than it should.
pub(crate) enum Manners {
    /// Nothing.
    Good,
    /// It changes the claims of its ID tokens.
    Claims(Change),
    /// It gives another text for an ID token.
    Token(Box<dyn Fn(String) -> String + Send>),
    /// It answers so, whatever it is asked.
    Answer(&'static str, String),
    /// What it gives for a code is so many bytes long.
    Padded(usize),
}

struct State {
    manners: Manners,
    spent: Vec<String>,
    /// The codes that it was shown, in their order.
    shown: Vec<String>,
}

/// A provider at work.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { manners: Manners::Good, spent: Vec::new(), shown: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let of_thread = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                if let Some((head, body)) = request(&mut stream) {
                    let (status, body) = answer(&mut lock(&of_thread), address, &head, &body);
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    let _gone = stream.write_all(format!("{head}{body}").as_bytes());
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn behave(&self, manners: Manners) {
        lock(&self.state).manners = manners;
    }

    /// How many codes it was shown.
    pub(crate) fn shown(&self) -> usize {
        lock(&self.state).shown.len()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The code for somebody whose log-in began with that nonce and challenge.
pub(crate) fn code(subject: &str, nonce: &str, challenge: &str) -> String {
    format!("{subject}.{nonce}.{challenge}")
}

/// The head in lines, and the form in the body.
fn request(stream: &mut TcpStream) -> Option<(Vec<String>, HashMap<String, String>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lines: Vec<String> = head.lines().map(str::to_owned).collect();
            let length = lines.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                let form = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
                return Some((lines, form));
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn answer(
    state: &mut State,
    address: SocketAddr,
    head: &[String],
    form: &HashMap<String, String>,
) -> (String, String) {
    if let Manners::Answer(status, body) = &state.manners {
        return ((*status).to_owned(), body.clone());
    }
    let ok = |body: Value| ("200 OK".to_owned(), body.to_string());
    match head[0].split(' ').nth(1).unwrap() {
        "/discovery" => ok(json!({
            "issuer": ISSUER,
            "jwks_uri": format!("http://{address}/jwks"),
            "authorization_endpoint": "https://id.example/authorize",
            "token_endpoint": format!("http://{address}/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "authorization_response_iss_parameter_supported": true,
        })),
        "/jwks" => ok(json!({ "keys": [keys::jwk(KEY)] })),
        "/token" => token(state, head, form),
        _ => ("404 Not Found".to_owned(), String::new()),
    }
}

fn token(state: &mut State, head: &[String], form: &HashMap<String, String>) -> (String, String) {
    let refuse = |error: &str| ("400 Bad Request".to_owned(), json!({ "error": error }).to_string());
    let said = |name: &str| form.get(name).map_or("", String::as_str);
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encode(CLIENT), encode(SECRET)));
    let in_header = head.iter().any(|line| *line == format!("authorization: Basic {pair}"));
    if !in_header && (said("client_id"), said("client_secret")) != (CLIENT, SECRET) {
        return ("401 Unauthorized".to_owned(), json!({ "error": "invalid_client" }).to_string());
    }
    let code = said("code").to_owned();
    state.shown.push(code.clone());
    let parts: Vec<&str> = code.split('.').collect();
    let [subject, nonce, challenge] = parts[..] else { return refuse("invalid_grant") };
    let proven = URL_SAFE_NO_PAD.encode(digest(&SHA256, said("code_verifier").as_bytes())) == challenge;
    let back = said("redirect_uri").starts_with("https://crm.example/");
    if state.spent.contains(&code) || !proven || !back || said("grant_type") != "authorization_code" {
        return refuse("invalid_grant");
    }
    state.spent.push(code.clone());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": ISSUER, "aud": CLIENT, "sub": subject, "nonce": nonce, "iat": now, "exp": now + 3600,
        "name": subject.to_uppercase(), "email": format!("{subject}@id.example"), "groups": ["sellers"],
    });
    let Value::Object(mut claims) = claims else { unreachable!() };
    if let Manners::Claims(change) = &state.manners {
        change(&mut claims);
    }
    let mut token = keys::minted(KEY, &json!({ "alg": "RS256", "typ": "JWT" }), &Value::Object(claims));
    if let Manners::Token(change) = &state.manners {
        token = change(token);
    }
    let body = json!({ "token_type": "Bearer", "access_token": "8A:nobody's", "expires_in": 300, "id_token": token });
    let mut body = body.to_string();
    if let Manners::Padded(length) = state.manners {
        assert!(body.len() <= length, "{} bytes without padding", body.len());
        body.push_str(&" ".repeat(length - body.len()));
    }
    ("200 OK".to_owned(), body)
}
