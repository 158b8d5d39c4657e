//! Who calls, and by which generation of the API: a bearer says 2.0, a signature says 1.0. The functions of `/api/…`
//! have the same paths in both.

use crate::answers::Reply;
use crate::feeds::Api;
use crate::server::Request;
use crate::signature;
use crate::token;
use crate::world::{Tenant, World, hold};
use std::sync::Arc;

pub struct Caller {
    pub api: Api,
    /// Whom the request claims to come from; `None`: nobody that is known.
    pub tenant: Option<Arc<Tenant>>,
    /// 2.0: the part of the bearer that proves the claim.
    token: String,
}

impl Caller {
    pub fn of(world: &World, request: &Request) -> Caller {
        let value = request.header("authorization");
        let signed = value.starts_with("MC ")
            || !value.starts_with("Bearer ")
                && ["x-mc-app-id", "x-mc-date", "x-mc-req-id"]
                    .iter()
                    .any(|name| !request.header(name).is_empty());
        if signed {
            let tenant = world.tenant(signature::access_key(request));
            return Caller { api: Api::One, tenant, token: String::new() };
        }
        match token::claimed(world, &request.headers) {
            Some((tenant, token)) => Caller { api: Api::Two, tenant: Some(tenant), token },
            None => Caller { api: Api::Two, tenant: None, token: String::new() },
        }
    }

    /// As scenarios call it.
    pub fn name(&self) -> &str {
        self.tenant.as_ref().map_or("-", |t| t.name.as_str())
    }

    /// # Errors
    /// The refusal of a claim that is not proved. Proving it is a use of the token.
    pub fn check(&self, world: &World, request: &Request) -> Result<Arc<Tenant>, Box<Reply>> {
        match self.api {
            Api::One => signature::check(world, self.tenant.as_deref(), request)?,
            Api::Two => token::check(world, self.tenant.as_deref(), &self.token)?,
        }
        let tenant = self.tenant.as_ref().map(Arc::clone);
        let tenant = tenant.ok_or_else(|| token::refusal("token_verification_failed"))?;
        hold(&tenant.used).insert(self.api);
        Ok(tenant)
    }
}
