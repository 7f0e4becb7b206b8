//! Containment of panics in third-party decoders: hostile bytes may end their own decoding, never the process.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` where it panicked. The usual message on standard error is left out, on this thread, meanwhile.
///
/// What `work` had borrowed may be left half-done, so the caller must not use it again.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Option<T> {
    install_hook();
    let outer = CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(outer);
    result.ok()
}

fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CONTAINED.try_with(Cell::get).unwrap_or(false) {
                report(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained() {
        assert_eq!(contain(|| 1), Some(1));
        assert_eq!(contain(|| -> u8 { panic!("contained") }), None);
        assert!(!CONTAINED.get());
    }
}
