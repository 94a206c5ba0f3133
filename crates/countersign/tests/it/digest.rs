//! A client that answers Digest challenges, written from RFC 7616 and able to lie.

use countersign_auth::scheme::digest::hash::DigestHash;

use crate::transcript::Message;
use crate::transcript::pattern::Bindings;

/// What a transcript calls the proof of its own `Authorization` line.
const PROOF: &str = "digest.response";

/// Binds the proof that a transcript's Digest line asks for, and what the gate must answer to it: all else stands in
/// the line.
///
/// # Errors
/// If the line names something that is bound to nothing.
pub(crate) fn answer(message: &Message, bindings: &mut Bindings) -> Result<(), String> {
    let mut lines = message.headers.iter();
    let Some(line) = lines.find(|line| line.text.beginning().starts_with("Authorization: Digest ")) else {
        return Ok(());
    };
    bindings.bind(PROOF, "");
    let sent = line.text.render(bindings)?;
    let start = message.start.text.render(bindings)?;
    let sent = Challenge::parse(sent.trim_start_matches("Authorization: "));
    let user = sent.value("username");
    let Some(password) = bindings.value(&format!("password.{user}")) else { return Ok(()) };
    let method = start.split(' ').next().unwrap_or_default();
    let response = Response {
        cnonce: sent.value("cnonce").to_owned(),
        count: u32::from_str_radix(sent.value("nc"), 16).unwrap_or(0),
        ..Response::to(&sent, user, password, method, sent.value("uri"))
    };
    let (proof, answer) = (response.response(), response.rspauth());
    bindings.bind(PROOF, proof);
    bindings.bind("digest.rspauth", answer);
    Ok(())
}

/// A challenge as it came.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    /// Its parameters, names in lower case, values without quotes.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Reads `Digest a="b", c=d`; no value of the gate's has an escape or a comma but `qop`.
    pub(crate) fn parse(line: &str) -> Self {
        let mut rest = line.strip_prefix("Digest ").unwrap_or_else(|| panic!("no Digest: {line}"));
        let mut parameters = Vec::new();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap(),
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            parameters.push((name.trim().to_ascii_lowercase(), value.to_owned()));
            rest = after.trim_start_matches([',', ' ']);
        }
        Self { parameters }
    }

    /// A parameter; empty if it is not there.
    pub(crate) fn value(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// What a client answers. Every field can be made wrong.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) realm: String,
    pub(crate) nonce: String,
    pub(crate) algorithm: String,
    pub(crate) qop: String,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) cnonce: String,
    pub(crate) count: u32,
    pub(crate) body: String,
    /// In place of the name.
    pub(crate) hashes_user: bool,
    /// `cnonce` of the first request of a session.
    pub(crate) first_cnonce: Option<String>,
}

/// The function of an algorithm.
pub(crate) fn hash_of(algorithm: &str) -> DigestHash {
    match algorithm.trim_end_matches("-sess") {
        "" | "MD5" => DigestHash::Md5,
        "SHA-256" => DigestHash::Sha256,
        "SHA-512-256" => DigestHash::Sha512_256,
        other => panic!("no algorithm: {other}"),
    }
}

impl Response {
    /// The right response of a user.
    pub(crate) fn to(challenge: &Challenge, user: &str, password: &str, method: &str, uri: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            realm: challenge.value("realm").to_owned(),
            nonce: challenge.value("nonce").to_owned(),
            algorithm: challenge.value("algorithm").to_owned(),
            qop: "auth".to_owned(),
            method: method.to_owned(),
            uri: uri.to_owned(),
            cnonce: "0a4f113b=".to_owned(),
            count: 1,
            body: String::new(),
            hashes_user: false,
            first_cnonce: None,
        }
    }

    fn hex(&self, parts: &[&str]) -> String {
        hash_of(&self.algorithm).of(parts.join(":").as_bytes()).hex().as_str().to_owned()
    }

    fn nc(&self) -> String {
        format!("{:08x}", self.count)
    }

    fn key(&self) -> String {
        let ha1 = self.hex(&[&self.user, &self.realm, &self.password]);
        if !self.algorithm.ends_with("-sess") {
            return ha1;
        }
        self.hex(&[&ha1, &self.nonce, self.first_cnonce.as_ref().unwrap_or(&self.cnonce)])
    }

    fn over(&self, request: &str, qop: &str) -> String {
        self.hex(&[&self.key(), &self.nonce, &self.nc(), &self.cnonce, qop, request])
    }

    /// The proof.
    pub(crate) fn response(&self) -> String {
        let request = if self.qop == "auth-int" {
            let body = self.hex(&[&self.body]);
            self.hex(&[&self.method, &self.uri, &body])
        } else {
            self.hex(&[&self.method, &self.uri])
        };
        self.over(&request, &self.qop)
    }

    /// What `rspauth` of the answer must be.
    pub(crate) fn rspauth(&self) -> String {
        self.over(&self.hex(&["", &self.uri]), "auth")
    }

    /// The value of `Authorization`.
    pub(crate) fn field(&self) -> String {
        let (user, suffix) = if self.hashes_user {
            (self.hex(&[&self.user, &self.realm]), ", userhash=true")
        } else {
            (self.user.clone(), "")
        };
        format!(
            "Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", algorithm={}, qop={}, nc={}, \
             cnonce=\"{}\", response=\"{}\"{suffix}",
            self.realm,
            self.nonce,
            self.uri,
            self.algorithm,
            self.qop,
            self.nc(),
            self.cnonce,
            self.response()
        )
    }
}
