use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use mysa_cognito::server::Verifier;

use crate::spec::{AccountStatus, ChallengeSpec};

/// Account of one person at the user pool.
pub(crate) struct Account {
    pub(crate) email: String,
    pub(crate) user_id: String,
    pub(crate) challenges: Vec<ChallengeSpec>,
    pub(crate) status: AccountStatus,
    password: String,
    salt: String,
    verifier: Option<Verifier>,
    failures: u32,
    locked_until: Duration,
}

impl core::fmt::Debug for Account {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Account").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Account {
    pub(crate) fn new(email: String, user_id: String, password: String, salt: String) -> Self {
        Self {
            email,
            user_id,
            challenges: Vec::new(),
            status: AccountStatus::Confirmed,
            password,
            salt,
            verifier: None,
            failures: 0,
            locked_until: Duration::ZERO,
        }
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.email.eq_ignore_ascii_case(name) || self.user_id == name
    }

    /// SRP verifier of the password. Computed on first use, because it costs an exponentiation.
    pub(crate) fn verifier(&mut self, pool_name: &str) -> Option<&Verifier> {
        if self.verifier.is_none() {
            self.verifier = Verifier::new(pool_name, &self.user_id, &self.password, &self.salt).ok();
        }
        self.verifier.as_ref()
    }

    pub(crate) fn set_password(&mut self, password: &str) {
        self.password = password.into();
        self.verifier = None;
    }

    pub(crate) fn is_locked(&self, now: Duration) -> bool {
        now < self.locked_until
    }

    /// Records a wrong password. The fifth and each further one lock the account, for twice as long each time, up to 15
    /// minutes.
    pub(crate) fn fail(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if let Some(power) = self.failures.checked_sub(5) {
            let secs = 1_u64.checked_shl(power.min(63)).unwrap_or(900).min(900);
            self.locked_until = now + Duration::from_secs(secs);
        }
    }

    pub(crate) const fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_doubles_from_the_fifth_failure_to_a_quarter_of_an_hour() {
        let mut account = Account::new("a@b".into(), "u".into(), "p".into(), "00".into());
        let mut locks = Vec::new();
        for _ in 0..40 {
            account.fail(Duration::ZERO);
            locks.push(account.locked_until.as_secs());
        }
        assert_eq!(locks.get(..8), Some(&[0, 0, 0, 0, 1, 2, 4, 8][..]));
        assert_eq!(locks.last(), Some(&900));
    }
}
