//! What a log-out ends of a request that came with more than one proof.

use std::collections::HashSet;

use http::{HeaderMap, Method};

use super::super::world::Down;
use super::{Call, api, filled, world};

/// Where the store does not take one end, memory is told of the other one all the same.
#[test]
fn a_log_out_ends_all_that_came_with_it_whatever_becomes_of_a_part() {
    let every = "dialect for      = [\"cookie\", \"crew\"] => for      = [\"access\", \"cookie\", \"crew\"]";
    let api = api(&[every.to_owned()]);
    for down in [Down::Nothing, Down::Operations] {
        let mut world = world();
        world.down = down;
        let (target, body) = ("/logout".to_owned(), String::new());
        let call = Call { api: &api, world: &world, method: Method::POST, target, body };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer {access.alice}"),
            ("cookie", "HARBOUR={session.alice}"),
            ("x-harbour-csrf", "{csrf.alice}"),
        ] {
            headers.insert(name, filled(value).parse().unwrap());
        }
        let admitted = call.admit(&mut headers, "/logout", None, &mut None);
        assert_eq!(
            admitted.err().map(|refusal| refusal.reason.name()),
            match down {
                Down::Operations => Some("unavailable"),
                Down::Nothing | Down::Tokens | Down::Passwords | Down::Keys => None,
            }
        );
        let ended: HashSet<_> = world.ended.lock().unwrap().iter().map(|end| end.0).collect();
        assert_eq!(ended.len(), 2, "{down:?}");
    }
}
