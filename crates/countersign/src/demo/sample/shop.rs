//! A shop, as Enactor's Web REST API shows it: baskets and the addresses of customers, numbered one after the other.
//!
//! It checks nothing itself but the gate's assertion: which baskets and addresses are the caller's is said there
//! (`objects`), and references that nobody can guess are the gate's.

mod baskets;
mod customers;

use std::sync::Mutex;

use http::StatusCode;
use serde_json::json;

use self::baskets::Baskets;
use self::customers::Customers;
use super::lock;
use crate::demo::service::{Answer, Call, Sample};

/// The service.
#[derive(Debug, Default)]
pub(crate) struct Shop {
    baskets: Mutex<Baskets>,
    customers: Mutex<Customers>,
}

impl Sample for Shop {
    fn answer(&self, call: &Call) -> Option<Answer> {
        let segments = call.segments();
        let ["WebRestApi", "rest", rest @ ..] = segments.as_slice() else { return None };
        let mut baskets = lock(&self.baskets);
        let mut customers = lock(&self.customers);
        match (call.method.as_str(), rest) {
            ("GET", ["baskets"]) => Some(baskets.list(call)),
            ("POST", ["baskets"]) => Some(baskets.create(call)),
            ("POST", ["baskets", "items"]) => Some(baskets.add_somewhere(call)),
            ("GET", ["baskets", basket]) => Some(baskets.show(call, basket)),
            ("POST", ["baskets", basket, "items"]) => Some(baskets.add(call, basket)),
            ("GET", ["customers", customer, "addresses"]) => Some(customers.list(customer)),
            ("POST", ["customers", customer, "addresses"]) => Some(customers.create(call, customer)),
            ("PUT", ["addresses", address]) => Some(customers.update(call, address)),
            _ => None,
        }
    }
}

/// An ErrorMessage.
fn error(status: StatusCode, code: &str, text: &str) -> Answer {
    let body = json!({ "httpStatus": status.as_u16(), "errorCode": code, "messageText": text });
    Answer::json(status, &body)
}
