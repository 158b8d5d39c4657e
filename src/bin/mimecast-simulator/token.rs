//! `POST /oauth/token`, and the check of bearers everywhere else.

use crate::accounts::{Bearer, Login};
use crate::answers::{Form, Reply, json_answer};
use crate::message::mix;
use crate::query;
use crate::scenario::{Effect, Verdict};
use crate::server::Request;
use crate::world::{Tenant, World, hold};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// The client id that a token request names.
pub fn client_id(request: &Request) -> String {
    query::value(&query::pairs(&request.text()), "client_id").unwrap_or("").to_owned()
}

pub fn answer(world: &World, tenant: Option<&Tenant>, request: &Request, verdict: &Verdict) -> Response {
    let wire = world.clock.wire();
    let refuse =
        |status, form, code: &str, message: &str| Reply::new(status, form, code, message).response(wire, 0);
    let form = query::pairs(&request.text());
    let Some(tenant) = tenant else {
        world.note_unknown_client(&client_id(request));
        return refuse(401, Form::Flat, "InvalidClientIdentifier", "");
    };
    let is_form = request.header("content-type").starts_with("application/x-www-form-urlencoded");
    if !is_form || query::value(&form, "grant_type") != Some("client_credentials") {
        return refuse(
            400,
            Form::OAuth,
            "unsupported_grant_type",
            "grant_type must be client_credentials, as a form",
        );
    }
    let secret = query::value(&form, "client_secret").unwrap_or("");
    let (options, locked_until) = (world.options(&tenant.name), world.locked_until(&tenant.name));
    let seed = mix(world.setup.seed ^ world.began.unsigned_abs(), tenant.number);
    let login = hold(&tenant.account).login(secret, world.clock.now(), seed, locked_until, &options);
    match login {
        Login::Wrong => refuse(401, Form::Flat, "InvalidClientIdentifier", ""),
        Login::Locked => refuse(401, Form::Flat, "0010", ""),
        Login::Welcome(_) if verdict.has(Effect::NoToken) => {
            json_answer(200, json!({"token_type": "Bearer", "expires_in": options.token_life}).to_string())
        }
        Login::Welcome(token) => {
            let token = format!("sim.{}.{token}", tenant.name);
            let body = json!({"access_token": token, "token_type": "Bearer",
                "expires_in": options.token_life, "scope": ""});
            json_answer(200, body.to_string())
        }
    }
}

/// The tenant that a bearer claims to be, and the part that proves it.
pub fn claimed(world: &World, headers: &HeaderMap) -> Option<(Arc<Tenant>, String)> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let token = value.strip_prefix("Bearer ")?.strip_prefix("sim.")?;
    let (name, rest) = token.split_once('.')?;
    Some((world.tenant(name)?, rest.to_owned()))
}

pub fn refusal(code: &str) -> Box<Reply> {
    Reply::new(401, Form::Flat, code, "").refusal()
}

/// # Errors
/// The refusal, for a bearer that is missing, unknown or expired, or an account that is locked.
pub fn check(world: &World, tenant: Option<&Tenant>, token: &str) -> Result<(), Box<Reply>> {
    let Some(tenant) = tenant else { return Err(refusal("token_verification_failed")) };
    let (options, locked_until) = (world.options(&tenant.name), world.locked_until(&tenant.name));
    let bearer = hold(&tenant.account).bearer(token, world.clock.now(), locked_until, &options);
    match bearer {
        Bearer::Good => Ok(()),
        Bearer::Expired => Err(refusal("token_expired")),
        Bearer::Unknown => Err(refusal("token_verification_failed")),
        Bearer::Locked => Err(refusal("0010")),
    }
}
