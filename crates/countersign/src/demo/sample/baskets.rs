//! Baskets, as Enactor's Web REST API shows them: a customer's own, and anonymous ones by an unguessable reference.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::header::LOCATION;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::lock;
use crate::demo::service::{Answer, Call, Sample};
use crate::entropy;

/// So many baskets, and items in each, are kept.
const BASKETS_MAX: usize = 10_000;
const ITEMS_MAX: usize = 100;

/// The service.
#[derive(Debug, Default)]
pub(crate) struct Baskets {
    kept: Mutex<BTreeMap<String, Basket>>,
}

#[derive(Debug)]
struct Basket {
    owner: Option<String>,
    kind: String,
    primary: bool,
    items: Vec<Value>,
}

impl Sample for Baskets {
    fn answer(&self, call: &Call) -> Option<Answer> {
        let segments = call.segments();
        let ["WebRestApi", "rest", "baskets", rest @ ..] = segments.as_slice() else { return None };
        let mut kept = lock(&self.kept);
        match rest {
            [] if call.method == Method::GET => Some(list(call, &kept)),
            [] if call.method == Method::POST => Some(create(call, &mut kept)),
            [reference] if call.method == Method::GET => Some(show(call, &mut kept, reference)),
            [reference, "items"] if call.method == Method::POST => Some(add(call, &mut kept, reference)),
            _ => None,
        }
    }
}

fn list(call: &Call, kept: &BTreeMap<String, Basket>) -> Answer {
    let Some(customer) = call.caller.subject() else { return failed("Fail") };
    let summaries: Vec<Value> = kept
        .iter()
        .filter(|(_, basket)| basket.owner.as_deref() == Some(customer) && !basket.primary)
        .map(|(reference, basket)| json!({ "basketReference": reference, "basketType": basket.kind }))
        .collect();
    Answer::json(StatusCode::OK, &json!({ "basketSummaries": summaries }))
}

fn create(call: &Call, kept: &mut BTreeMap<String, Basket>) -> Answer {
    let body = call.json();
    let kind = body.get("basketType").and_then(Value::as_str).unwrap_or("WISHLIST");
    if !matches!(kind, "WISHLIST" | "BASKET") {
        return error(StatusCode::BAD_REQUEST, "InvalidBasketType", "basketType is WISHLIST or BASKET");
    }
    let owner = call.caller.subject().map(str::to_owned);
    match insert(kept, Basket { owner, kind: kind.to_owned(), primary: false, items: Vec::new() }) {
        Some(reference) => {
            let answer = json!({ "basketReference": reference, "basketType": kind, "basketStatus": "NEW" });
            Answer::json(StatusCode::CREATED, &answer).with(LOCATION, format!("/baskets/{reference}"))
        }
        None => failed("Full"),
    }
}

fn show(call: &Call, kept: &mut BTreeMap<String, Basket>, reference: &str) -> Answer {
    match resolve(call, kept, reference) {
        Ok(reference) => kept.get(&reference).map_or_else(not_found, |basket| response(&reference, basket)),
        Err(answer) => answer,
    }
}

fn add(call: &Call, kept: &mut BTreeMap<String, Basket>, reference: &str) -> Answer {
    let reference = match resolve(call, kept, reference) {
        Ok(reference) => reference,
        Err(answer) => return answer,
    };
    let body = call.json();
    let Some(item) = body.get("itemId").and_then(Value::as_str) else {
        return error(StatusCode::BAD_REQUEST, "MissingItem", "itemId is missing");
    };
    let Some(basket) = kept.get_mut(&reference) else { return not_found() };
    if basket.items.len() >= ITEMS_MAX {
        return failed("Full");
    }
    let line = basket.items.len() + 1;
    let quantity = body.get("quantity").and_then(Value::as_u64).unwrap_or(1);
    let kind = body.get("itemType").and_then(Value::as_str).unwrap_or("PRODUCT");
    basket.items.push(json!({ "lineId": line, "itemType": kind, "itemId": item, "quantity": quantity }));
    let answer = match call.parameter("returnBasket") {
        Some(_) => response(&reference, basket),
        None => Answer::json(StatusCode::CREATED, &json!({ "basketReference": reference, "lineId": line })),
    };
    answer.with(LOCATION, format!("/baskets/{reference}/items/{line}"))
}

/// The reference that a path means, if the caller may have that basket. An anonymous basket belongs to whoever
/// holds its reference; another customer's answers like one that is not there.
fn resolve(call: &Call, kept: &mut BTreeMap<String, Basket>, reference: &str) -> Result<String, Answer> {
    let customer = call.caller.subject();
    if reference == "PRIMARY" {
        let Some(customer) = customer else { return Err(failed("Fail")) };
        let mine =
            kept.iter().find(|(_, basket)| basket.primary && basket.owner.as_deref() == Some(customer));
        let mine = mine.map(|(reference, _)| reference.clone());
        let basket = || Basket {
            owner: Some(customer.to_owned()),
            kind: String::from("BASKET"),
            primary: true,
            items: Vec::new(),
        };
        return mine.or_else(|| insert(kept, basket())).ok_or_else(|| failed("Full"));
    }
    match kept.get(reference) {
        Some(basket) if basket.owner.is_none() || basket.owner.as_deref() == customer => {
            Ok(reference.to_owned())
        }
        Some(_) | None => Err(not_found()),
    }
}

fn insert(kept: &mut BTreeMap<String, Basket>, basket: Basket) -> Option<String> {
    if kept.len() >= BASKETS_MAX {
        return None;
    }
    let reference = entropy::reference().ok()?.to_ascii_uppercase();
    kept.insert(reference.clone(), basket);
    Some(reference)
}

fn response(reference: &str, basket: &Basket) -> Answer {
    let status = if basket.items.is_empty() { "NEW" } else { "IN_PROGRESS" };
    let body = json!({
        "basket": { "customerId": basket.owner, "items": basket.items },
        "basketReference": reference,
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

fn error(status: StatusCode, code: &str, text: &str) -> Answer {
    let body = json!({ "httpStatus": status.as_u16(), "errorCode": code, "messageText": text });
    Answer::json(status, &body)
}
