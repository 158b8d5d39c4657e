//! `POST /oauth/token`, and the check of bearers everywhere else.

use crate::accounts::{Bearer, Login};
use crate::answers::{Form, Reply, json_answer};
use crate::message::mix;
use crate::query;
use crate::scenario::{Effect, Verdict};
use crate::server::Request;
use crate::world::{MAX_UNKNOWN_CLIENTS, Tenant, World, hold};
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
        let mut unknown = hold(&world.unknown_clients);
        if unknown.len() < MAX_UNKNOWN_CLIENTS {
            unknown.insert(client_id(request));
        }
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
    let (options, locked_until) = {
        let stage = hold(&world.stage);
        (stage.scenario.options.clone(), stage.locked_until())
    };
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

/// # Errors
/// The refusal, for a bearer that is missing, unknown or expired, or an account that is locked. A call that the
/// scenario answers anyway is not a use of the token.
pub fn check_unless(
    world: &World,
    claim: Option<&(Arc<Tenant>, String)>,
    verdict: &Verdict,
) -> Result<Arc<Tenant>, Box<Reply>> {
    let refuse = |code| Err(Reply::new(401, Form::Flat, code, "").refusal());
    let Some((tenant, token)) = claim else { return refuse("token_verification_failed") };
    if verdict.reply.is_some() {
        return Ok(Arc::clone(tenant));
    }
    let (options, locked_until) = {
        let stage = hold(&world.stage);
        (stage.scenario.options.clone(), stage.locked_until())
    };
    let bearer = hold(&tenant.account).bearer(token, world.clock.now(), locked_until, &options);
    match bearer {
        Bearer::Good => Ok(Arc::clone(tenant)),
        Bearer::Expired => refuse("token_expired"),
        Bearer::Unknown => refuse("token_verification_failed"),
        Bearer::Locked => refuse("0010"),
    }
}
