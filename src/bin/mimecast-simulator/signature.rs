//! API 1.0: every request is signed by itself, with HMAC-SHA1 over its date, its id, the path and the application's
//! key. A request that differs in one byte of these is refused with 0004.

use crate::accounts::Bearer;
use crate::answers::{Form, Reply};
use crate::dates;
use crate::server::Request;
use crate::world::{Tenant, World, hold};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use std::collections::{BTreeMap, HashSet, VecDeque};

/// Application id, application key; the access key is the tenant's name.
pub const APP_ID: &str = "demo";
pub const APP_KEY: &str = "demo";
/// Decodes to `demo`.
pub const SECRET_KEY: &str = "ZGVtbw==";
/// Request ids of a tenant that are remembered, to notice one that is used again.
const MAX_IDS: usize = 10_000;

/// What became of a tenant's signed requests.
#[derive(Default)]
pub struct Signatures {
    good: u64,
    /// Reason → requests.
    refused: BTreeMap<&'static str, u64>,
    /// Requests with an id that was used before: every request and every repeat wants a fresh one.
    replayed: u64,
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Signatures {
    fn note_id(&mut self, id: &str) {
        if !self.ids.insert(id.to_owned()) {
            self.replayed += 1;
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > MAX_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub fn entry(&self) -> Value {
        json!({"good": self.good, "refused": self.refused, "replayed_request_ids": self.replayed})
    }
}

/// The signature of a request, as both sides compute it; `None`: the secret key is not base64.
pub fn sign(secret_key: &str, date: &str, id: &str, path: &str, app_key: &str) -> Option<String> {
    let key = BASE64.decode(secret_key).ok()?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).ok()?;
    for part in [date, ":", id, ":", path, ":", app_key] {
        mac.update(part.as_bytes());
    }
    Some(BASE64.encode(mac.finalize().into_bytes()))
}

/// The access key that a request names.
pub fn access_key(request: &Request) -> &str {
    let value = request.header("authorization");
    value.strip_prefix("MC ").and_then(|rest| rest.split_once(':')).map_or("", |(key, _)| key)
}

struct Refusal {
    /// For the ledger.
    why: &'static str,
    status: u16,
    code: &'static str,
}

fn refusal(why: &'static str, status: u16, code: &'static str) -> Refusal {
    Refusal { why, status, code }
}

/// Everything about the signature that can be wrong, in the order in which it is looked at.
fn examine(request: &Request, now: i64, tolerance: i64) -> Result<(), Refusal> {
    let value = request.header("authorization");
    if value.is_empty() {
        return Err(refusal("no Authorization header", 400, "0001"));
    }
    let Some((_, proof)) = value.strip_prefix("MC ").and_then(|rest| rest.split_once(':')) else {
        return Err(refusal("Authorization is not `MC key:signature`", 401, "0005"));
    };
    if request.header("x-mc-app-id") != APP_ID {
        return Err(refusal("unknown x-mc-app-id", 401, "err_developer_key"));
    }
    let (date, id) = (request.header("x-mc-date"), request.header("x-mc-req-id"));
    if date.is_empty() || id.is_empty() {
        return Err(refusal("x-mc-date or x-mc-req-id is missing", 401, "0004"));
    }
    if !request.header("content-type").to_ascii_lowercase().starts_with("application/json") {
        return Err(refusal("Content-Type is not application/json", 400, "err_validation_content_type"));
    }
    let Some(at) = dates::parse_http(date) else {
        return Err(refusal("x-mc-date cannot be read", 401, "0004"));
    };
    if (at - now).abs() > tolerance {
        return Err(refusal("x-mc-date is too far from our clock", 401, "0004"));
    }
    let expected = sign(SECRET_KEY, date, id, &request.path, APP_KEY);
    if expected.as_deref() != Some(proof) {
        return Err(refusal("the signature does not match", 401, "0004"));
    }
    Ok(())
}

/// # Errors
/// The refusal of a request whose signature is not right, or whose account is locked.
pub fn check(world: &World, tenant: Option<&Tenant>, request: &Request) -> Result<(), Box<Reply>> {
    let (wire, now) = (world.clock.wire(), world.clock.now());
    let refuse = |status, code: &str| Err(Reply::new(status, Form::Meta, code, "").refusal());
    let Some(tenant) = tenant else {
        let refusal = examine(request, wire, i64::MAX).err();
        world.note_unknown_client(access_key(request));
        return match refusal {
            // The signature of an unknown key cannot be examined.
            Some(refusal) if refusal.why != "the signature does not match" => {
                refuse(refusal.status, refusal.code)
            }
            _ => refuse(401, "0013"),
        };
    };
    let options = world.options(&tenant.name);
    let examined = examine(request, wire, options.skew_tolerance);
    let locked_until = world.locked_until(&tenant.name);
    {
        let mut books = hold(&tenant.signatures);
        let id = request.header("x-mc-req-id");
        if !id.is_empty() {
            books.note_id(id);
        }
        match &examined {
            Ok(()) => books.good += 1,
            Err(refusal) => *books.refused.entry(refusal.why).or_default() += 1,
        }
    }
    let good = match &examined {
        Ok(()) => true,
        Err(refusal) if refusal.code == "0004" => false,
        Err(refusal) => return refuse(refusal.status, refusal.code),
    };
    match hold(&tenant.account).signed(good, now, locked_until, &options) {
        Bearer::Good => Ok(()),
        Bearer::Locked => refuse(401, "0010"),
        Bearer::Expired | Bearer::Unknown => refuse(401, "0004"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Tue, 24 Nov 2015 12:50:11 UTC";
    const ID: &str = "8578fcfc-a305-4d9a-99cb-f4d5ecefe297";
    const SECRET: &str = "bWltZWNhc3QtZXhhbXBsZS1zZWNyZXQta2V5LTMyYnk=";
    const APP: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

    #[test]
    fn the_worked_examples_of_the_recipe() {
        let sign = |path| sign(SECRET, DATE, ID, path, APP).unwrap();
        assert_eq!(sign("/api/audit/get-siem-logs"), "fcVITna3PLfF9ao6KutJ+HAXkco=");
        assert_eq!(sign("/api/ttp/url/get-logs"), "j1muBi9uQxaR2YFvhQtaNf4E+Q0=");
        let gmt = DATE.replace("UTC", "GMT");
        let gmt = super::sign(SECRET, &gmt, ID, "/api/audit/get-siem-logs", APP).unwrap();
        assert_eq!(gmt, "9fMlS/8VHvahnTmrweBIEhdaPas=");
        assert_eq!(super::sign("not base64!", DATE, ID, "/", APP), None);
    }

    #[test]
    fn an_id_that_comes_again_is_noticed_and_memory_is_bounded() {
        let mut books = Signatures::default();
        for id in ["a", "b", "a", "a"] {
            books.note_id(id);
        }
        assert_eq!(books.replayed, 2);
        (0..2 * MAX_IDS).for_each(|n| books.note_id(&n.to_string()));
        assert_eq!((books.ids.len(), books.order.len(), books.replayed), (MAX_IDS, MAX_IDS, 2));
    }
}
