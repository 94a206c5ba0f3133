//! Push channels: a Bayeux server whose clients belong to sessions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_auth::account::{Account, AccountId};
use countersign_auth::cookie::{Attributes, SameSite, ScriptAccess, Transport, set_cookie};
use countersign_auth::dialect::service::ServiceOptions;
use countersign_auth::port::Answer;
use countersign_auth::port::services::{After, ServiceAnswer, ServiceCall};
use countersign_auth::refusal::{Reason, Refusal};
use countersign_auth::time::{Clock, Random};
use countersign_auth::token::TokenDigest;
use countersign_bayeux::{
    Act, Authority, BodyError, Channel, Held, NoRandom, Options, Pattern, Principal, PublishError, Published,
    Received, Server, To,
};
use countersign_identity::service::Service;
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

/// The cookie by which several clients of one browser are told from clients of several.
const BROWSER: &str = "BAYEUX_BROWSER";

/// Who is behind a client: an account in one of its sessions.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    account: Arc<Account>,
    session: TokenDigest,
}

impl Principal for Caller {
    type Session = [u8; 32];
    type Account = AccountId;

    fn session(&self) -> [u8; 32] {
        self.session.0
    }

    fn account(&self) -> AccountId {
        self.account.id
    }
}

/// Who may listen and publish where: what the endpoint's options say.
struct Rules {
    /// `None`: everybody.
    listen: Vec<(Pattern, Option<Vec<String>>)>,
    publish: Vec<(Pattern, Vec<String>)>,
}

impl Rules {
    fn read(options: &ServiceOptions) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut pattern = |text: &str| {
            let read = Pattern::parse(text).map_err(|error| format!("channel `{text}`: {error}"));
            read.map_err(|problem| problems.push(problem)).ok()
        };
        let everybody = options.texts("channels").iter().filter_map(|text| Some((pattern(text)?, None)));
        let mut listen: Vec<_> = everybody.collect();
        listen.extend(
            options.table("roles").filter_map(|(text, roles)| Some((pattern(text)?, Some(roles.to_vec())))),
        );
        let publish = options
            .table("publish")
            .filter_map(|(text, roles)| Some((pattern(text)?, roles.to_vec())))
            .collect();
        if problems.is_empty() { Ok(Self { listen, publish }) } else { Err(problems) }
    }
}

fn has_one(account: &Account, roles: &[String]) -> bool {
    account.roles.iter().any(|role| roles.contains(role))
}

impl Authority for Rules {
    type Principal = Caller;

    fn may(&self, who: &Caller, act: Act<'_>) -> bool {
        let is_his =
            |roles: &Option<Vec<String>>| roles.as_ref().is_none_or(|roles| has_one(&who.account, roles));
        match act {
            Act::Handshake => true,
            // A wildcard that can match something of his is granted; what else it could match never reaches him.
            Act::Subscribe(wanted) => {
                self.listen.iter().any(|(pattern, roles)| pattern.overlaps(wanted) && is_his(roles))
            }
            Act::Receive(channel) => {
                self.listen.iter().any(|(pattern, roles)| pattern.matches(channel) && is_his(roles))
            }
            Act::Publish(channel) => self
                .publish
                .iter()
                .any(|(pattern, roles)| pattern.matches(channel) && has_one(&who.account, roles)),
        }
    }
}

/// Whom an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All sessions of an account.
    Account(AccountId),
    /// All sessions of accounts with that role, of one tenant only if it is named.
    Role {
        /// The role.
        role: String,
        /// The tenant.
        tenant: Option<String>,
    },
}

/// The push channels of one API.
pub struct Push {
    server: Arc<Server<Rules>>,
    same_site: SameSite,
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    began: Instant,
}

impl Push {
    /// Channels as the options of an endpoint describe them; `same_site` is that of the API's cookies.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub(crate) fn new(
        options: &ServiceOptions,
        same_site: Option<SameSite>,
        service: Arc<Service>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, Vec<String>> {
        let rules = Rules::read(options)?;
        let mut settings = Options::default();
        if let Some(hold) = options.time("hold") {
            settings.hold = hold;
        }
        let draw = move |bytes: &mut [u8]| random.fill(bytes).map_err(|_| NoRandom);
        Ok(Self {
            server: Server::new(settings, rules, draw),
            same_site: same_site.unwrap_or(SameSite::Lax),
            service,
            clock,
            began: Instant::now(),
        })
    }

    /// What is wrong with the options of an endpoint.
    pub(crate) fn problems(options: &ServiceOptions) -> Vec<String> {
        Rules::read(options).err().unwrap_or_default()
    }

    /// How the name of a browser is kept in it: it rides wherever the session's cookie does.
    fn cookie(&self, call: &ServiceCall) -> Attributes<'static> {
        let is_secure = self.same_site == SameSite::None || call.base.starts_with("https:");
        Attributes {
            path: "/",
            script: ScriptAccess::Hidden,
            same_site: Some(self.same_site),
            transport: if is_secure { Transport::TlsOnly } else { Transport::Any },
            max_age: None,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Answers messages of a client.
    pub(crate) fn serve(&self, call: &ServiceCall) -> Answer<Result<ServiceAnswer, Refusal>> {
        match self.receive(call) {
            Ok(Received::Answer(answer)) => ready(json(answer)),
            Ok(Received::Greeting { answer, browser }) => {
                let mut answer = json(answer);
                if let Ok(cookie) = set_cookie(BROWSER, &browser, &self.cookie(call)) {
                    answer.headers.append(SET_COOKIE, cookie);
                }
                ready(answer)
            }
            Ok(Received::Held(held)) => {
                let left = held.deadline_ms().saturating_sub(self.now_ms());
                Box::pin(async move { Ok(json(wait(held, Duration::from_millis(left)).await)) })
            }
            Err(refusal) => Box::pin(async { Err(refusal) }),
        }
    }

    fn receive(&self, call: &ServiceCall) -> Result<Received<Rules>, Refusal> {
        if call.method != Method::POST {
            return Err(Refusal::new(Reason::Method, "messages are posted"));
        }
        let (Some(account), Some(session)) = (call.identity.account(), call.identity.session()) else {
            return Err(Refusal::new(
                Reason::NoCredential,
                "push channels belong to the session of an account",
            ));
        };
        let caller = Caller { account: Arc::clone(account), session: session.digest() };
        let browser = browser(&call.headers);
        self.server.receive(&caller, browser, &call.body, self.now_ms()).map_err(|error| {
            let reason = match error {
                BodyError::TooLong => Reason::TooLarge,
                BodyError::TooDeep | BodyError::TooMany | BodyError::Malformed => Reason::Malformed,
            };
            Refusal::new(reason, error.to_string())
        })
    }

    /// What is said to a client whose session is dead.
    pub(crate) fn last_word(&self, body: &[u8]) -> Option<ServiceAnswer> {
        self.server.last_word(body, |who| self.is_over(who), self.now_ms()).map(json)
    }

    /// Publishes an event; `data` is JSON.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(&self, to: &Audience, channel: &Channel, data: &str) -> Result<Published, PublishError> {
        match to {
            Audience::Account(account) => self.server.publish(&To::Account(*account), channel, data),
            Audience::Role { role, tenant } => {
                let those = |who: &Caller| {
                    let account = &who.account;
                    account.roles.contains(role) && (tenant.is_none() || *tenant == account.tenant)
                };
                self.server.publish(&To::Those(&those), channel, data)
            }
        }
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.server.clients()
    }

    fn is_over(&self, who: &Caller) -> bool {
        self.service.is_over(&who.session, self.clock.now())
    }

    pub(crate) fn session_ended(&self, session: TokenDigest) {
        self.server.end_session(session.0, self.now_ms());
    }

    pub(crate) fn account_ended(&self, account: AccountId) {
        self.server.end_account(account, |who| self.is_over(who), self.now_ms());
    }

    /// Ends the clients of all sessions that are over.
    pub(crate) fn look_at_all(&self) {
        self.server.end_where(|who| self.is_over(who), self.now_ms());
    }

    pub(crate) fn sweep(&self) {
        self.server.sweep(self.now_ms());
    }

    pub(crate) fn close(&self) {
        self.server.close();
    }
}

async fn wait(held: Held<Rules>, left: Duration) -> String {
    let mut held = std::pin::pin!(Some(held));
    let answered = {
        let Some(held) = held.as_mut().as_pin_mut() else { return String::new() };
        tokio::time::timeout(left, held).await
    };
    match answered {
        Ok(answer) => answer,
        Err(_late) => held.get_mut().take().map_or_else(String::new, Held::time_out),
    }
}

fn ready(answer: ServiceAnswer) -> Answer<Result<ServiceAnswer, Refusal>> {
    Box::pin(async { Ok(answer) })
}

fn json(body: String) -> ServiceAnswer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ServiceAnswer { status: StatusCode::OK, headers, body: Bytes::from(body), after: After::GoOn }
}

/// The name that this server gave to the client's browser.
fn browser(headers: &HeaderMap) -> Option<&str> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(BROWSER)?.strip_prefix('='))
}
