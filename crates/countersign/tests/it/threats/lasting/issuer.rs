//! Somebody who issues tokens that only he can read.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use countersign_auth::port::foreign::IssuerTerms;
use countersign_auth::secret::Secret;
use countersign_identity::issuers::introspection::IntrospectionOptions;
use countersign_identity::outbound::{Endpoint, Outbound};
use countersign_identity::tls;
use serde_json::{Value, json};

use super::{DEADLINE, Ground, REMEMBERED};

/// An issuer that is asked about tokens, and calls garbage none of its own.
pub(super) struct Asked {
    address: SocketAddr,
    pub(super) shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    answer: Mutex<(&'static str, String)>,
    /// Questions that came, and that have an answer.
    pub(super) begun: AtomicUsize,
    answered: AtomicUsize,
    /// The tokens that the questions were about.
    about: Mutex<Vec<String>>,
    /// Nobody is answered while somebody has it.
    pub(super) held: Mutex<()>,
}

/// Reads a request with a form in it, and gives the form.
fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                return body.to_owned();
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend(&chunk[..read]),
        }
    }
}

impl Asked {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || {
                    let question = read_request(&mut stream);
                    let is_garbage = question.contains("token=garbage");
                    let token = question.split('&').find_map(|pair| pair.strip_prefix("token="));
                    shared.about.lock().unwrap().push(token.unwrap_or_default().to_owned());
                    shared.begun.fetch_add(1, Ordering::SeqCst);
                    drop(shared.held.lock().unwrap());
                    let (status, body) = match is_garbage {
                        true => ("200 OK", json!({ "active": false }).to_string()),
                        false => shared.answer.lock().unwrap().clone(),
                    };
                    // Whoever has the answer may ask how many there were.
                    shared.answered.fetch_add(1, Ordering::SeqCst);
                    let _gone = write!(
                        stream,
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    );
                });
            }
        });
        Self { address, shared }
    }

    pub(super) fn says(&self, status: &'static str, body: &Value) {
        *self.shared.answer.lock().unwrap() = (status, body.to_string());
    }

    /// The tokens that it was asked about since the last look, sorted.
    pub(super) fn about(&self) -> Vec<String> {
        let mut about = std::mem::take(&mut *self.shared.about.lock().unwrap());
        about.sort_unstable();
        about
    }

    pub(super) fn asked(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }
}

/// From now on that issuer is asked about tokens.
pub(super) fn ask(ground: &Ground, issuer: &Asked) {
    let options = IntrospectionOptions {
        endpoint: Endpoint::parse(&format!("http://{}/introspect", issuer.address)).unwrap(),
        client: "gate".to_owned(),
        secret: Secret::new("secret"),
        issuer: None,
        terms: IssuerTerms {
            claims: vec![("roles".to_owned(), "scope".to_owned())],
            ..IssuerTerms::default()
        },
        remembered: REMEMBERED,
        patience: DEADLINE,
    };
    let outbound = Outbound::new(&tls::client(&[]).unwrap());
    assert!(ground.world.service().introspect_at("shop", "bearer", options, &outbound));
}
