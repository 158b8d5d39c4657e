//! Proving who we are: the OAuth token of API 2.0 (what is sent for one, what the answer says), and what a call of
//! either generation carries. How API 1.0 signs is in [`super::signature`].

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::failure::believable;
use super::feed::Method;
use super::request::{Body, Request, percent};
use super::signature::SigningKeys;
use crate::clock::Time;
use crate::fault::{Fault, Kind, Origin};
use crate::limits::{MAX_TOKEN_LIFETIME, MIN_TOKEN_LIFETIME, TOKEN_LIFETIME};
use crate::secret::Secret;

/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";

/// A credential as the configuration keeps it.
#[derive(Clone, Debug)]
pub enum Keys {
    /// API 2.0: exchanged for a token.
    Client { id: String, secret: Secret },
    /// API 1.0: they sign each call, and there is nothing to exchange them for.
    Signing(Arc<SigningKeys>),
}

impl Keys {
    /// Everything about the credential that makes another one of it when it changes.
    pub fn identity(&self) -> Secret {
        match self {
            Keys::Client { id, secret } => Secret::new(format!("{id}\n{}", secret.expose())),
            Keys::Signing(keys) => keys.identity(),
        }
    }
}

/// What one call carries to prove who we are.
#[derive(Clone, Debug)]
pub enum Pass {
    Bearer(Token),
    /// Signed anew for each call, with the server's time.
    Signed {
        keys: Arc<SigningKeys>,
        date: Time,
    },
}

/// An access token. One serves all feeds of a credential.
#[derive(Clone, Debug)]
pub struct Token {
    pub secret: Secret,
    pub expires: Time,
}

/// The call that asks for a token.
pub fn request(client_id: &str, client_secret: &Secret) -> Request {
    let form = Secret::new(format!(
        "client_id={}&client_secret={}&grant_type=client_credentials",
        percent(client_id),
        percent(client_secret.expose()),
    ));
    Request { method: Method::Post, path_and_query: TOKEN_PATH.to_owned(), body: Some(Body::Form(form)) }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    access_token: Value,
    #[serde(default)]
    expires_in: Value,
}

/// Reads the body of a 200 answer that came at `now`.
///
/// Faults: [`Kind::Html`], [`Kind::Malformed`], [`Kind::TokenMissing`], or what a failure in the body says. None
/// of them quotes the body.
pub fn answer(body: &[u8], now: Time) -> Result<Token, Fault> {
    believable(Origin::Token, body)?;
    let malformed = |_| Fault::new(Origin::Token, Kind::Malformed, "the token answer is not a JSON object");
    let answer: Answer = serde_json::from_slice(body).map_err(malformed)?;
    let usable = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let Some(text) = answer.access_token.as_str().filter(usable) else {
        return Err(Fault::new(
            Origin::Token,
            Kind::TokenMissing,
            "the answer carries no usable access_token",
        ));
    };
    let life = lifetime(&answer.expires_in);
    Ok(Token { secret: Secret::new(text), expires: now.plus(life) })
}

fn lifetime(value: &Value) -> Duration {
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    match number {
        Some(secs) if secs >= 1.0 => {
            Duration::from_secs_f64(secs.min(MAX_TOKEN_LIFETIME.as_secs_f64())).max(MIN_TOKEN_LIFETIME)
        }
        _ => TOKEN_LIFETIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_767_259_800_000);

    #[test]
    fn the_form_is_encoded() {
        let request = request("id 1", &Secret::new("a+b/c=&d"));
        let Some(Body::Form(form)) = &request.body else { panic!("{request:?}") };
        let expected = "client_id=id%201&client_secret=a%2Bb%2Fc%3D%26d&grant_type=client_credentials";
        assert_eq!(form.expose(), expected);
        assert!(!format!("{request:?}").contains("client_secret"));
    }

    #[test]
    fn m35_lifetime_is_taken_or_assumed() {
        let life = |expires: &str| {
            let body = format!(r#"{{"access_token":"t","token_type":"bearer"{expires}}}"#);
            answer(body.as_bytes(), NOW).unwrap().expires.since(NOW).as_secs()
        };
        for (expires, secs) in [
            (r#","expires_in":1799"#, 1799),
            (r#","expires_in":"1799""#, 1799),
            (r#","expires_in":60.0"#, 60),
            (r#","expires_in":1"#, 60), // a login a second would be a lockout
            (r#","expires_in":0"#, 1800),
            (r#","expires_in":-5"#, 1800),
            (r#","expires_in":null"#, 1800),
            (r#","expires_in":"soon""#, 1800),
            (r#","expires_in":"NaN""#, 1800),
            (r#","expires_in":1e300"#, 86_400),
            (r#","expires_in":"inf""#, 86_400),
            ("", 1800),
        ] {
            assert_eq!(life(expires), secs, "{expires}");
        }
    }

    #[test]
    fn m35_an_answer_without_token_is_a_fault() {
        for body in [
            r#"{"expires_in":1}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            r#"{"access_token":"a\nb"}"#,
        ] {
            assert_eq!(answer(body.as_bytes(), NOW).unwrap_err().kind, Kind::TokenMissing, "{body}");
        }
        for (body, kind) in [
            ("<html>", Kind::Html),
            ("", Kind::Malformed),
            ("[]", Kind::Malformed),
            ("{\"access_token\":\"s3cr3t\"", Kind::Malformed),
        ] {
            let fault = answer(body.as_bytes(), NOW).unwrap_err();
            assert_eq!((fault.origin, fault.kind), (Origin::Token, kind), "{body}");
            assert!(!fault.detail.contains("s3cr3t"));
        }
        let failed =
            answer(br#"{"fail":[{"code":"InvalidClientIdentifier","message":"no"}]}"#, NOW).unwrap_err();
        assert_eq!((failed.origin, failed.code_str()), (Origin::Token, "InvalidClientIdentifier"));
    }
}
