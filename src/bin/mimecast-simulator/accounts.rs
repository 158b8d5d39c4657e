//! One credential: its tokens, its bad logins, its lock.

use crate::message::mix;
use crate::scenario::Options;
use std::collections::VecDeque;

/// The secret of every client id.
pub const SECRET: &str = "demo";
/// Tokens of one credential that are remembered; older ones are no longer accepted.
const MAX_TOKENS: usize = 64;

struct Token {
    text: String,
    expires: i64,
    uses: u64,
}

#[derive(Default)]
pub struct Account {
    tokens: VecDeque<Token>,
    /// Times of bad logins inside the lock period.
    failures: VecDeque<i64>,
    locked_until: i64,
    pub token_requests: u64,
    pub tokens_issued: u64,
    pub failed_logins: u64,
    pub locks: u64,
    /// Token requests while locked.
    pub attempts_while_locked: u64,
    /// Data calls while locked.
    pub calls_while_locked: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The new token.
    Welcome(String),
    Wrong,
    Locked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer {
    Good,
    Expired,
    Unknown,
    Locked,
}

impl Account {
    /// A token request. `locked_until` is the scenario's lock. A locked account stays locked as long as it
    /// was going to, whatever is tried.
    pub fn login(
        &mut self,
        secret: &str,
        now: i64,
        seed: u64,
        locked_until: i64,
        options: &Options,
    ) -> Login {
        self.token_requests += 1;
        if now < self.locked_until.max(locked_until) {
            self.attempts_while_locked += 1;
            return Login::Locked;
        }
        if secret != SECRET {
            self.failed_logins += 1;
            self.fail(now, options);
            return Login::Wrong;
        }
        self.failures.clear();
        self.tokens_issued += 1;
        let serial = self.tokens_issued;
        let text = format!("{serial}.{:016x}{:016x}", mix(seed, serial), mix(seed ^ 1, serial));
        self.tokens.push_back(Token {
            text: text.clone(),
            expires: now + options.token_life * 1000,
            uses: 0,
        });
        if self.tokens.len() > MAX_TOKENS {
            self.tokens.pop_front();
        }
        Login::Welcome(text)
    }

    /// A credential was wrong: too many of these lock the account.
    fn fail(&mut self, now: i64, options: &Options) {
        self.failures.retain(|&at| at > now - options.lock_period);
        self.failures.push_back(now);
        if self.failures.len() >= options.lock_after {
            self.failures.clear();
            self.locked_until = now + options.lock_period;
            self.locks += 1;
        }
    }

    /// A signed call of API 1.0; a signature that is not good counts like a bad login.
    pub fn signed(&mut self, good: bool, now: i64, locked_until: i64, options: &Options) -> Bearer {
        if now < self.locked_until.max(locked_until) {
            self.calls_while_locked += 1;
            return Bearer::Locked;
        }
        if !good {
            self.fail(now, options);
            return Bearer::Unknown;
        }
        self.failures.clear();
        Bearer::Good
    }

    /// A data call with a token; counts as a use of it.
    pub fn bearer(&mut self, token: &str, now: i64, locked_until: i64, options: &Options) -> Bearer {
        if now < self.locked_until.max(locked_until) {
            self.calls_while_locked += 1;
            return Bearer::Locked;
        }
        let Some(token) = self.tokens.iter_mut().find(|t| t.text == token) else { return Bearer::Unknown };
        token.uses += 1;
        let used_up = options.token_uses.is_some_and(|limit| token.uses > limit);
        if now >= token.expires || used_up { Bearer::Expired } else { Bearer::Good }
    }

    /// Whether the account is locked by bad logins at `now`.
    pub fn is_locked(&self, now: i64) -> bool {
        now < self.locked_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dates::MINUTE;

    fn login(account: &mut Account, secret: &str, now: i64) -> Login {
        account.login(secret, now, 1, 0, &Options::default())
    }

    fn token(account: &mut Account, now: i64) -> String {
        match login(account, SECRET, now) {
            Login::Welcome(token) => token,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tokens_die_of_age_and_of_use() {
        let mut account = Account::default();
        let options = Options { token_uses: Some(2), ..Options::default() };
        let first = token(&mut account, 0);
        assert_eq!(account.bearer(&first, 1_798_999, 0, &Options::default()), Bearer::Good);
        assert_eq!(account.bearer(&first, 1_799_000, 0, &Options::default()), Bearer::Expired);
        let second = token(&mut account, 0);
        let answers: Vec<_> = (0..3).map(|_| account.bearer(&second, 0, 0, &options)).collect();
        assert_eq!(answers, [Bearer::Good, Bearer::Good, Bearer::Expired]);
        assert_eq!(account.bearer("made up", 0, 0, &options), Bearer::Unknown);
        assert_ne!(first, second);
    }

    #[test]
    fn five_bad_logins_lock_and_attempts_prolong_nothing() {
        let mut account = Account::default();
        for n in 0..5 {
            assert_eq!(login(&mut account, "wrong", n * MINUTE), Login::Wrong);
        }
        let locked_until = 4 * MINUTE + 30 * MINUTE;
        assert_eq!(login(&mut account, SECRET, 5 * MINUTE), Login::Locked);
        assert_eq!(login(&mut account, "wrong", locked_until - 1), Login::Locked);
        assert!(matches!(login(&mut account, SECRET, locked_until), Login::Welcome(_)));
        assert_eq!((account.failed_logins, account.attempts_while_locked, account.locks), (5, 2, 1));
    }

    #[test]
    fn bad_signatures_lock_like_bad_logins() {
        let (mut account, options) = (Account::default(), Options::default());
        assert_eq!(account.signed(true, 0, 0, &options), Bearer::Good);
        for n in 0..5 {
            assert_eq!(account.signed(false, n, 0, &options), Bearer::Unknown);
        }
        assert_eq!(account.signed(true, 5, 0, &options), Bearer::Locked);
        assert_eq!((account.locks, account.calls_while_locked), (1, 1));
    }

    #[test]
    fn bad_logins_far_apart_do_not_lock() {
        let mut account = Account::default();
        for n in 0..20 {
            assert_eq!(login(&mut account, "wrong", n * 10 * MINUTE), Login::Wrong);
        }
        assert_eq!(account.locks, 0);
    }

    #[test]
    fn the_scenario_can_lock_too() {
        let mut account = Account::default();
        let good = token(&mut account, 0);
        assert_eq!(account.bearer(&good, 10, 20, &Options::default()), Bearer::Locked);
        assert_eq!(account.login(SECRET, 10, 1, 20, &Options::default()), Login::Locked);
        assert_eq!((account.calls_while_locked, account.attempts_while_locked), (1, 1));
    }
}
