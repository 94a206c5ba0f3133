//! Addresses of customers.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::LOCATION;
use serde_json::{Value, json};

use super::error;
use crate::demo::service::{Answer, Call};

/// So many addresses are kept.
const ADDRESSES_MAX: usize = 10_000;
/// The number of the first address that is made.
const FIRST: u64 = 501;

/// All addresses, by number.
#[derive(Debug, Default)]
pub(super) struct Customers(BTreeMap<u64, Address>);

#[derive(Debug)]
struct Address {
    customer: String,
    lines: Value,
}

impl Customers {
    /// `GET /customers/{customer}/addresses`.
    pub(super) fn list(&self, customer: &str) -> Answer {
        let own = self.0.iter().filter(|(_, address)| address.customer == customer);
        let own: Vec<Value> = own.map(|(number, address)| shown(*number, address)).collect();
        Answer::json(StatusCode::OK, &json!({ "addresses": own }))
    }

    /// `POST /customers/{customer}/addresses`.
    pub(super) fn create(&mut self, call: &Call, customer: &str) -> Answer {
        let Some(lines) = lines(call) else { return incomplete() };
        if self.0.len() >= ADDRESSES_MAX {
            return error(StatusCode::INTERNAL_SERVER_ERROR, "Full", "There is no room for another address");
        }
        let number = self.0.last_key_value().map_or(FIRST, |(last, _)| last + 1);
        let address = Address { customer: customer.to_owned(), lines };
        let answer = Answer::json(StatusCode::CREATED, &shown(number, &address));
        self.0.insert(number, address);
        answer.with(LOCATION, format!("/addresses/{number}"))
    }

    /// `PUT /addresses/{number}`: Update Delivery Address. Whether it is the caller's was the gate's to check.
    pub(super) fn update(&mut self, call: &Call, address: &str) -> Answer {
        let Some(lines) = lines(call) else { return incomplete() };
        let number = address.parse().ok().filter(|_| call.caller.may_use("address", address));
        match number.and_then(|number: u64| Some((number, self.0.get_mut(&number)?))) {
            Some((number, address)) => {
                address.lines = lines;
                Answer::json(StatusCode::OK, &shown(number, address))
            }
            None => error(StatusCode::NOT_FOUND, "NotFound", "There is no such address"),
        }
    }
}

fn shown(number: u64, address: &Address) -> Value {
    json!({ "addressId": number, "customerId": address.customer, "lines": address.lines })
}

fn lines(call: &Call) -> Option<Value> {
    call.json().get("lines").filter(|lines| lines.is_array()).cloned()
}

fn incomplete() -> Answer {
    error(StatusCode::BAD_REQUEST, "MissingLines", "lines are missing")
}
