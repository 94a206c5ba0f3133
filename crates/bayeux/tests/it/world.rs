//! A server whose users are numbers, and what they say to it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use countersign_bayeux::{
    Act, Authority, Channel, Held, Options, Principal, Published, Received, Server, To,
};
use serde_json::{Value, json};

/// User and session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Who(pub(crate) u64, pub(crate) u64);

impl Principal for Who {
    type Session = u64;
    type Account = u64;

    fn session(&self) -> u64 {
        self.1
    }

    fn account(&self) -> u64 {
        self.0
    }
}

/// Everybody may listen to everything but `/secret/**`, which is user 9's; and publish on `/chat/**`.
pub(crate) struct House {
    pub(crate) closed: Arc<AtomicBool>,
}

impl Authority for House {
    type Principal = Who;

    fn may(&self, who: &Who, act: Act<'_>) -> bool {
        match act {
            Act::Handshake => who.0 != 0,
            Act::Subscribe(pattern) => who.0 == 9 || !pattern.as_str().starts_with("/secret"),
            Act::Receive(channel) => {
                !self.closed.load(Ordering::SeqCst)
                    && (who.0 == 9 || !channel.as_str().starts_with("/secret"))
            }
            Act::Publish(channel) => channel.as_str().starts_with("/chat/") || channel.is_service(),
        }
    }
}

pub(crate) struct World {
    pub(crate) server: Arc<Server<House>>,
    pub(crate) now: u64,
    pub(crate) closed: Arc<AtomicBool>,
}

pub(crate) fn world() -> World {
    world_with(Options::default())
}

pub(crate) fn world_with(options: Options) -> World {
    let closed = Arc::new(AtomicBool::new(false));
    let mut count = 0xabcd_ef00_0000_0000_0000_0000_0000_0000_u128;
    let random = move |bytes: &mut [u8]| {
        count += 1;
        bytes.copy_from_slice(&count.to_be_bytes());
        Ok(())
    };
    let house = House { closed: Arc::clone(&closed) };
    World { server: Server::new(options, house, random), now: 1_000_000, closed }
}

impl World {
    /// Sends messages, which are answered at once.
    pub(crate) fn say(&self, who: Who, messages: &Value) -> Vec<Value> {
        self.say_from(who, None, messages).0
    }

    /// The same from a browser; the second value is the name that it is given.
    pub(crate) fn say_from(
        &self,
        who: Who,
        browser: Option<&str>,
        messages: &Value,
    ) -> (Vec<Value>, Option<String>) {
        match self.server.receive(&who, browser, messages.to_string().as_bytes(), self.now).unwrap() {
            Received::Answer(answer) => (parsed(&answer), None),
            Received::Greeting { answer, browser } => (parsed(&answer), Some(browser)),
            Received::Held(_) => panic!("held"),
        }
    }

    /// Shakes hands and connects once. Returns the client's id.
    pub(crate) fn client(&self, who: Who) -> String {
        self.client_from(who, None).0
    }

    pub(crate) fn client_from(&self, who: Who, browser: Option<&str>) -> (String, String) {
        let (answers, named) = self.say_from(who, browser, &json!([handshake()]));
        assert_eq!(answers[0]["successful"], true, "{answers:?}");
        let id = answers[0]["clientId"].as_str().unwrap().to_owned();
        let browser = named.or(browser.map(str::to_owned)).unwrap();
        let (answers, _) = self.say_from(who, Some(&browser), &json!([connect(&id, 2)]));
        assert_eq!(answers[0]["successful"], true, "{answers:?}");
        (id, browser)
    }

    pub(crate) fn subscribe(&self, who: Who, id: &str, to: &str) {
        let answers = self.say(who, &json!({"channel":"/meta/subscribe","clientId":id,"subscription":to}));
        assert_eq!(answers[0]["successful"], true, "{answers:?}");
    }

    /// A connect that waits.
    pub(crate) fn hold(&self, who: Who, id: &str) -> Waiting {
        self.hold_from(who, None, &connect(id, 7))
    }

    pub(crate) fn hold_from(&self, who: Who, browser: Option<&str>, message: &Value) -> Waiting {
        match self.server.receive(&who, browser, message.to_string().as_bytes(), self.now).unwrap() {
            Received::Held(held) => Waiting::new(held),
            Received::Answer(answer) | Received::Greeting { answer, .. } => panic!("not held: {answer}"),
        }
    }

    pub(crate) fn publish(&self, to: &To<'_, Who>, channel: &str, data: &Value) -> Published {
        self.server.publish(to, &Channel::parse(channel).unwrap(), &data.to_string()).unwrap()
    }
}

pub(crate) fn parsed(answer: &str) -> Vec<Value> {
    serde_json::from_str(answer).unwrap()
}

pub(crate) fn handshake() -> Value {
    json!({"id":"1","version":"1.0","minimumVersion":"1.0","channel":"/meta/handshake",
        "supportedConnectionTypes":["long-polling"],"advice":{"timeout":60000,"interval":0}})
}

pub(crate) fn connect(id: &str, number: u64) -> Value {
    json!({"id":number.to_string(),"channel":"/meta/connect","clientId":id,"connectionType":"long-polling"})
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A held connect with a waker that tells whether it was called.
pub(crate) struct Waiting {
    held: std::pin::Pin<Box<Held<House>>>,
    woken: Arc<Flag>,
}

impl Waiting {
    fn new(held: Held<House>) -> Self {
        let mut waiting = Self { held: Box::pin(held), woken: Arc::default() };
        assert!(waiting.poll().is_none(), "answered at once");
        waiting
    }

    fn poll(&mut self) -> Option<String> {
        let waker = Waker::from(Arc::clone(&self.woken));
        match pin!(&mut self.held).as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Nobody woke it, and there is nothing for it.
    pub(crate) fn still_waits(&mut self) -> bool {
        !self.woken.0.load(Ordering::SeqCst) && self.poll().is_none()
    }

    /// It was woken, and what it was woken for has gone meanwhile: it goes on waiting.
    pub(crate) fn waits_again(&mut self) -> bool {
        self.woken.0.swap(false, Ordering::SeqCst) && self.still_waits()
    }

    /// The answer that it was woken for.
    pub(crate) fn answer(mut self) -> Vec<Value> {
        assert!(self.woken.0.load(Ordering::SeqCst), "nobody woke the held connect");
        parsed(&self.poll().expect("woken for nothing"))
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.held.deadline_ms()
    }

    pub(crate) fn time_out(self) -> Vec<Value> {
        parsed(&std::pin::Pin::into_inner(self.held).time_out())
    }
}
