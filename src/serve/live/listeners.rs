//! Sockets of transports that do not come over HTTP: opened at start, served until the daemon stops.

use std::sync::Arc;

use tokio::{net::TcpListener, task::JoinSet};
use tracing::info;

use super::audiosocket;
use crate::{
    config::Config,
    error::{Error, Result},
    serve::core::Core,
};

/// Sockets that are open.
pub(in crate::serve) struct Listeners {
    audiosocket: Option<TcpListener>,
}

impl Listeners {
    /// Opens what `config` names; to be called inside the runtime.
    ///
    /// # Errors
    /// A socket that cannot be opened.
    pub(in crate::serve) fn open(config: &Config) -> Result<Self> {
        let audiosocket = config.live.audiosocket.as_ref().map(|audiosocket| {
            let listen = audiosocket.listen;
            let bound = std::net::TcpListener::bind(listen).and_then(|listener| {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            });
            let bound = bound.map_err(|e| Error::io(format!("live.audiosocket.listen {listen}"), e))?;
            info!(address = %bound.local_addr().unwrap_or(listen), "listening for AudioSocket");
            Ok::<_, Error>(bound)
        });
        Ok(Self { audiosocket: audiosocket.transpose()? })
    }

    /// Serves until the daemon stops and every connection has ended.
    pub(in crate::serve) async fn serve(self, core: Arc<Core>) {
        let mut loops = JoinSet::new();
        if let Some(listener) = self.audiosocket {
            loops.spawn(audiosocket::serve(listener, core));
        }
        while loops.join_next().await.is_some() {}
    }
}
