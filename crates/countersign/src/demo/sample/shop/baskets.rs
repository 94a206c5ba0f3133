//! Baskets: a customer's own, and those of callers whom nobody knows.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::LOCATION;
use serde_json::{Value, json};

use super::error;
use crate::demo::service::{Answer, Call};

/// So many baskets, and items in each, are kept.
const BASKETS_MAX: usize = 10_000;
const ITEMS_MAX: usize = 100;
/// The number of the first basket.
const FIRST: u64 = 1001;

/// All baskets, by number.
#[derive(Debug, Default)]
pub(super) struct Baskets(BTreeMap<u64, Basket>);

#[derive(Debug)]
struct Basket {
    customer: Option<String>,
    kind: String,
    primary: bool,
    items: Vec<Value>,
}

impl Baskets {
    /// `GET /baskets`: those of the customer, without PRIMARY.
    pub(super) fn list(&self, call: &Call) -> Answer {
        let Some(customer) = call.caller.subject() else { return failed("Fail") };
        let own = self
            .0
            .iter()
            .filter(|(_, basket)| basket.customer.as_deref() == Some(customer) && !basket.primary);
        let summaries: Vec<Value> = own
            .map(|(number, basket)| json!({ "basketReference": number, "basketType": basket.kind }))
            .collect();
        Answer::json(StatusCode::OK, &json!({ "basketSummaries": summaries }))
    }

    /// `POST /baskets`.
    pub(super) fn create(&mut self, call: &Call) -> Answer {
        let body = call.json();
        let kind = body.get("basketType").and_then(Value::as_str).unwrap_or("WISHLIST");
        if !matches!(kind, "WISHLIST" | "BASKET") {
            return error(StatusCode::BAD_REQUEST, "InvalidBasketType", "basketType is WISHLIST or BASKET");
        }
        match self.insert(call.caller.subject(), kind, false) {
            Some(number) => {
                let answer = json!({ "basketReference": number, "basketType": kind, "basketStatus": "NEW" });
                Answer::json(StatusCode::CREATED, &answer).with(LOCATION, format!("/baskets/{number}"))
            }
            None => failed("Full"),
        }
    }

    /// `POST /baskets/items`: into the basket that `basketReference` names, or else into a new one.
    pub(super) fn add_somewhere(&mut self, call: &Call) -> Answer {
        let number = match call.json().get("basketReference") {
            None | Some(Value::Null) => self.insert(call.caller.subject(), "BASKET", false),
            Some(named) => named.as_u64().filter(|number| call.caller.may_use("basket", &number.to_string())),
        };
        number.map_or_else(not_found, |number| self.add_to(call, number))
    }

    /// `GET /baskets/{number}`.
    pub(super) fn show(&mut self, call: &Call, basket: &str) -> Answer {
        match self.named(call, basket) {
            Ok(number) => self.0.get(&number).map_or_else(not_found, |basket| response(number, basket)),
            Err(answer) => answer,
        }
    }

    /// `POST /baskets/{number}/items`.
    pub(super) fn add(&mut self, call: &Call, basket: &str) -> Answer {
        match self.named(call, basket) {
            Ok(number) => self.add_to(call, number),
            Err(answer) => answer,
        }
    }

    fn add_to(&mut self, call: &Call, number: u64) -> Answer {
        let body = call.json();
        let Some(item) = body.get("itemId").and_then(Value::as_str) else {
            return error(StatusCode::BAD_REQUEST, "MissingItem", "itemId is missing");
        };
        let Some(basket) = self.0.get_mut(&number) else { return not_found() };
        if basket.items.len() >= ITEMS_MAX {
            return failed("Full");
        }
        let line = basket.items.len() + 1;
        let quantity = body.get("quantity").and_then(Value::as_u64).unwrap_or(1);
        let kind = body.get("itemType").and_then(Value::as_str).unwrap_or("PRODUCT");
        basket.items.push(json!({ "lineId": line, "itemType": kind, "itemId": item, "quantity": quantity }));
        let answer = match call.parameter("returnBasket") {
            Some(_) => response(number, basket),
            None => Answer::json(StatusCode::CREATED, &json!({ "basketReference": number, "lineId": line })),
        };
        answer.with(LOCATION, format!("/baskets/{number}/items/{line}"))
    }

    /// The number of the basket that a path means. Whether it is the caller's was the gate's to check.
    fn named(&mut self, call: &Call, basket: &str) -> Result<u64, Answer> {
        if basket == "PRIMARY" {
            let Some(customer) = call.caller.subject() else { return Err(failed("Fail")) };
            let own = |basket: &Basket| basket.primary && basket.customer.as_deref() == Some(customer);
            let known = self.0.iter().find(|(_, basket)| own(basket)).map(|(number, _)| *number);
            return known
                .or_else(|| self.insert(Some(customer), "BASKET", true))
                .ok_or_else(|| failed("Full"));
        }
        let number = basket.parse().ok().filter(|_| call.caller.may_use("basket", basket));
        number.ok_or_else(not_found)
    }

    fn insert(&mut self, customer: Option<&str>, kind: &str, primary: bool) -> Option<u64> {
        if self.0.len() >= BASKETS_MAX {
            return None;
        }
        let number = self.0.last_key_value().map_or(FIRST, |(last, _)| last + 1);
        let basket = Basket {
            customer: customer.map(str::to_owned),
            kind: kind.to_owned(),
            primary,
            items: Vec::new(),
        };
        self.0.insert(number, basket);
        Some(number)
    }
}

fn response(number: u64, basket: &Basket) -> Answer {
    let status = if basket.items.is_empty() { "NEW" } else { "IN_PROGRESS" };
    let body = json!({
        "basket": { "customerId": basket.customer, "items": basket.items },
        "basketReference": number,
        "basketType": basket.kind,
        "basketResponseCode": "OK",
        "basketStatus": status,
    });
    Answer::json(StatusCode::OK, &body)
}

fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "NotFound", "Failed to retrieve basket, outcome: NotFound")
}

fn failed(outcome: &str) -> Answer {
    let text = format!("Failed to retrieve basket, outcome: {outcome}");
    error(StatusCode::INTERNAL_SERVER_ERROR, outcome, &text)
}
