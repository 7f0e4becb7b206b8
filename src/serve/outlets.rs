//! What leads out of and into the daemon besides its sockets: watched folders and receivers of events. One thread owns both,
//! starts them anew when a reload changed their settings, and ends them with the daemon.

use std::sync::Arc;

use tokio::runtime::Handle;
use tracing::error;

use super::{core::Core, intake::Intake, webhook::Notifier};
use crate::{config::Config, store::Store};

impl AsRef<Store> for Core {
    fn as_ref(&self) -> &Store {
        &self.store
    }
}

/// Why the present set ends.
enum Turn {
    Changed,
    Stopping,
}

/// Runs until the daemon stops.
pub(super) fn run(core: &Arc<Core>, handle: &Handle) {
    loop {
        let in_force = core.in_force();
        let intake = Intake::start(core, handle);
        let notifier = match Notifier::start(core, &in_force.config) {
            Ok(notifier) => Some(notifier),
            Err(error) => {
                // Events wait in the outbox until a reload brings settings that can be used.
                error!(%error, "no events are sent");
                None
            }
        };
        let turn = handle.block_on(next_turn(core, &in_force.config, notifier.as_ref()));
        drop(intake);
        drop(notifier);
        if matches!(turn, Turn::Stopping) {
            return;
        }
    }
}

async fn next_turn(core: &Arc<Core>, config: &Config, notifier: Option<&Notifier>) -> Turn {
    let (mut reloads, mut ended) = (core.reloads(), core.ended());
    loop {
        tokio::select! {
            () = core.stopping() => return Turn::Stopping,
            // Fails only where the sender is gone, and it lives in `core`.
            _ = reloads.changed() => {
                if is_changed(config, &core.in_force().config) {
                    return Turn::Changed;
                }
            }
            _ = ended.changed() => notifier.into_iter().for_each(Notifier::wake),
        }
    }
}

fn is_changed(old: &Config, new: &Config) -> bool {
    let parts = |config: &Config| (config.watch.clone(), config.webhooks.clone(), config.syslog.clone());
    parts(old) != parts(new)
}
