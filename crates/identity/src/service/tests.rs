//! The service as the gate sees it, over a real database file, with a clock that is turned by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests"
)]

mod accounts;
mod asked;
mod directories;
mod equivalents;
mod hanging;
mod keys;
mod negotiation;
mod objects;
mod outage;
mod passwords;
mod refresh;
mod sessions;
mod signing;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_auth::account::Account;
use countersign_auth::form::Form;
use countersign_auth::port::{
    AtHand, Issue, IssueAnswer, Issued, Lookups as _, Opening, Operations as _, PasswordAnswer,
    PasswordClaim, TokenAnswer,
};
use countersign_auth::secret::Secret;
use countersign_auth::time::{Clock, Time};
use countersign_auth::token::{AtLimit, LiveToken, TokenDigest, TokenKind, TokenPlan};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::{By, Service, ServiceOptions, Upkeep};
use crate::accounts::AccountDraft;
use crate::password::PasswordOptions;
use crate::signing::{SigningAlgorithm, SigningOptions};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::store::switchable::Switchable;

pub(super) const PASSWORD: &str = "open sesame";

/// A moment so many seconds after the tests begin.
pub(super) fn at(secs: i64) -> Time {
    Time::from_unix_secs(1_800_000_000 + secs)
}

struct TestClock;

impl Clock for TestClock {
    fn now(&self) -> Time {
        at(0)
    }
}

/// A service and what it stands on.
pub(super) struct Bench {
    pub(super) service: Arc<Service>,
    pub(super) store: Arc<Switchable>,
    folder: TempDir,
}

pub(super) fn options(folder: &TempDir) -> ServiceOptions {
    ServiceOptions {
        passwords: PasswordOptions { memory_kib: 8, passes: 1, threads: 2, ..PasswordOptions::default() },
        signing: SigningOptions { token: SigningAlgorithm::EdDsa, ..SigningOptions::default() },
        clock: Arc::new(TestClock),
        upkeep: Upkeep::ByHand,
        ..ServiceOptions::at(folder.path().join("gate.db"))
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap()).await
    }

    async fn over(folder: TempDir) -> Self {
        let bench = Self::still_loading(folder).await;
        bench.loaded().await;
        bench
    }

    /// Opens with the first page of tokens read and held back; `loaded` lets it go.
    pub(super) async fn still_loading(folder: TempDir) -> Self {
        let options = options(&folder);
        let store = SqliteStore::open(&options.database, &Handle::current()).await.unwrap();
        let store = Switchable::new(store as Arc<dyn Store>);
        store.hold_pages();
        let service = Service::with_store(Arc::clone(&store) as Arc<dyn Store>, options, Handle::current());
        Self { service: service.await.unwrap(), store, folder }
    }

    pub(super) async fn loaded(&self) {
        self.store.release_pages();
        until(|| async { self.service.ready() }).await;
    }

    pub(super) async fn close(self) -> TempDir {
        self.service.close().await.unwrap();
        self.folder
    }

    pub(super) async fn reopen(self) -> Self {
        Self::over(self.close().await).await
    }

    pub(super) async fn account(&self, kind: &str, name: &str) -> Arc<Account> {
        let mut draft = AccountDraft::new(kind, name);
        draft.email = format!("{name}@example.com");
        draft.password = Some(Secret::new(PASSWORD));
        self.service.create_account(draft, By::gate(), at(0)).await.unwrap()
    }

    pub(super) async fn issue(&self, order: Issue, now: Time) -> Vec<Issued> {
        match self.service.issue(order, now).await.unwrap() {
            IssueAnswer::Issued(issued) => issued,
            other => panic!("{other:?}"),
        }
    }

    /// One token of a plan for an account that has just proven itself.
    pub(super) async fn token(&self, account: &Arc<Account>, plan: TokenPlan, now: Time) -> TokenDigest {
        digest(&self.issue(order(Some(account), vec![plan], now), now).await[0])
    }

    /// A session that is opened without waiting for the store.
    pub(super) fn open(
        &self,
        account: Option<&Arc<Account>>,
        plan: TokenPlan,
        proven_at: Time,
        on: Option<TokenDigest>,
        now: Time,
    ) -> Option<Issued> {
        let api = Arc::from("shop");
        let opening = Opening { api: &api, account, plan: &plan, proven_at, on, address: home() };
        self.service.open_session(&opening, now).unwrap()
    }

    pub(super) async fn look(&self, digest: TokenDigest, now: Time) -> TokenAnswer {
        match self.service.token(&digest, now) {
            AtHand::Known(answer) => answer,
            AtHand::Ask => self.service.find_token(digest, now).await.unwrap(),
        }
    }

    pub(super) async fn live(&self, digest: TokenDigest, now: Time) -> LiveToken {
        match self.look(digest, now).await {
            TokenAnswer::Live(token) => token,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn says(&self, digest: TokenDigest, now: Time) -> &'static str {
        match self.look(digest, now).await {
            TokenAnswer::Live(_) => "live",
            TokenAnswer::Expired => "expired",
            TokenAnswer::Unknown => "unknown",
        }
    }

    pub(super) async fn login(&self, claim: PasswordClaim, now: Time) -> PasswordAnswer {
        self.service.check_password(claim, now).await.unwrap()
    }

    /// Waits until something is in the audit that is written without anybody waiting for it.
    pub(super) async fn noted(&self, event: &str) {
        until(|| async { self.events().await.iter().any(|other| other.starts_with(event)) }).await;
    }

    pub(super) async fn events(&self) -> Vec<String> {
        let events = self.service.audit(100).await.unwrap();
        events.into_iter().map(|event| format!("{} {}", event.event, event.object)).collect()
    }
}

/// Waits for a condition, a minute at most.
pub(super) async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let met = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), met).await.expect("the condition was not met");
}

pub(super) fn claim(user: &str, password: &str) -> PasswordClaim {
    PasswordClaim {
        api: Arc::from("shop"),
        kind: Arc::from("users"),
        user: user.to_owned(),
        password: Secret::new(password),
        provider: None,
        domain: None,
        tenant: None,
        address: home(),
    }
}

pub(super) fn home() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

pub(super) fn order(account: Option<&Arc<Account>>, plans: Vec<TokenPlan>, now: Time) -> Issue {
    Issue {
        api: Arc::from("shop"),
        account: account.cloned(),
        proven_at: now,
        plans,
        spends: None,
        on: None,
        replaces: None,
        address: home(),
    }
}

fn plan(word: &str, kind: TokenKind) -> TokenPlan {
    TokenPlan {
        word: Arc::from(word),
        kind,
        form: Arc::new(Form::parse("{base64url:43}").unwrap()),
        second: None,
        idle: None,
        lifetime: None,
        proof_lifetime: None,
        per_account: None,
        at_limit: AtLimit::Refuse,
    }
}

/// 30 minutes idle, 12 hours at most.
pub(super) fn session() -> TokenPlan {
    TokenPlan {
        idle: Some(Duration::from_secs(1800)),
        lifetime: Some(Duration::from_secs(43_200)),
        ..plan("session", TokenKind::Session)
    }
}

/// One hour.
pub(super) fn access() -> TokenPlan {
    TokenPlan { lifetime: Some(Duration::from_secs(3600)), ..plan("claims", TokenKind::Access) }
}

/// Thirty days, and no further than 100 days after the proof.
pub(super) fn refresh() -> TokenPlan {
    TokenPlan {
        lifetime: Some(Duration::from_secs(30 * 86_400)),
        proof_lifetime: Some(Duration::from_secs(100 * 86_400)),
        ..plan("refresh", TokenKind::Refresh)
    }
}

pub(super) fn key() -> TokenPlan {
    TokenPlan { form: Arc::new(Form::parse("{guid}").unwrap()), ..plan("key", TokenKind::Key) }
}

pub(super) fn digest(issued: &Issued) -> TokenDigest {
    TokenDigest::of("shop", &issued.word, issued.value.expose())
}
