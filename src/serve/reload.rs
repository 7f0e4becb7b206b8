//! Reloading on SIGHUP: the new file and all it names are checked first; if anything is wrong, the old stay in force.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{
    core::{Core, Reloaded},
    in_force::InForce,
};
use crate::{
    cli::render::printable,
    config::Config,
    error::{Error, Result},
};

/// Puts the file at `path` in force, or says why not.
pub(super) async fn reload(core: &Arc<Core>, path: Option<&Path>) {
    match load(path.map(Path::to_owned)).await {
        Ok(in_force) => {
            warn_of_restart(&core.in_force().config, &in_force.config);
            let model = in_force.engine.model.manifest().id.clone();
            let note = format!("model {model} {}", in_force.engine.model.sha256());
            core.replace(in_force);
            info!(model, "reloaded");
            core.metrics.count("clonewatch_config_reloads_total", &[("outcome", "ok")]);
            core.audit("config.reloaded", note).await;
            core.reloaded(Reloaded::Done);
        }
        Err(fault) => {
            // The message quotes the file as it is.
            let fault = printable(&fault.to_string());
            error!(fault, "the new configuration is refused: the old one stays in force");
            core.metrics.count("clonewatch_config_reloads_total", &[("outcome", "refused")]);
            core.reloaded(Reloaded::Refused);
        }
    }
}

/// Verifying a model takes long enough to keep it off the runtime's threads.
async fn load(path: Option<PathBuf>) -> Result<InForce> {
    let (sender, loaded) = oneshot::channel();
    let work = move || {
        // The receiver waits until this has been sent.
        let _ = sender.send(InForce::read(path.as_deref()));
    };
    let loader = thread::Builder::new().name("reload".into()).spawn(work);
    let loader = loader.map_err(|e| Error::Fault(format!("thread: {e}")))?;
    let in_force = loaded.await.unwrap_or_else(|_| Err(Error::Fault("loading panicked, see the log".into())));
    // It has sent its answer or panicked: it ends now.
    let _ = loader.join();
    in_force
}

fn warn_of_restart(old: &Config, new: &Config) {
    let socket = |config: &Config| {
        let server = &config.server;
        (server.unix_socket.clone(), server.unix_mode.clone(), server.tcp, server.max_connections)
    };
    let changed = [
        ("store", old.store != new.store),
        ("log", old.log != new.log),
        ("queue.workers", old.queue.worker_count() != new.queue.worker_count()),
        ("server's sockets", socket(old) != socket(new)),
    ];
    for (what, _) in changed.into_iter().filter(|(_, is_changed)| *is_changed) {
        warn!(what, "this change takes a restart");
    }
}
