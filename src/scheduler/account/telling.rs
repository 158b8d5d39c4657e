//! What people are told of a credential: its state as it is now, and one line of log for each time it closes or opens.

use super::{Account, Credential, Proof};
use crate::fault::Fault;
use crate::supervisor::rule::Rule;
use crate::telemetry::label::CredentialState;
use crate::telemetry::notice::{Incident, Notice, Tenant as News};

impl Account {
    /// Tells everybody: status, log, and feeds that wait.
    pub(super) fn publish(&self, credential: &mut Credential, cause: Option<(&Fault, &'static Rule)>) {
        self.publish_as(credential, cause, true);
    }

    pub(super) fn publish_as(
        &self,
        credential: &mut Credential,
        cause: Option<(&Fault, &'static Rule)>,
        answered: bool,
    ) {
        let now = self.clock.now();
        let (state, holding) = (credential.gate.state(now), credential.gate.holding());
        let name = &self.identity.tenant;
        match (credential.closed_since, &holding) {
            (None, Some(_)) => credential.closed_since = Some(now),
            // a new secret or `resume` only opens the way; that it works is shown by an answer
            (Some(since), None) if answered => {
                (credential.closed_since, credential.told) = (None, None);
                Notice::Tenant(name, News::CredentialOpened { closed_for: now.since(since) }).emit();
            }
            _ => {}
        }
        let hold = holding.map(|closed| (closed.rule.map_or("", |rule| rule.id), closed.until));
        if let (Some(closed), Some((fault, rule))) = (&holding, cause)
            && credential.told != hold
        {
            credential.told = hold;
            let incident = Incident::of(fault, rule, closed.until.map(|until| until.since(now)));
            let news = News::CredentialClosed { state: label(state), incident, until: closed.until };
            Notice::Tenant(name, news).emit();
        }
        self.live.send_modify(|live| {
            live.state = label(state);
            live.until = holding.and_then(|closed| closed.until);
            live.rule = holding.and_then(|closed| closed.rule);
            live.since = credential.closed_since;
            live.words =
                cause.map(|(fault, _)| fault.to_string()).or(live.words.take().filter(|_| holding.is_some()));
            live.token_expires = match &credential.proof {
                Some(Proof::Token(token)) => Some(token.expires),
                Some(Proof::Keys(_)) | None => None,
            };
        });
        self.changed.send_modify(|count| *count += 1);
    }
}

fn label(state: crate::supervisor::gate::CredentialState) -> CredentialState {
    use crate::supervisor::gate::CredentialState as Gate;
    match state {
        Gate::Ok => CredentialState::Ok,
        Gate::Refreshing => CredentialState::Refreshing,
        Gate::Suspended => CredentialState::Suspended,
        Gate::LockedOut => CredentialState::LockedOut,
        Gate::Expired => CredentialState::Expired,
        Gate::Revoked => CredentialState::Revoked,
        Gate::Denied => CredentialState::Denied,
    }
}
