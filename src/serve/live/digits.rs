//! Digits that are pressed during a call, noted as they come.

use super::Call;

/// Digits of a call that are kept.
const MAX_DIGITS: usize = 128;

/// The digits that were pressed during a call.
#[derive(Default)]
pub(super) struct Digits(String);

impl Digits {
    /// Notes more of them. What is no digit, and what finds no room, is left out.
    pub(super) fn press(&mut self, call: &Call, digits: &str) {
        let room = MAX_DIGITS.saturating_sub(self.0.len());
        self.0.extend(digits.chars().filter(char::is_ascii_graphic).take(room));
        call.note("dtmf", &self.0);
    }
}
