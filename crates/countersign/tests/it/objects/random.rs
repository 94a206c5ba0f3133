//! A hundred thousand requests that nobody thought of.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CALLERS, customer, full_world, order, send, tokens, told_of};
use crate::raw::Client;

const REQUESTS: usize = 100_000;
const THREADS: usize = 4;

/// Numbers that look random and are the same in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.throw(sides) == 0
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.throw(words.len())]
    }
}

/// A request in the making, for a caller.
struct Draft<'d> {
    dice: &'d mut Dice,
    caller: usize,
    /// Whether another's number is in it.
    foreign: bool,
}

impl Draft<'_> {
    /// A number: mostly the caller's own.
    fn id(&mut self, of: fn(usize) -> String) -> String {
        if self.dice.one_in(4) {
            let other = (self.caller + 1 + self.dice.throw(CALLERS - 1)) % CALLERS;
            self.foreign = true;
            return of(other);
        }
        of(self.caller)
    }

    /// A text in percent encoding, now and then.
    fn percent(&mut self, text: &str) -> String {
        text.bytes()
            .map(
                |byte| {
                    if self.dice.one_in(6) { format!("%{byte:02X}") } else { char::from(byte).to_string() }
                },
            )
            .collect()
    }

    /// A text in escapes of JSON, now and then.
    fn escapes(&mut self, text: &str) -> String {
        text.bytes()
            .map(
                |byte| {
                    if self.dice.one_in(6) { format!("\\u{byte:04x}") } else { char::from(byte).to_string() }
                },
            )
            .collect()
    }

    /// A name in other letter case, now and then.
    fn case(&mut self, text: &str) -> String {
        let turned = |byte: u8| {
            let char = char::from(byte);
            if char.is_ascii_lowercase() { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() }
        };
        text.bytes().map(|byte| if self.dice.one_in(8) { turned(byte) } else { char::from(byte) }).collect()
    }

    fn blanks(&mut self) -> &'static str {
        self.dice.of(&["", "", "", " ", "\n", "\t "])
    }

    fn junk(&mut self) -> String {
        let junk = ["1", "\"x\"", "null", "[]", "{}", "[{\"a\":1}]", "-0.5e3", "true", "\"\\\\\""];
        self.dice.of(&junk).to_owned()
    }

    /// A member that a rule is about.
    fn member(&mut self, name: &str, of: fn(usize) -> String) -> String {
        let name = self.case(name);
        let name = self.escapes(&name);
        let id = self.id(of);
        let value = if self.dice.one_in(2) { id } else { format!("\"{}\"", self.escapes(&id)) };
        let (a, b) = (self.blanks(), self.blanks());
        format!("{a}\"{name}\"{b}:{value}{a}")
    }

    fn object(&mut self, name: &str, of: fn(usize) -> String) -> String {
        let mut members = Vec::new();
        for at in 0..self.dice.throw(3) {
            members.push(format!("\"j{at}\":{}", self.junk()));
        }
        for _ in 0..1 + self.dice.throw(2) {
            let member = self.member(name, of);
            let at = self.dice.throw(members.len() + 1);
            members.insert(at, member);
        }
        format!("{{{}}}", members.join(","))
    }

    fn deep(&mut self, depth: usize) -> String {
        let inner = if depth == 0 || self.dice.one_in(3) {
            self.object("customerId", customer)
        } else {
            self.deep(depth - 1)
        };
        match self.dice.throw(3) {
            0 => format!("{{\"x\":{inner}}}"),
            1 => format!("[{},{inner}]", self.junk()),
            _ => format!("[{inner},{}]", self.object("customerId", customer)),
        }
    }

    fn pairs(&mut self, name: &str, of: fn(usize) -> String) -> String {
        let mut pairs = Vec::new();
        for _ in 0..1 + self.dice.throw(3) {
            let name = self.case(name);
            let (name, id) = (self.percent(&name), self.id(of));
            pairs.push(format!("{name}={}", self.percent(&id)));
        }
        for at in 0..self.dice.throw(3) {
            let place = self.dice.throw(pairs.len() + 1);
            pairs.insert(place, format!("j{at}=x"));
        }
        pairs.join("&")
    }

    /// A request: first line, content type, body.
    fn request(&mut self) -> (String, &'static str, String) {
        const JSON: &str = "Content-Type: application/json";
        const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
        let writing = self.dice.of(&["POST", "PUT", "PATCH"]);
        match self.dice.throw(9) {
            0 => {
                let id = self.id(customer);
                let id = self.percent(&id);
                let method = self.dice.of(&["GET", "DELETE", "POST"]);
                let tail = self.dice.of(&["", "/", "/x", "/x/y?z=1"]);
                (format!("{method} /customers/{id}{tail}"), "", String::new())
            }
            1 => (format!("GET /search?{}", self.pairs("customerId", customer)), "", String::new()),
            2 => {
                let body = self.object("customerId", customer);
                (format!("{writing} /document"), JSON, body)
            }
            3 => {
                let body = self.pairs("customerId", customer);
                (format!("{writing} /document"), FORM, body)
            }
            4 => {
                let body = self.deep(5);
                (format!("{writing} /deep"), JSON, body)
            }
            5 => {
                let (id, query) = (self.id(customer), self.pairs("customerId", customer));
                let body = self.object("customerId", customer);
                (format!("{writing} /both/{}?{query}", self.percent(&id)), JSON, body)
            }
            6 => {
                let id = self.id(order);
                (format!("GET /orders/{}", self.percent(&id)), "", String::new())
            }
            7 => {
                let orders: Vec<String> =
                    (0..1 + self.dice.throw(4)).map(|_| self.object("id", order)).collect();
                (format!("{writing} /orders"), JSON, format!("{{\"orders\":[{}]}}", orders.join(",")))
            }
            _ => {
                let items: Vec<String> =
                    (0..1 + self.dice.throw(4)).map(|_| self.object("customerId", customer)).collect();
                (format!("{writing} /batch"), JSON, format!("[{}]", items.join(",")))
            }
        }
    }
}

#[test]
fn f5_a_hundred_thousand_random_requests_leak_nothing() {
    let world = full_world();
    let tokens = tokens(&world);
    let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (world, tokens, served, refused) = (&world, &tokens, &served, &refused);
            scope.spawn(move || {
                let mut client = Client::new(world.address);
                let mut dice = Dice(u64::try_from(thread).unwrap() << 32);
                for _ in 0..REQUESTS / THREADS {
                    let caller = dice.throw(CALLERS);
                    let mut draft = Draft { dice: &mut dice, caller, foreign: false };
                    let (first, content_type, body) = draft.request();
                    let foreign = draft.foreign;
                    let authorization = format!("Authorization: {}", tokens[caller]);
                    let answer = send(&mut client, &first, &[&authorization, content_type], &body);
                    let (status, told) = (answer.head.status(), told_of(&answer));
                    let asked = format!("caller {caller}: {first} {content_type} {body}: {status} {told:?}");
                    assert!(told.iter().all(|told| *told == caller), "{asked}");
                    if status == 200 {
                        assert!(!foreign && told == [caller], "{asked}");
                        served.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert!((400..500).contains(&status), "{asked}");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (served, refused) = (served.into_inner(), refused.into_inner());
    println!("{REQUESTS} random requests: {refused} refused, {served} served to owners, 0 leaks");
    assert!(served > REQUESTS / 10 && refused > REQUESTS / 4);
}
