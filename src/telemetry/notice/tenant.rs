//! News of one tenant's credential.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::{Incident, Span, at, say_at};
use crate::clock::Time;
use crate::fault::Fault;
use crate::telemetry::escape::clean;
use crate::telemetry::label::CredentialState;
use crate::telemetry::metrics;

/// What happened to a credential.
#[derive(Clone, Debug)]
pub enum Tenant<'a> {
    /// A token request was answered, with whatever status.
    Answered { status: Option<u16>, code: &'a str, took: Duration },
    /// A fresh token; when it ends.
    TokenObtained { expires: Time },
    /// The credential is held back for all its feeds.
    CredentialClosed { state: CredentialState, incident: Incident<'a>, until: Option<Time> },
    /// The credential works again after having been closed for so long.
    CredentialOpened { closed_for: Duration },
    /// The secret cannot be read where it is kept, and why; `None`: it can again.
    SecretFile { unreadable: Option<&'a str> },
    /// Mimecast used a code that no row of the recovery table names, for the first time.
    UnknownCode { fault: &'a Fault, rule: &'a str },
    /// The configured end of the secret is near or past (negative days).
    SecretExpiring { expires: Time, days: i64 },
}

impl Tenant<'_> {
    pub(super) fn count(&self, tenant: &str) {
        match self {
            Tenant::Answered { status, code, took } => metrics::api_request(tenant, "", *status, code, *took),
            Tenant::CredentialClosed { incident, .. } => incident.count(tenant),
            Tenant::TokenObtained { .. }
            | Tenant::CredentialOpened { .. }
            | Tenant::SecretFile { .. }
            | Tenant::UnknownCode { .. }
            | Tenant::SecretExpiring { .. } => {}
        }
    }

    pub(super) fn say(&self, tenant: &str) {
        match self {
            Tenant::Answered { status, code, took } => {
                debug!(target: "mimecollectd::tenant", tenant, status, code, took_ms = took.as_millis() as u64,
                    "token request answered");
            }
            Tenant::TokenObtained { expires } => {
                debug!(target: "mimecollectd::tenant", tenant, expires = expires.rfc3339(), "token obtained");
            }
            Tenant::CredentialClosed { state, incident, until } => {
                say_closed(tenant, *state, incident, *until)
            }
            Tenant::CredentialOpened { closed_for } => {
                info!(target: "mimecollectd::tenant", tenant, closed_for_ms = closed_for.as_millis() as u64,
                    "credential of {tenant} works again after {}; its feeds go on where they stopped",
                    Span(*closed_for));
            }
            Tenant::SecretFile { unreadable: Some(why) } => {
                error!(target: "mimecollectd::tenant", tenant, rule = "L08",
                    "the secret of {tenant} cannot be read any more; the one in memory is used until the daemon ends, and it \
                     will not start again without: {}", clean(why));
            }
            Tenant::SecretFile { unreadable: None } => {
                info!(target: "mimecollectd::tenant", tenant, "the secret of {tenant} can be read again");
            }
            Tenant::UnknownCode { fault, rule } => {
                warn!(target: "mimecollectd::tenant", tenant, rule, status = fault.status(),
                    code = fault.code_str(), "{tenant}: a code that the recovery table does not know: {}. Row {rule} \
                    answers for it; please report the code, or give it a rule in [recovery]", clean(&fault.to_string()));
            }
            Tenant::SecretExpiring { expires, days } => {
                let when = if *days < 0 { "has ended" } else { "ends" };
                warn!(target: "mimecollectd::tenant", tenant, expires = expires.rfc3339(), days,
                    "the secret of {tenant} {when} on {}: create a new one in Mimecast and put it where the \
                     configuration points", expires.rfc3339().get(..10).unwrap_or_default());
            }
        }
    }
}

fn say_closed(tenant: &str, state: CredentialState, incident: &Incident<'_>, until: Option<Time>) {
    say_at!(incident.severity, target: "mimecollectd::tenant", tenant, state = state.as_str(),
        rule = incident.rule, action = incident.action, status = incident.fault.status(),
        code = incident.fault.code_str(), request_id = incident.fault.request_id.as_deref().map(|id| clean(id).into_owned()),
        until = at(until), remedy = incident.remedy,
        "credential of {tenant} is {}, all its feeds wait: {}. {} ({}). {} Ends with {}.", state.as_str().replace('_', " "),
        clean(&incident.fault.to_string()), incident.next(), incident.rule, incident.remedy, incident.clears);
}
