//! Who is signed in: a bounded table in memory, so that a restart signs everybody out.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    config::TokenHash,
    model::sha256_hex,
    store::{JobId, random_hex},
};

/// How long a session lasts.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 3_600);
/// Requests within so long of another count as the same hearing.
const HEARING: Duration = Duration::from_secs(600);
/// Most sessions; one more ends the oldest.
const MOST: usize = 1_000;
/// Most of one token, so that whoever holds it cannot sign all others out.
const MOST_OF_TOKEN: usize = 50;

/// What the console knows of its visitors.
pub struct Console {
    /// By SHA-256 of the id that the cookie holds, so that comparing takes no secret's time.
    sessions: Mutex<HashMap<String, Session>>,
    /// Who was noted to hear which scan, and when.
    hearings: Mutex<HashMap<(String, JobId), Instant>>,
    /// Form token of those who need no session: whoever may use the Unix socket.
    pub(super) socket_form_token: String,
}

/// One sign-in.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Whose token; once it is not in force any more, neither is the session.
    pub(super) token: TokenHash,
    /// Must be in every form that this session sends.
    pub(super) form_token: String,
    ends: Instant,
}

impl Default for Console {
    fn default() -> Self {
        Self { sessions: Mutex::default(), hearings: Mutex::default(), socket_form_token: random_hex::<32>() }
    }
}

impl Console {
    /// Begins a session; the id for its cookie.
    pub(super) fn begin(&self, token: TokenHash, now: Instant) -> String {
        let id = random_hex::<32>();
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.ends > now);
        let is_own = |session: &Session| session.token == token;
        let is_greedy = sessions.values().filter(|session| is_own(session)).count() >= MOST_OF_TOKEN;
        if is_greedy || sessions.len() >= MOST {
            let rivals = sessions.iter().filter(|(_, session)| !is_greedy || is_own(session));
            let oldest = rivals.min_by_key(|(_, session)| session.ends).map(|(key, _)| key.clone());
            oldest.and_then(|key| sessions.remove(&key));
        }
        sessions.insert(key_of(&id), Session { token, form_token: random_hex::<32>(), ends: now + LIFE });
        id
    }

    /// The session of this id, while it lasts.
    pub(super) fn find(&self, id: &str, now: Instant) -> Option<Session> {
        self.lock().get(&key_of(id)).filter(|session| session.ends > now).cloned()
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        self.lock().remove(&key_of(id));
    }

    /// Whether it is to be noted that `name` hears scan `id`: browsers ask for one recording in many pieces.
    pub(super) fn is_first_hearing(&self, name: &str, id: &JobId) -> bool {
        let now = Instant::now();
        let mut hearings = self.hearings.lock().unwrap_or_else(PoisonError::into_inner);
        hearings.retain(|_, at| now.duration_since(*at) < HEARING);
        if hearings.len() >= MOST {
            hearings.clear();
        }
        hearings.insert((name.to_owned(), id.clone()), now).is_none()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(id: &str) -> String {
    sha256_hex(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_and_are_bounded() {
        let (console, now) = (Console::default(), Instant::now());
        let token = TokenHash::of("x");
        let first = console.begin(token.clone(), now);
        assert!(console.find(&first, now).is_some_and(|session| session.token == token));
        assert!(console.find("", now).is_none() && console.find(&first, now + LIFE).is_none());
        let later = now + Duration::from_secs(1);
        let own: Vec<String> = (0..MOST_OF_TOKEN).map(|_| console.begin(token.clone(), later)).collect();
        assert!(console.find(&first, later).is_none(), "the token's oldest made room");
        let tokens = (0..MOST).map(|index| TokenHash::of(&index.to_string()));
        let others: Vec<String> = tokens.map(|token| console.begin(token, later + Duration::from_secs(1))).collect();
        assert!(console.find(&own[0], later).is_none(), "the oldest of all made room");
        assert_eq!(console.lock().len(), MOST);
        assert!(console.find(&others[0], later).is_some());
        console.end(&others[0]);
        assert!(console.find(&others[0], later).is_none());
        console.begin(token, later + 2 * LIFE);
        assert_eq!(console.lock().len(), 1, "those that are over are gone");
    }
}
